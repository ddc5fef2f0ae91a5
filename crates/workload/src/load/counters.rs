//! Counts the outcomes of requests while many connections report them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;

use crate::request::RequestKind;
use crate::stats::{LoadStats, RequestOutcome, RequestTiming};

/// What was counted since the last [`take`](Self::take), by the stage in which a request was due.
/// Sharded by connection, so that connections seldom wait for each other.
#[derive(Debug)]
pub(super) struct Counters(Vec<Mutex<BTreeMap<usize, LoadStats>>>);

impl Counters {
    pub(super) fn new() -> Self {
        let shards = available_parallelism().map_or(1, |threads| threads.get() * 2);
        Self((0..shards).map(|_| Mutex::default()).collect())
    }

    /// Counts a finished request of that connection.
    pub(super) fn count(
        &self,
        connection: usize,
        stage: usize,
        kind: RequestKind,
        outcome: RequestOutcome,
        timing: RequestTiming,
    ) {
        let mut shard = self.0[connection % self.0.len()].lock().unwrap_or_else(PoisonError::into_inner);
        shard.entry(stage).or_default().of_mut(kind).count(outcome, timing);
    }

    /// Takes what was counted since the last call.
    pub(super) fn take(&self) -> BTreeMap<usize, LoadStats> {
        let mut all = BTreeMap::<_, LoadStats>::new();
        for shard in &self.0 {
            let shard = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            for (stage, stats) in shard {
                all.entry(stage).or_default().merge(&stats);
            }
        }
        all
    }
}
