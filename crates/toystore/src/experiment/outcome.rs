//! The outcome of an experiment.

use std::time::Duration;

use report::{Checks, count};

use super::cache_trace::CacheTrace;
use super::config::{ExistingStore, ExperimentSize};
use super::kills::Kills;
use super::latency::LatencyMeasurement;
use super::machine::MachineInfo;
use super::target::CacheMode;

/// All results.
pub(super) struct ExperimentOutcome {
    /// The machine on which it ran.
    pub(super) machine: MachineInfo,
    /// How much was measured.
    pub(super) size: ExperimentSize,
    /// The seed of all random choices.
    pub(super) seed: u64,
    /// The store that was measured, if the experiment did not start its own.
    pub(super) existing: Option<ExistingStore>,
    /// Time from the start of the first store to the end of the last one.
    pub(super) elapsed: Duration,
    /// The latency measurements.
    pub(super) measurements: Vec<LatencyMeasurement>,
    /// The cache trace; `None` if the cache could not be inspected.
    pub(super) trace: Option<CacheTrace>,
    /// The kills; `None` for an existing store.
    pub(super) kills: Option<Kills>,
    /// Violations, and what could not be measured or checked.
    pub(super) checks: Checks,
}

impl ExperimentOutcome {
    /// The number of acknowledged orders of all parts.
    pub(super) fn acknowledged(&self) -> u64 {
        let shoppers: u64 = self.measurements.iter().map(|measurement| measurement.acknowledged).sum();
        let traced_orders = self.trace.as_ref().map_or(0, |trace| trace.acknowledged);
        let kills = self.kills.as_ref().map_or(0, |kills| kills.report.counts.acknowledged);
        shoppers + traced_orders + kills
    }

    /// Requests that failed permanently during the latency measurements.
    pub(super) fn failed(&self) -> u64 {
        self.measurements.iter().map(|measurement| measurement.failed).sum()
    }

    /// The cache settings that were measured.
    pub(super) fn caches(&self) -> Vec<CacheMode> {
        let is_measured =
            |cache: &CacheMode| self.measurements.iter().any(|measurement| measurement.combination.cache == *cache);
        CacheMode::ALL.into_iter().filter(is_measured).collect()
    }

    /// The verdict as a sentence.
    pub(super) fn verdict(&self) -> String {
        let orders = self.acknowledged();
        let read: u64 = self.measurements.iter().map(|measurement| measurement.acknowledged).sum();
        let [read, traced, orders] = [read, orders - read, orders].map(count);
        self.checks.verdict(if self.existing.is_some() {
            format!(
                "All {read} orders acknowledged to shoppers could be read back unchanged. The {traced} orders of the cache trace were not read back, and \
                 the ledgers of a store that this experiment did not start were not checked.",
            )
        } else {
            format!(
                "Every promise was kept: {orders} orders were acknowledged; each is exactly once on the disk of every replica, and the ledgers are byte-identical."
            )
        })
    }
}
