//! The measurements of the growing store.

use serde::Serialize;

use super::reads::Reads;
use crate::rounds::Rounds;

/// Concurrent shoppers.
pub(super) const SHOPPERS: usize = 64;

/// Orders that a replica misses before it has to catch up.
pub(super) const MISSED: u64 = 20_000;

/// The old store at one ledger size, and its comparison with the young store.
#[derive(Debug, Serialize)]
pub(super) struct LedgerSizeResult {
    /// The requested ledger size, in orders.
    pub(super) wanted: u64,
    /// The orders in the ledger when the memory was measured.
    pub(super) orders: u64,
    /// The memory of the replica that uses most.
    pub(super) memory_bytes: u64,
    /// The memory of a follower that has just been restarted.
    pub(super) memory_restarted_bytes: u64,
    pub(super) restart_s: Vec<f64>,
    pub(super) catch_up_s: Vec<f64>,
    /// `None` for the smallest size: the young store is as large.
    pub(super) comparison: Option<AgeComparison>,
}

/// Measurements that alternate between the old and the young store.
#[derive(Debug, Default, Serialize)]
pub(super) struct AgeComparison {
    pub(super) old: Rounds,
    pub(super) young: Rounds,
    pub(super) old_reads: Vec<Reads>,
    pub(super) young_reads: Vec<Reads>,
}
