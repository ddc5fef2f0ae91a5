//! Counts what became of requests while many connections tell.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;

use super::outcome::{End, Kind, Outcome, Timing};

/// Counts since the last look, by the stage in which a request was due. Each connection tells one part of it, so that they
/// seldom wait for each other.
#[derive(Debug)]
pub(super) struct Tally(Vec<Mutex<BTreeMap<usize, Outcome>>>);

impl Tally {
    pub(super) fn new() -> Self {
        let parts = available_parallelism().map_or(1, |threads| threads.get() * 2);
        Self((0..parts).map(|_| Mutex::default()).collect())
    }

    /// One request is over; it was sent on that connection.
    pub(super) fn count(&self, connection: usize, stage: usize, kind: Kind, end: End, timing: Timing) {
        let mut part = self.0[connection % self.0.len()].lock().unwrap_or_else(PoisonError::into_inner);
        part.entry(stage).or_default().of_mut(kind).count(end, timing);
    }

    /// What was counted since the last look.
    pub(super) fn take(&self) -> BTreeMap<usize, Outcome> {
        let mut all = BTreeMap::<_, Outcome>::new();
        for part in &self.0 {
            let part = std::mem::take(&mut *part.lock().unwrap_or_else(PoisonError::into_inner));
            for (stage, outcome) in part {
                all.entry(stage).or_default().absorb(&outcome);
            }
        }
        all
    }
}
