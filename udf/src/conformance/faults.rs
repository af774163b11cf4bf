//! What a function promises when its code fails: the call says how, in time, and the next one works.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::calls::{Copy, ample};
use super::subject::{Behaviour, Subject, batch};
use super::{Check, Finding, ensure};
use crate::contract::{CallError, CallErrorKind, Usage};
use crate::limits::Limits;

/// All checks.
pub(super) const ALL: &[Check] = &[
    ("a call that hangs ends at its limit", hang),
    ("a copy that hangs holds up no other", hang_beside),
    ("a call ends at its deadline, and nothing is left to wait for", deadline),
    ("code that crashes fails its call alone", crash),
    ("code that wants too much memory fails its call alone", memory),
    ("an answer that is too large fails its call alone", flood),
    ("an answer that is none fails its call alone", garbage),
];

/// The time limit of calls that hang.
const LIMIT: Duration = Duration::from_millis(500);
/// What a call may take longer than its limit on a busy machine.
const SLACK: Duration = Duration::from_secs(5);

fn hang(subject: &mut dyn Subject) -> Finding {
    let function = subject.function(Behaviour::Hang, &Limits { timeout: LIMIT, ..ample() });
    let mut copy = Copy::of(&*function)?;
    copy.works()?;
    for _ in 0..2 {
        let started = Instant::now();
        let (error, usage) = copy.fail()?;
        let took = started.elapsed();
        ensure!(error.kind == CallErrorKind::Timeout, "it is reported as {error}");
        ensure!(error.retryable, "a second try might end in time, and is ruled out");
        ensure!(took >= LIMIT && took < LIMIT + SLACK, "a call with a limit of {LIMIT:?} took {took:?}");
        ensure!(usage.duration >= LIMIT / 2, "it is reported to have taken {:?}", usage.duration);
        copy.works()?;
    }
    Ok(())
}

fn hang_beside(subject: &mut dyn Subject) -> Finding {
    let function = subject.function(Behaviour::Hang, &Limits { timeout: LIMIT * 4, ..ample() });
    let (mut hanging, mut other) = (Copy::of(&*function)?, Copy::of(&*function)?);
    hanging.works()?;
    other.works()?;
    let hangs = AtomicBool::new(true);
    let beside = thread::scope(|scope| {
        let hung = scope.spawn(|| {
            let failed = hanging.fail();
            hangs.store(false, Ordering::SeqCst);
            failed
        });
        thread::sleep(Duration::from_millis(50));
        let worked = (0..5).try_for_each(|_| other.works());
        let beside = hangs.load(Ordering::SeqCst);
        hung.join().map_err(|_| "the call panicked")??;
        worked.map(|()| beside)
    })?;
    ensure!(beside, "the other copy's calls ended after the one that hung");
    Ok(())
}

fn deadline(subject: &mut dyn Subject) -> Finding {
    let function = subject.function(Behaviour::Hang, &ample());
    let mut copy = Copy::of(&*function)?;
    copy.works()?;
    for wait in [LIMIT, Duration::ZERO] {
        let started = Instant::now();
        let (result, _) = copy.call_until(&batch([-1]), Some(started + wait))?;
        let took = started.elapsed();
        let error = result.err().ok_or("the call did not fail")?;
        ensure!(took < wait + SLACK, "a call with {wait:?} to go took {took:?}");
        // Who was not even started in time may say so as well.
        ensure!(error.kind == CallErrorKind::Timeout || error.is_unavailable(), "it is reported as {error}");
    }
    let started = Instant::now();
    drop(copy);
    drop(function);
    ensure!(started.elapsed() < SLACK, "it took {:?} to be rid of it", started.elapsed());
    Ok(())
}

fn crash(subject: &mut dyn Subject) -> Finding {
    let (error, _) = alone(subject, Behaviour::Crash, &ample())?;
    ensure!(error.kind == CallErrorKind::Crash, "it is reported as {error}");
    ensure!(error.retryable, "a second try might not crash, and is ruled out");
    Ok(())
}

fn memory(subject: &mut dyn Subject) -> Finding {
    if !subject.abilities().memory {
        return Ok(());
    }
    let (error, usage) = alone(subject, Behaviour::Grow, &ample())?;
    ensure!(error.kind == CallErrorKind::OutOfMemory, "it is reported as {error}");
    ensure!(usage.peak_memory > 0, "no use of memory is reported");
    Ok(())
}

fn flood(subject: &mut dyn Subject) -> Finding {
    let limits = Limits { max_output: 64 << 10, ..ample() };
    let (error, _) = alone(subject, Behaviour::Flood, &limits)?;
    ensure!(error.kind == CallErrorKind::OutputTooLarge, "it is reported as {error}");
    Ok(())
}

fn garbage(subject: &mut dyn Subject) -> Finding {
    let (error, _) = alone(subject, Behaviour::Garbage, &ample())?;
    ensure!(error.kind == CallErrorKind::InvalidResponse, "it is reported as {error}");
    Ok(())
}

/// Two failures, each between calls that work.
fn alone(subject: &mut dyn Subject, behaviour: Behaviour, limits: &Limits) -> Result<(CallError, Usage), String> {
    let function = subject.function(behaviour, limits);
    let mut copy = Copy::of(&*function)?;
    copy.works()?;
    copy.fail()?;
    copy.works()?;
    let failed = copy.fail()?;
    copy.works()?;
    Ok(failed)
}
