//! The time limit of calls: one timer for all of a process, because to set one costs two system calls.

use std::pin::Pin;
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

/// A timer that is set anew only when it must be.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    /// Set to the deadline of some call; made by the first one, where the runtime is entered.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Waits until `deadline`. Whoever does not wait to the end loses nothing.
    pub(super) async fn at(&mut self, deadline: Instant) {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline.into())));
        if timer.deadline() > deadline.into() {
            timer.as_mut().reset(deadline.into());
        }
        loop {
            timer.as_mut().await;
            if Instant::now() >= deadline {
                return;
            }
            // It was an earlier call's, which ended in time.
            timer.as_mut().reset(deadline.into());
        }
    }
}
