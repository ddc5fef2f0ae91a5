//! The options of a run.

use crate::trace::TraceDetail;

/// The options of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimulationOptions {
    /// Whether to run without faults.
    pub without_faults: bool,
    /// How many in a thousand packets are lost and sent again, instead of what the seed draws.
    pub packets_lost: Option<u64>,
    /// Whether the run goes on after a process has ended itself without a reason. The process is
    /// started again in any case; so the checkers see what clients see of such a store.
    pub goes_on_after_exits: bool,
    /// Which events are written to the listener.
    pub detail: TraceDetail,
}
