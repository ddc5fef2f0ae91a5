//! When a request is sent again while it has no response.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// When a request is sent again; see `hedge` for how and why.
#[derive(Clone, Debug)]
pub struct Hedge {
    /// How long to wait for a response before each further copy.
    pub after: Duration,
    /// The most copies, including the first.
    pub copies: usize,
    /// Incremented before each copy is sent, for a caller that must know how many there are.
    pub sent: Option<Arc<AtomicUsize>>,
}

impl Hedge {
    /// For requests that are answered from memory or after one round of a group. The delay is many
    /// round trips within a site, and a fraction of the time that TCP would wait. At 30 % loss in
    /// each direction, one in a hundred requests has no response after six copies.
    pub const QUICK: Self = Self { after: Duration::from_millis(30), copies: 6, sent: None };

    /// For requests that may take a while although nothing is lost: a change that waits for disks,
    /// or for frontends to confirm.
    pub const STEADY: Self = Self { after: Duration::from_millis(100), copies: 5, sent: None };

    /// Counts the copies in `sent`.
    #[must_use]
    pub fn counted(self, sent: Arc<AtomicUsize>) -> Self {
        Self { sent: Some(sent), ..self }
    }

    /// Counts a copy that is about to be sent.
    pub(super) fn count_copy(&self) {
        if let Some(sent) = &self.sent {
            sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}
