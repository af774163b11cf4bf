//! Threads that wait for functions which run elsewhere: as many as calls need, none when there are none.
//!
//! They know nothing of functions: a job is a closure, and its sender sees to it that there are never more than a few.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(5);

type Job = Box<dyn FnOnce() + Send>;

/// The threads of one function at one node.
pub(super) struct Workers {
    most: usize,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for a job.
    waiting: usize,
    closed: bool,
}

impl Workers {
    /// At most so many, and none yet.
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), shared: Arc::default() }
    }

    /// Has the job done; true if it must wait because as many threads as there may be are busy.
    pub(super) fn submit(&self, job: Job) -> bool {
        let mut state = self.shared.state.lock();
        state.jobs.push_back(job);
        if state.waiting >= state.jobs.len() {
            drop(state);
            self.shared.work.notify_one();
            return false;
        }
        if state.threads >= self.most {
            return true;
        }
        state.threads += 1;
        drop(state);
        let shared = Arc::clone(&self.shared);
        if thread::Builder::new().name("rh-function".to_owned()).spawn(move || shared.work()).is_err() {
            self.without_a_thread();
        }
        false
    }

    /// A thread could not be had: the others do its work, or this one does if there are none.
    fn without_a_thread(&self) {
        let mut state = self.shared.state.lock();
        state.threads -= 1;
        let job = if state.threads == 0 { state.jobs.pop_front() } else { None };
        drop(state);
        if let Some(job) = job {
            job();
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn work(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // Who sent the job hears of its panic by its own means; the thread goes on.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.state.lock();
                continue;
            }
            if state.closed {
                break;
            }
            state.waiting += 1;
            let late = self.work.wait_for(&mut state, IDLE).timed_out();
            state.waiting -= 1;
            if late && state.jobs.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn there_are_as_many_threads_as_jobs_need_and_no_more_than_may_be() {
        let workers = Workers::new(2);
        let (started, starts) = mpsc::channel();
        let gates: Vec<_> = (0..3).map(|_| mpsc::channel::<()>()).collect();
        let (opens, gates): (Vec<_>, Vec<_>) = gates.into_iter().unzip();
        let waits: Vec<bool> = gates
            .into_iter()
            .enumerate()
            .map(|(number, gate)| {
                let started = started.clone();
                workers.submit(Box::new(move || {
                    started.send(number).unwrap();
                    gate.recv().unwrap();
                }))
            })
            .collect();
        assert_eq!(waits, [false, false, true]);
        let mut first: Vec<usize> = (0..2).map(|_| starts.recv().unwrap()).collect();
        first.sort_unstable();
        assert_eq!(first, [0, 1]);
        assert!(starts.try_recv().is_err());
        opens[1].send(()).unwrap();
        assert_eq!(starts.recv().unwrap(), 2);
        assert_eq!(workers.shared.state.lock().threads, 2);
    }

    #[test]
    fn a_job_that_panics_takes_no_thread_with_it() {
        let workers = Workers::new(1);
        workers.submit(Box::new(|| panic!("as it should")));
        let (done, waits) = mpsc::channel();
        workers.submit(Box::new(move || done.send(()).unwrap()));
        waits.recv().unwrap();
    }
}
