//! The suite finds what it says it finds: a function in memory passes it, and with any one defect does not.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use arrow_array::{RecordBatch, StringArray};
use arrow_schema::{Schema, SchemaRef};

use super::calls::ids;
use super::{Behaviour, START, Subject, batch, check, failures, schema};
use crate::contract::{
    CallError, CallErrorKind, Caller, FailedRow, Function, Instance, Invocation, OpenError, Origin, Outcome, Reply,
    Usage,
};
use crate::limits::Limits;

/// What a kind does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    None,
    LosesRows,
    NoVersion,
    FailsOnEmpty,
    KeepsDropped,
    SaysSame,
    AnswersOtherSchema,
    NamesWrongRow,
    NamesRowsTwice,
    SilentNo,
    Sorts,
    MixesCopies,
    OneAtATime,
    CountsStart,
    AlwaysCold,
    NoLimit,
    OneHangsAll,
    NoDeadline,
    StaysCrashed,
    CallsAllCrash,
    TakesAnything,
    RepeatsRows,
}

impl Subject for Defect {
    fn function(&mut self, behaviour: Behaviour, limits: &Limits) -> Box<dyn Function> {
        let mut hash = "0a";
        if *self == Self::NoVersion {
            hash = "";
        }
        let shared =
            Shared { behaviour, limits: *limits, defect: *self, last: Mutex::default(), lock: Mutex::default() };
        Box::new(InMemory(Arc::new(shared), hash))
    }
}

struct Shared {
    behaviour: Behaviour,
    limits: Limits,
    defect: Defect,
    /// The rows of the last call of any copy.
    last: Mutex<Option<RecordBatch>>,
    lock: Mutex<()>,
}

struct InMemory(Arc<Shared>, &'static str);

impl Function for InMemory {
    fn describe(&self, _: &Schema) -> Result<SchemaRef, OpenError> {
        let other = self.0.defect == Defect::AnswersOtherSchema;
        Ok(if other { schema() } else { self.0.behaviour.output() })
    }

    fn instance(&self, _: SchemaRef, _: &Caller) -> Result<Box<dyn Instance>, OpenError> {
        let (warm, crashes) = (AtomicBool::new(false), AtomicUsize::new(0));
        Ok(Box::new(InMemoryCopy { shared: Arc::clone(&self.0), output: self.0.behaviour.output(), warm, crashes }))
    }

    fn version(&self) -> &str {
        self.1
    }
}

struct InMemoryCopy {
    shared: Arc<Shared>,
    output: SchemaRef,
    warm: AtomicBool,
    crashes: AtomicUsize,
}

impl Instance for InMemoryCopy {
    fn output(&self) -> &SchemaRef {
        &self.output
    }

    fn call(&mut self, rows: &RecordBatch, invocation: &Invocation<'_>) -> Reply {
        let defect = self.shared.defect;
        let cold = !self.warm.swap(true, Ordering::SeqCst);
        let mut cold_start = (cold || defect == Defect::AlwaysCold).then_some(Duration::from_millis(1));
        if cold && self.shared.behaviour == Behaviour::SlowStart {
            if defect == Defect::CountsStart {
                return self.failed(CallErrorKind::Timeout, self.shared.limits.timeout);
            }
            thread::sleep(START);
            cold_start = Some(START);
        }
        let begun = Instant::now();
        let result = self.run(rows, invocation);
        let usage = Usage { duration: begun.elapsed(), cold_start, peak_memory: 1, ..Usage::default() };
        Reply { result, usage }
    }
}

impl InMemoryCopy {
    fn failed(&self, kind: CallErrorKind, duration: Duration) -> Reply {
        let usage = Usage { duration, ..Usage::default() };
        Reply { result: Err(CallError::new(kind, "as it was told")), usage }
    }

    fn run(&self, rows: &RecordBatch, invocation: &Invocation<'_>) -> Result<Outcome, CallError> {
        let defect = self.shared.defect;
        let _one = matches!(defect, Defect::OneAtATime | Defect::OneHangsAll)
            .then(|| self.shared.lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let no = |kind: CallErrorKind| Err(CallError::new(kind, "as it was told"));
        if rows.num_rows() == 0 && defect == Defect::FailsOnEmpty {
            return no(CallErrorKind::InvalidResponse);
        }
        if self.crashes.load(Ordering::SeqCst) > 0 && defect == Defect::StaysCrashed {
            return no(CallErrorKind::Crash);
        }
        let bad: Vec<bool> = ids(rows).iter().map(|id| *id < 0).collect();
        if bad.contains(&true) {
            match self.shared.behaviour {
                Behaviour::FailBatch if defect == Defect::SilentNo => {}
                Behaviour::FailBatch if defect == Defect::RepeatsRows => {
                    let kind = CallErrorKind::Failed("No".to_owned());
                    return Err(CallError::new(kind, format!("{:?}", rows.column(1))));
                }
                Behaviour::FailBatch => return no(CallErrorKind::Failed("No".to_owned())),
                Behaviour::Hang => return self.hang(invocation),
                Behaviour::Crash => {
                    self.crashes.fetch_add(1, Ordering::SeqCst);
                    return no(CallErrorKind::Crash);
                }
                Behaviour::Grow | Behaviour::Flood if defect == Defect::CallsAllCrash => {
                    return no(CallErrorKind::Crash);
                }
                Behaviour::Grow => return no(CallErrorKind::OutOfMemory),
                Behaviour::Flood => return no(CallErrorKind::OutputTooLarge),
                Behaviour::Garbage if defect != Defect::TakesAnything => return no(CallErrorKind::InvalidResponse),
                Behaviour::Nap => thread::sleep(Duration::from_millis(400)),
                _ => {}
            }
        }
        Ok(self.answer(rows, &bad))
    }

    fn hang(&self, invocation: &Invocation<'_>) -> Result<Outcome, CallError> {
        let limit = self.shared.limits.timeout;
        let left = invocation.deadline.map_or(limit, |deadline| deadline.saturating_duration_since(Instant::now()));
        let wait = match self.shared.defect {
            Defect::NoDeadline => limit.min(Duration::from_secs(7)),
            Defect::NoLimit => limit.min(left) / 2,
            _ => limit.min(left),
        };
        thread::sleep(wait);
        Err(CallError::new(CallErrorKind::Timeout, "as it was told"))
    }

    fn answer(&self, rows: &RecordBatch, bad: &[bool]) -> Outcome {
        let defect = self.shared.defect;
        let mut of: Vec<usize> = (0..rows.num_rows()).collect();
        let mut failed = Vec::new();
        match self.shared.behaviour {
            Behaviour::Filter if defect != Defect::KeepsDropped => of.retain(|row| !bad[*row]),
            Behaviour::Twice => of = of.iter().flat_map(|row| [*row, *row]).collect(),
            Behaviour::FailRows => {
                of.retain(|row| !bad[*row]);
                failed = (0..bad.len()).filter(|row| bad[*row]).map(failed_row).collect();
                match defect {
                    Defect::NamesWrongRow => failed.iter_mut().for_each(|failed| failed.row = 0),
                    Defect::NamesRowsTwice => failed.extend(failed.clone()),
                    _ => {}
                }
            }
            _ => {}
        }
        let mut answered: Vec<i64> = of.iter().map(|row| ids(rows)[*row]).collect();
        match defect {
            Defect::LosesRows if answered.len() > 100 => answered.truncate(100),
            Defect::Sorts => answered.sort_unstable(),
            Defect::MixesCopies => {
                let before = self.shared.last.lock().unwrap().replace(rows.clone());
                if let Some(before) = before.filter(|before| before.num_rows() == answered.len()) {
                    answered = ids(&before);
                }
            }
            _ => {}
        }
        let output = if self.shared.behaviour == Behaviour::Relabel {
            let labels: StringArray = answered.iter().map(|id| Some(format!("row {id}"))).collect();
            RecordBatch::try_new(self.output.clone(), vec![Arc::new(labels)]).unwrap()
        } else {
            batch(answered)
        };
        let origin = match defect {
            Defect::SaysSame => Origin::Same,
            Defect::LosesRows => Origin::WholeBatch,
            _ => Origin::Rows(of.iter().map(|row| *row as u32).collect()),
        };
        Outcome { output, origin, failed }
    }
}

fn failed_row(row: usize) -> FailedRow {
    FailedRow { row: row as u32, code: "Bad".to_owned(), message: "bad".to_owned(), retryable: false }
}

#[test]
fn a_function_without_defect_passes() {
    check(&mut { Defect::None });
}

/// The promises that a kind with the defect does not keep, as the suite found.
fn found(mut defect: Defect) -> Vec<String> {
    let failed = failures(&mut defect);
    failed.iter().map(|line| line.trim_start_matches("- ").split(": ").next().unwrap().to_owned()).collect()
}

#[test]
fn each_defect_is_found() {
    let defects = [
        (Defect::LosesRows, "rows come back as the code answers them"),
        (Defect::NoVersion, "a function has a version, and one schema"),
        (Defect::FailsOnEmpty, "no rows are no failure"),
        (Defect::KeepsDropped, "rows may be dropped"),
        (Defect::SaysSame, "rows may become several"),
        (Defect::AnswersOtherSchema, "rows may become others, of another schema"),
        (Defect::NamesWrongRow, "a row that fails is named, alone"),
        (Defect::NamesRowsTwice, "all rows may fail"),
        (Defect::SilentNo, "code may say no to a batch, and goes on"),
        (Defect::RepeatsRows, "code may say no to a batch, and goes on"),
        (Defect::Sorts, "rows keep their order"),
        (Defect::MixesCopies, "copies do not mix their rows"),
        (Defect::OneAtATime, "copies run at the same time"),
        (Defect::CountsStart, "a slow start takes nothing from a call's time"),
        (Defect::AlwaysCold, "a copy that is warm is not reported as started"),
        (Defect::NoLimit, "a call that hangs ends at its limit"),
        (Defect::OneHangsAll, "a copy that hangs holds up no other"),
        (Defect::NoDeadline, "a call ends at its deadline, and nothing is left to wait for"),
        (Defect::StaysCrashed, "code that crashes fails its call alone"),
        (Defect::CallsAllCrash, "code that wants too much memory fails its call alone"),
        (Defect::CallsAllCrash, "an answer that is too large fails its call alone"),
        (Defect::TakesAnything, "an answer that is none fails its call alone"),
    ];
    thread::scope(|scope| {
        for (defect, promise) in defects {
            scope.spawn(move || {
                let found = found(defect);
                assert!(found.iter().any(|found| found == promise), "{defect:?} was found as {found:?}");
            });
        }
    });
}
