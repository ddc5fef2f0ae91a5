//! Records each attempt to place an order, for the verification at the end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use api::OrderId;
use history::{Moment, OrderOutcome};

/// How many attempts are recorded; each takes 64 bytes. Further attempts are only counted.
pub(crate) const ATTEMPTS_MAX: usize = 1_000_000;

/// One attempt to order one piece.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) id: OrderId,
    /// The product's index in the plan.
    pub(crate) product: u32,
    pub(crate) called: Moment,
    /// `None` if there was no response.
    pub(crate) returned: Option<Moment>,
    pub(crate) outcome: OrderOutcome,
}

/// All attempts of a load.
#[derive(Debug, Default)]
pub(super) struct AttemptLog {
    attempts: Mutex<Vec<Attempt>>,
    dropped: AtomicU64,
}

impl AttemptLog {
    pub(super) fn record(&self, attempt: Attempt) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if attempts.len() < ATTEMPTS_MAX {
            attempts.push(attempt);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes the recorded attempts, and the number of those that were not recorded.
    pub(super) fn take(&self) -> (Vec<Attempt>, u64) {
        let attempts = std::mem::take(&mut *self.attempts.lock().unwrap_or_else(PoisonError::into_inner));
        (attempts, self.dropped.load(Ordering::Relaxed))
    }
}
