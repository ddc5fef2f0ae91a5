//! Writes down each attempt at an order, for the reckoning at the end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use api::OrderId;
use history::{Moment, OrderOutcome};

/// So many attempts are written down; each takes 64 bytes. Those beyond are counted.
pub(crate) const SLIPS_MAX: usize = 1_000_000;

/// One attempt at an order of one piece.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slip {
    pub(crate) id: OrderId,
    /// Which of the plan's products.
    pub(crate) product: u32,
    pub(crate) called: Moment,
    /// `None` if there was no answer.
    pub(crate) returned: Option<Moment>,
    pub(crate) outcome: OrderOutcome,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Book {
    slips: Mutex<Vec<Slip>>,
    missed: AtomicU64,
}

impl Book {
    pub(super) fn write(&self, slip: Slip) {
        let mut slips = self.slips.lock().unwrap_or_else(PoisonError::into_inner);
        if slips.len() < SLIPS_MAX {
            slips.push(slip);
        } else {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The slips, and how many attempts have none.
    pub(super) fn close(&self) -> (Vec<Slip>, u64) {
        let slips = std::mem::take(&mut *self.slips.lock().unwrap_or_else(PoisonError::into_inner));
        (slips, self.missed.load(Ordering::Relaxed))
    }
}
