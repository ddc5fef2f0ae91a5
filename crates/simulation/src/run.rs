//! Runs one seed.

use crate::logs;
use crate::options::SimulationOptions;
use crate::report::SimulationReport;
use crate::simulation::Simulation;
use crate::trace::{TraceDetail, TraceListener};

/// Runs the store under the faults of `seed` and checks the result.
pub fn run(seed: u64, options: SimulationOptions) -> SimulationReport {
    Simulation::new(seed, options, None).run()
}

/// Runs a seed, and writes the events that [`SimulationOptions::detail`] selects to `listener`,
/// line by line.
pub fn run_traced(seed: u64, options: SimulationOptions, listener: TraceListener) -> SimulationReport {
    let simulation = Simulation::new(seed, options, Some(listener));
    if options.detail == TraceDetail::Nothing {
        simulation.run()
    } else {
        logs::with_logs_in_trace(|| simulation.run())
    }
}

/// Runs a store with a deliberate bug.
#[cfg(feature = "mutations")]
pub fn run_mutated(seed: u64, options: SimulationOptions, mutation: service::mutation::Mutation) -> SimulationReport {
    service::mutation::activate(Some(mutation));
    let report = run(seed, options);
    service::mutation::activate(None);
    report
}
