//! What a run has shown.

use std::collections::BTreeMap;
use std::fmt;

use history::{Counts, Violation};

/// A promise that a run has broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An invariant, by what the shoppers saw and what is left.
    #[error("{0}")]
    Invariant(Box<Violation>),
    /// The store did not take an order although nothing was wrong (any more).
    #[error("liveness: {0}")]
    NotAlive(String),
    /// A process ended itself although nothing gave it a reason to.
    #[error("{who} ended itself at {at_ms} ms with exit code {code}: {what}")]
    Ended {
        /// Which process.
        who: String,
        /// When, in virtual time.
        at_ms: u64,
        /// Its exit code.
        code: u8,
        /// What it said.
        what: String,
    },
    /// The replicas' ledgers are not the same although the store is quiet.
    #[error("I3: when all was quiet the ledgers had {0:?} bytes")]
    LedgersDiffer(Vec<usize>),
}

/// One seed's run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// How long it was, in virtual milliseconds.
    pub virtual_ms: u64,
    /// Messages, faults, answers to clients …: everything that was hashed.
    pub events: u64,
    /// Orders that were acknowledged, each once.
    pub acknowledged: u64,
    /// Order leaders that took over.
    pub elections: u64,
    /// Faults by their kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Two runs of one seed have the same.
    pub trace_hash: u64,
    /// What the checkers counted.
    pub counts: Counts,
    /// Empty if all is well.
    pub broken: Vec<Broken>,
}

impl Report {
    /// Whether nothing is broken.
    pub fn is_clean(&self) -> bool {
        self.broken.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, virtual_ms, events, acknowledged, elections, trace_hash, .. } = self;
        let faults: u64 = self.faults.values().sum();
        write!(
            f,
            "seed {seed}: {}.{} s, {events} events, {faults} faults, {acknowledged} orders, {elections} order leaders, \
             trace {trace_hash:016x}: ",
            virtual_ms / 1000,
            virtual_ms % 1000 / 100
        )?;
        if self.is_clean() {
            return f.write_str("clean");
        }
        write!(f, "{} broken", self.broken.len())?;
        self.broken.iter().try_for_each(|broken| write!(f, "\n  {broken}"))
    }
}
