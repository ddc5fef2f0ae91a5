//! How much is measured.

use std::time::Duration;

/// How often and how long is measured.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// How often each side is measured; an odd number, so that there is a middle value.
    pub(crate) rounds: usize,
    /// The warm-up before each measurement: the same load, not counted.
    pub(crate) warm_up: Duration,
    /// The length of each measurement.
    pub(crate) measured: Duration,
    /// How often the store's leader is killed.
    pub(crate) kills: u32,
    /// How often etcd's leader is killed. Each kill takes seconds, and the results differ little.
    pub(crate) etcd_kills: u32,
    /// How often each kind of fault is injected.
    pub(crate) faults: u32,
    /// The ledger sizes in orders, ascending; the others are compared with the first.
    pub(crate) ledgers: &'static [u64],
    /// The rounds of everything that is measured for each ledger size.
    pub(crate) ledger_rounds: usize,
}

impl Profile {
    /// For reliable results: all benchmarks together take less than half an hour.
    pub(crate) fn full() -> Self {
        Self {
            rounds: 5,
            warm_up: Duration::from_secs(1),
            measured: Duration::from_secs(4),
            kills: 50,
            etcd_kills: 10,
            faults: 50,
            ledgers: &[10_000, 100_000, 1_000_000, 5_000_000],
            ledger_rounds: 7,
        }
    }

    /// The same with measurements of half the length.
    pub(crate) fn halved(&self) -> Self {
        Self { warm_up: self.warm_up / 2, measured: self.measured / 2, ..self.clone() }
    }

    /// A smoke test.
    pub(crate) fn quick() -> Self {
        Self {
            rounds: 1,
            warm_up: Duration::from_millis(200),
            measured: Duration::from_millis(800),
            kills: 5,
            etcd_kills: 1,
            faults: 2,
            ledgers: &[10_000, 100_000],
            ledger_rounds: 1,
        }
    }
}
