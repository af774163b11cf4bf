//! Answers: how rows that a node made of a record find the way back to whoever sent the record and waits.
//!
//! A source whose senders wait for a node gives out [`Replies`]. The engine tells it, record by record and by the
//! records' positions, which rows the node made ([`Replies::reply`]) and when a record has been through all of the way
//! to that node ([`Replies::done`]). When all records of a request are through, its rows are its answer. Who went away,
//! or waited too long, is forgotten at once; what is told of such a record is ignored, so that nobody need know.
//!
//! Knows nothing of HTTP. Requests are bounded by the source, which admits them; rows by whoever makes the [`Replies`].

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use riverhook_config::Spanned;
use tokio::sync::oneshot;

use crate::position::Position;

/// The code of an answer that is larger than may be.
const TOO_LARGE: &str = "reply.too_large";

/// Why a record gives no rows: what its sender is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyError {
    /// A stable code such as `Sandbox.Timedout`, as in dead letters.
    pub code: String,
    /// What went wrong, for a person; without secrets.
    pub message: String,
}

impl ReplyError {
    /// With this code and message.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// Where a node's rows go to be answers. Clones are the same; all methods may be called from any thread.
#[derive(Clone)]
pub struct Replies {
    node: Arc<Spanned<String>>,
    /// Bytes of an answer's rows at most.
    max_bytes: usize,
    waiting: Arc<Mutex<Waiting>>,
}

/// Requests by the position of their first record.
type Waiting = BTreeMap<u64, Request>;

struct Request {
    /// Behind its last record.
    end: u64,
    /// By record.
    records: Vec<Record>,
    /// Records that are not through yet.
    left: usize,
    bytes: usize,
    answer: oneshot::Sender<Result<Rows, ReplyError>>,
}

#[derive(Default)]
struct Record {
    rows: Vec<Vec<u8>>,
    done: bool,
}

/// The rows of a request, in the order of its records.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    /// How many records the request had.
    pub(crate) records: usize,
    /// JSON texts.
    pub(crate) rows: Vec<Vec<u8>>,
}

impl Replies {
    /// Answers made of the rows of `node`, `max_bytes` of them at most for a request.
    pub(crate) fn new(node: Spanned<String>, max_bytes: usize) -> Self {
        Self { node: Arc::new(node), max_bytes, waiting: Arc::default() }
    }

    /// The node whose rows are the answers, as the pipeline file names it.
    pub fn node(&self) -> &Spanned<String> {
        &self.node
    }

    /// What the node made of the record at `position`: rows as JSON texts, behind those that were told before, or why
    /// there are none. After an error the sender has its answer, and all else that is told of its records is ignored.
    ///
    /// To be told of every row before [`done`](Self::done) of its record.
    pub fn reply(&self, position: Position, result: Result<Vec<Vec<u8>>, ReplyError>) {
        let waiting = &mut *self.waiting.lock();
        let Some((first, request)) = find(waiting, position) else { return };
        let failure = match result {
            Ok(rows) => {
                request.bytes += rows.iter().map(Vec::len).sum::<usize>();
                request.record(first, position).rows.extend(rows);
                let most = self.max_bytes;
                let message =
                    || format!("the answer has more than {most} bytes: make it smaller, or raise `max_reply`");
                (request.bytes > most).then(|| ReplyError::new(TOO_LARGE, message()))
            }
            Err(failure) => Some(failure),
        };
        if let Some(failure) = failure {
            finish(waiting, first, Some(failure));
        }
    }

    /// These records have been through: no more rows of them come. A record may be told of more than once.
    pub fn done(&self, positions: &[Position]) {
        let waiting = &mut *self.waiting.lock();
        for position in positions {
            let Some((first, request)) = find(waiting, *position) else { continue };
            let before = std::mem::replace(&mut request.record(first, *position).done, true);
            request.left -= usize::from(!before);
            if request.left == 0 {
                finish(waiting, first, None);
            }
        }
    }

    /// Somebody waits for the rows of so many records, at least one, from position `first` on. To be called before the
    /// records are handed on.
    pub(crate) fn expect(&self, first: u64, records: usize) -> Awaited {
        let (answer, receiver) = oneshot::channel();
        let end = first + records as u64;
        let records = std::iter::repeat_with(Record::default).take(records).collect::<Vec<_>>();
        let left = records.len();
        self.waiting.lock().insert(first, Request { end, records, left, bytes: 0, answer });
        Awaited { receiver, first, waiting: Arc::downgrade(&self.waiting) }
    }

    /// Nothing more is told: whoever waits hears so.
    pub(crate) fn close(&self) {
        self.waiting.lock().clear();
    }

    /// Requests that are waited for.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.lock().len()
    }
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").field("node", &self.node.value).finish_non_exhaustive()
    }
}

impl Request {
    fn record(&mut self, first: u64, Position::Offset(position): Position) -> &mut Record {
        let index = usize::try_from(position - first).expect("a request's records are in memory");
        &mut self.records[index]
    }
}

/// The request that a record is of, if anybody still waits for it.
fn find(waiting: &mut Waiting, Position::Offset(position): Position) -> Option<(u64, &mut Request)> {
    let (first, request) = waiting.range_mut(..=position).next_back()?;
    (position < request.end).then_some((*first, request))
}

fn finish(waiting: &mut Waiting, first: u64, failure: Option<ReplyError>) {
    let Some(request) = waiting.remove(&first) else { return };
    let records = request.records.len();
    let rows = || request.records.into_iter().flat_map(|record| record.rows).collect();
    let answer = failure.map_or_else(|| Ok(Rows { records, rows: rows() }), Err);
    // Who went away in this moment does not hear it; that hurts nobody.
    let _ = request.answer.send(answer);
}

/// Waits for an answer. Dropped, it is waited for no more.
pub(crate) struct Awaited {
    receiver: oneshot::Receiver<Result<Rows, ReplyError>>,
    first: u64,
    waiting: Weak<Mutex<Waiting>>,
}

impl Awaited {
    /// The answer; nothing if none will ever come.
    pub(crate) async fn answer(&mut self) -> Option<Result<Rows, ReplyError>> {
        (&mut self.receiver).await.ok()
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting.upgrade() {
            waiting.lock().remove(&self.first);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use riverhook_config::{Diagnostics, FixedEnvironment, Reading, Setting, SourceFile};

    use super::*;

    fn replies() -> Replies {
        let mut diagnostics = Diagnostics::new();
        let node = riverhook_config::parse(&SourceFile::new("p.yaml", "answers"), &mut diagnostics).unwrap();
        let environment = FixedEnvironment::new();
        let node = Spanned::<String>::read(&node, &mut Reading::new(&environment, &mut diagnostics)).unwrap();
        Replies::new(node, 20)
    }

    fn row(text: &str) -> Result<Vec<Vec<u8>>, ReplyError> {
        Ok(vec![text.as_bytes().to_vec()])
    }

    fn at(position: u64) -> Position {
        Position::Offset(position)
    }

    /// The answer that is there by now: rows, the code of an error, or nothing.
    fn answer(awaited: &mut Awaited) -> Option<Result<Vec<String>, String>> {
        let text = |row| String::from_utf8(row).unwrap();
        let answer = awaited.receiver.try_recv().ok()?;
        Some(answer.map(|rows| rows.rows.into_iter().map(text).collect()).map_err(|error| error.code))
    }

    #[test]
    fn a_request_has_the_rows_of_its_records_in_their_order() {
        let replies = replies();
        let (mut one, mut two) = (replies.expect(10, 1), replies.expect(11, 2));
        replies.reply(at(12), row("c"));
        replies.done(&[at(12), at(12)]);
        replies.reply(at(10), row("a"));
        replies.reply(at(11), row("b"));
        replies.reply(at(11), row("bb"));
        assert_eq!((answer(&mut one), answer(&mut two)), (None, None));
        replies.done(&[at(10), at(11)]);
        assert_eq!(answer(&mut one), Some(Ok(vec!["a".into()])));
        assert_eq!(answer(&mut two), Some(Ok(vec!["b".into(), "bb".into(), "c".into()])));
        assert_eq!(replies.waiting(), 0);
    }

    #[test]
    fn the_first_failure_is_the_answer() {
        let replies = replies();
        let mut request = replies.expect(10, 2);
        replies.reply(at(11), Err(ReplyError::new("Runtime.ExitError", "it ended")));
        assert_eq!(answer(&mut request), Some(Err("Runtime.ExitError".into())));
        replies.reply(at(10), row("a"));
        replies.done(&[at(10), at(11)]);
        assert_eq!(replies.waiting(), 0);
    }

    #[test]
    fn an_answer_is_bounded() {
        let replies = replies();
        let mut request = replies.expect(10, 1);
        replies.reply(at(10), row("0123456789"));
        replies.reply(at(10), row("01234567890"));
        assert_eq!(answer(&mut request), Some(Err(TOO_LARGE.into())));
    }

    #[test]
    fn nothing_is_left_of_who_waits_no_more() {
        let replies = replies();
        drop(replies.expect(10, 1));
        assert_eq!(replies.waiting(), 0);
        replies.reply(at(10), row("a"));
        replies.done(&[at(9), at(10), at(11)]);
        let mut open = replies.expect(11, 1);
        replies.close();
        let io = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let told = io.block_on(async { tokio::time::timeout(Duration::from_secs(30), open.answer()).await });
        assert_eq!(told, Ok(None));
    }
}
