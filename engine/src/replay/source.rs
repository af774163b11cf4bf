//! Letters as a source: those that go in at one node, as what that node was given.
//!
//! A letter is noted as done when a barrier behind it is durable at every sink, dead letters included: a run that is
//! killed repeats what came after its last such barrier, and nothing else.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_schema::{FieldRef, SchemaRef};
use riverhook_connectors::{
    batch::{Batch, Input, Payloads},
    error::{Error as ConnectorError, ErrorKind},
    format::{Decoder, Format},
    position::{Partition, Position, Positions},
    source::{Keeper, Polled, ReadContext, Reader, Source},
};
use sha2::{Digest, Sha256};

use super::{
    done::Done,
    letter::{Letter, LetterId},
    records::{self, runs},
    route::{Entry, Router},
    scan::{Found, Places, Scan, Scanned, Scanning},
    select::Selection,
    tally::{Problem, Tally},
};
use crate::run::FailedRecords;

/// For how long a source may look for a record that is read again.
const PATIENCE: Duration = Duration::from_secs(15);

/// What all sources of one replay share.
pub(super) struct Shared {
    pub(super) places: Places,
    pub(super) router: Router,
    pub(super) selection: Selection,
    pub(super) done: Done,
    pub(super) tally: Tally,
    /// Where the last letter is in each partition: those that come later are for another replay.
    pub(super) bounds: Positions,
    pub(super) failed: Arc<FailedRecords>,
}

/// What a node is given.
#[derive(Clone)]
pub(super) enum Given {
    /// Records, to be decoded. Those that were cut are asked of their source.
    Payloads {
        /// The source itself.
        source: Arc<dyn Source>,
    },
    /// Rows of these columns.
    Rows(SchemaRef),
}

/// The letters of one entry as a source.
pub(super) struct LettersSource {
    pub(super) shared: Arc<Shared>,
    pub(super) entry: Entry,
    /// The node's name.
    pub(super) node: String,
    pub(super) given: Given,
}

impl Source for LettersSource {
    fn keeper(&self) -> Keeper {
        // The reader itself notes what is done.
        Keeper::Nobody
    }

    fn metadata(&self) -> Vec<FieldRef> {
        match &self.given {
            Given::Payloads { source } => source.metadata(),
            Given::Rows(_) => Vec::new(),
        }
    }

    fn is_finite(&self) -> bool {
        true
    }

    fn probe(&self, _timeout: Duration) -> Result<String, ConnectorError> {
        Ok("dead letters".to_owned())
    }

    fn open(&self, context: ReadContext) -> Result<Vec<Box<dyn Reader>>, ConnectorError> {
        let with = Scanning {
            pipeline: Arc::clone(&context.pipeline),
            limits: context.limits,
            clock: Arc::clone(&context.clock),
            io: context.io.clone(),
            status: context.status.clone(),
        };
        let scan = Scan::new(&self.shared.places, with)
            .map_err(|error| ConnectorError::fatal("letters cannot be read").caused_by(error))?;
        context.status.up();
        let decoder = match &self.given {
            Given::Payloads { .. } => None,
            Given::Rows(schema) => Some(Format::default().decoder(Arc::clone(schema))?),
        };
        Ok(vec![Box::new(LettersReader {
            shared: Arc::clone(&self.shared),
            entry: self.entry,
            node: self.node.clone(),
            given: self.given.clone(),
            decoder,
            scan,
            context,
            taken: HashSet::new(),
            ready: VecDeque::new(),
            header: None,
            handed: 0,
            open: VecDeque::new(),
            progress: Instant::now(),
        })])
    }
}

struct LettersReader {
    shared: Arc<Shared>,
    entry: Entry,
    node: String,
    given: Given,
    /// Makes rows of payloads.
    decoder: Option<Box<dyn Decoder>>,
    scan: Scan,
    context: ReadContext,
    /// Letters that were met in this run: a copy of one runs no second time.
    taken: HashSet<LetterId>,
    /// What comes next.
    ready: VecDeque<(Polled, Option<Handed>)>,
    /// The header that was handed over last.
    header: Option<String>,
    /// Letters that were handed over.
    handed: u64,
    /// What was handed over and is not known to be durable. The task bounds the barriers between.
    open: VecDeque<Handed>,
    /// When some were handed over or became durable last.
    progress: Instant,
}

/// For how long nothing became durable when no more will before the end: files are completed then.
const STANDSTILL: Duration = Duration::from_millis(500);

/// A batch of letters that was handed over.
struct Handed {
    letters: Vec<LetterId>,
    input: Arc<Input>,
    /// How many had been handed over with it.
    until: u64,
}

impl Reader for LettersReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled, ConnectorError> {
        let begun = Instant::now();
        loop {
            if let Some((polled, handed)) = self.ready.pop_front() {
                if let Some(handed) = handed {
                    self.handed += handed.letters.len() as u64;
                    self.progress = Instant::now();
                    self.open.push_back(Handed { until: self.handed, ..handed });
                }
                return Ok(polled);
            }
            match self.scan.next(wait)? {
                Scanned::Found(found) => self.take(found)?,
                Scanned::Idle => return Ok(Polled::Idle),
                // At the end all is made durable in one go; as long as that goes on by itself it is noted step by step.
                Scanned::End if !self.open.is_empty() && self.progress.elapsed() < STANDSTILL => {
                    std::thread::sleep(wait);
                    return Ok(Polled::Idle);
                }
                Scanned::End => return Ok(Polled::End),
            }
            if self.ready.is_empty() && begun.elapsed() >= wait {
                return Ok(Polled::Idle);
            }
        }
    }

    fn positions(&self) -> Positions {
        Positions::from([(Partition::new("letters"), Position::Offset(self.handed))])
    }

    fn commit(&mut self, positions: &Positions) -> Result<(), ConnectorError> {
        let until = positions.values().next().map_or(0, |Position::Offset(until)| *until);
        let mut durable = Vec::new();
        while let Some(handed) = self.open.pop_front_if(|handed| handed.until <= until) {
            self.progress = Instant::now();
            let count = handed.letters.len() as u64;
            let failed = self.shared.failed.take(&handed.input) as u64;
            self.shared.tally.ran(&self.node, count, failed.min(count));
            durable.extend(handed.letters);
        }
        self.shared.done.note(durable.into_iter()).map_err(|error| {
            ConnectorError::fatal("cannot note which letters have run again: the next replay would repeat them")
                .caused_by(error)
        })
    }
}

impl LettersReader {
    /// Makes ready what of these letters goes in at this entry.
    fn take(&mut self, found: Found) -> Result<(), ConnectorError> {
        let Found { partition, letters } = found;
        let bound = self.shared.bounds.get(&partition).copied();
        let mut own = Vec::new();
        for (position, letter) in letters {
            let Some(letter) = letter.filter(|_| bound.is_some_and(|bound| position <= bound)) else { continue };
            let wanted = self.shared.selection.admits(&letter)
                && self.shared.router.entry(&letter) == Ok(self.entry)
                && (self.shared.selection.again || !self.shared.done.has(letter.id))
                && self.taken.insert(letter.id);
            if !wanted {
                continue;
            }
            let place = format!("{partition} at {position}");
            match self.whole(letter)? {
                Ok(letter) => own.push(letter),
                Err(problem) => self.shared.tally.problem(problem, &place),
            }
        }
        for run in runs(own) {
            match self.given {
                Given::Payloads { .. } => self.payloads(&run),
                Given::Rows(_) => self.rows(run),
            }
        }
        Ok(())
    }

    /// The letter with all of its payload, which its source may have still.
    fn whole(&self, mut letter: Letter) -> Result<Result<Letter, Problem>, ConnectorError> {
        if !letter.is_cut {
            return Ok(Ok(letter));
        }
        let Given::Payloads { source } = &self.given else { return Ok(Err(Problem::Cut(letter.node))) };
        let Some(position) = letter.position else { return Ok(Err(Problem::Gone(letter.node))) };
        let again = match source.again(&Partition::new(letter.partition.as_str()), position, PATIENCE) {
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            // A topic that is gone or a file that is damaged is in the way of this letter alone.
            again => again.unwrap_or_default(),
        };
        let hash = |bytes: &Vec<u8>| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        // Another record may be there by now.
        match again.filter(|bytes| letter.sha256.as_ref().is_none_or(|sha256| *sha256 == hash(bytes))) {
            Some(bytes) => {
                (letter.payload, letter.is_cut) = (Some(bytes), false);
                Ok(Ok(letter))
            }
            None => Ok(Err(Problem::Gone(letter.node))),
        }
    }

    fn payloads(&mut self, run: &[Letter]) {
        let Given::Payloads { source } = &self.given else { return };
        let payloads: Payloads = match records::payloads(run, &source.metadata(), self.context.clock.now_micros()) {
            Ok(payloads) => payloads,
            Err(why) => return run.iter().for_each(|letter| self.misfit(letter, &why)),
        };
        if let Some(header) = run[0].header.as_ref().filter(|header| self.header.as_ref() != Some(header)) {
            self.header = Some(header.clone());
            self.ready.push_back((Polled::Header(header.as_bytes().into()), None));
        }
        let handed = handed(run, &payloads.input);
        self.ready.push_back((Polled::Payloads(payloads), Some(handed)));
    }

    fn rows(&mut self, mut run: Vec<Letter>) {
        let now = self.context.clock.now_micros();
        loop {
            if run.is_empty() {
                return;
            }
            let (input, values) = (records::input(&run, now), records::values(&run));
            let payloads = Payloads { values, metadata: Vec::new(), input: Arc::clone(&input) };
            let decoder = self.decoder.as_mut().expect("an entry that is given rows has a decoder");
            let decoded = decoder.decode(&payloads);
            if decoded.failed.is_empty() {
                let handed = handed(&run, &input);
                let batch = Batch { records: decoded.records, rows: records::rows(&run), input };
                return self.ready.push_back((Polled::Batch(batch), Some(handed)));
            }
            for failed in decoded.failed.iter().rev() {
                let letter = run.remove(failed.row as usize);
                self.misfit(&letter, &failed.message);
            }
        }
    }

    fn misfit(&self, letter: &Letter, why: &str) {
        let place = letter.position.map_or_else(
            || letter.partition.clone(),
            |position| format!("the record of {} at {position}", letter.partition),
        );
        let problem = Problem::Misfit { node: letter.node.clone(), why: why.to_owned() };
        self.shared.tally.problem(problem, &place);
    }
}

fn handed(run: &[Letter], input: &Arc<Input>) -> Handed {
    Handed { letters: run.iter().map(|letter| letter.id).collect(), input: Arc::clone(input), until: 0 }
}
