//! Shows the progress of a load test.

use std::time::Duration;

use report::{Progress, millis};
use workload::LoadStats;
use workload::load::{LoadInterval, LoadPlan};

/// The progress display, updated every second.
pub(super) struct LoadProgress {
    display: Progress,
    stages: Vec<String>,
    length: Duration,
    /// Since the last update.
    stats: LoadStats,
}

impl LoadProgress {
    pub(super) fn new(plan: &LoadPlan) -> Self {
        let stages = plan.stages.iter().map(|stage| stage.name.clone()).collect();
        let length = plan.length();
        Self { display: Progress::of_time(length), stages, length, stats: LoadStats::default() }
    }

    pub(super) fn record(&mut self, interval: &LoadInterval) {
        self.stats.merge(&interval.stats);
        if self.stats.sent() == 0 || !self.display.is_due() {
            return;
        }
        let (stats, stage) = (std::mem::take(&mut self.stats), &self.stages[interval.stage]);
        let (all, elapsed) = (stats.all(), interval.begin + interval.stats.measured);
        let (done_per_s, failed) = (stats.per_second(all.done.count()).round(), all.failed());
        let p99_ms = millis(Duration::from_micros(all.waited.since_due().p99_us));
        let left_s = self.length.saturating_sub(elapsed).as_secs();
        let what = format!("{stage}: {done_per_s} done/s, p99 {p99_ms} ms, {failed} failed, {left_s} s left");
        self.display.show(millis(elapsed), what, |_| tracing::info!(stage, done_per_s, p99_ms, failed, left_s, "load"));
    }
}
