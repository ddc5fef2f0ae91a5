//! The report of a run.

use std::collections::BTreeMap;
use std::fmt;

use history::{Counts, Violation};

/// A failure that a run has found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimulationFailure {
    /// An invariant is violated, according to the shoppers' history and the final state.
    #[error("{0}")]
    Invariant(Box<Violation>),
    /// The store made no progress although there were no faults (any more).
    #[error("liveness: {0}")]
    Liveness(String),
    /// A process ended itself without a reason.
    #[error("{who} ended itself at {at_ms} ms with exit code {code}: {what}")]
    UnexpectedExit {
        /// The process.
        who: String,
        /// When it ended, in virtual time.
        at_ms: u64,
        /// Its exit code.
        code: u8,
        /// Its error message.
        what: String,
    },
    /// The replicas' ledgers differ although the store is quiet.
    #[error("I3: the ledgers differ although the store is quiet; their lengths are {0:?} bytes")]
    LedgersDiffer(Vec<usize>),
}

/// Whether a failure is the one to be told, if a run has several.
pub(crate) type Wanted = fn(&SimulationFailure) -> bool;

/// The run of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulationReport {
    /// The seed.
    pub seed: u64,
    /// Its length in virtual milliseconds.
    pub virtual_ms: u64,
    /// The number of hashed events: messages, faults, responses to clients, and others.
    pub events: u64,
    /// Acknowledged orders, each counted once.
    pub acknowledged: u64,
    /// Order leaders that took over.
    pub elections: u64,
    /// The number of faults of each kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// The hash of the trace: the same for two runs of one seed.
    pub trace_hash: u64,
    /// The counts of the checkers.
    pub counts: Counts,
    /// Empty if the run is clean.
    pub failures: Vec<SimulationFailure>,
}

impl SimulationReport {
    /// Whether there are no failures.
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty()
    }
}

impl fmt::Display for SimulationReport {
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
        write!(f, "{} failures", self.failures.len())?;
        self.failures.iter().try_for_each(|failure| write!(f, "\n  {failure}"))
    }
}
