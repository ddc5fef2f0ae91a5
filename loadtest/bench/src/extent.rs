//! How much is measured.

use std::time::Duration;

/// How often and how long.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    /// How often each side is measured; an odd number has a middle one.
    pub(crate) rounds: usize,
    /// Before each measurement, under the same load, not counted.
    pub(crate) warm_up: Duration,
    /// Each measurement.
    pub(crate) measured: Duration,
    /// How often the store's leader is killed.
    pub(crate) kills: u32,
    /// How often etcd's is; each costs it seconds, and they differ little.
    pub(crate) etcd_kills: u32,
    /// Orders in the ledger, rising; the first is what the others are compared with.
    pub(crate) ledgers: &'static [u64],
    /// Of everything that is measured once for each ledger.
    pub(crate) ledger_rounds: usize,
}

impl Extent {
    /// Of figures that are to be believed: all benchmarks together in less than half an hour.
    pub(crate) fn full() -> Self {
        Self {
            rounds: 5,
            warm_up: Duration::from_secs(1),
            measured: Duration::from_secs(4),
            kills: 50,
            etcd_kills: 10,
            ledgers: &[10_000, 100_000, 1_000_000, 5_000_000],
            ledger_rounds: 7,
        }
    }

    /// Each measurement half as long.
    pub(crate) fn halved(&self) -> Self {
        Self { warm_up: self.warm_up / 2, measured: self.measured / 2, ..self.clone() }
    }

    /// To see that everything works.
    pub(crate) fn quick() -> Self {
        Self {
            rounds: 1,
            warm_up: Duration::from_millis(200),
            measured: Duration::from_millis(800),
            kills: 5,
            etcd_kills: 1,
            ledgers: &[10_000, 100_000],
            ledger_rounds: 1,
        }
    }
}
