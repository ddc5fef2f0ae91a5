//! Shows the progress of a load test: a progress bar on a terminal, otherwise a log line every ten
//! seconds.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use workload::load::{LoadInterval, LoadPlan, LoadStats};

/// Seconds between two log lines.
const LINE_SECONDS: u64 = 10;

/// The progress display, updated every second.
pub(super) struct LoadProgress {
    bar: Option<ProgressBar>,
    stages: Vec<String>,
    length: Duration,
    /// Since the last log line.
    stats: LoadStats,
    seconds: u64,
}

impl LoadProgress {
    pub(super) fn new(plan: &LoadPlan) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {wide_msg}");
            ProgressBar::new(plan.length().as_secs()).with_style(style.expect("the template is well-formed"))
        });
        let stages = plan.stages.iter().map(|stage| stage.name.clone()).collect();
        Self { bar, stages, length: plan.length(), stats: LoadStats::default(), seconds: 0 }
    }

    pub(super) fn record(&mut self, interval: &LoadInterval) {
        self.stats.merge(&interval.stats);
        self.seconds += 1;
        let elapsed = interval.begin + interval.stats.measured;
        if let Some(bar) = &self.bar {
            bar.set_position(elapsed.as_secs());
        } else if self.seconds < LINE_SECONDS && elapsed < self.length {
            return;
        }
        let both = self.stats.both();
        if both.sent() == 0 {
            return;
        }
        let (stage, per_s) = (&self.stages[interval.stage], self.stats.per_second(both.done.count()).round());
        let p99_ms = Duration::from_micros(both.waited.since_due().p99_us).as_millis();
        let (failed, left_s) = (both.failed(), self.length.saturating_sub(elapsed).as_secs());
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{stage}: {per_s} done/s, p99 {p99_ms} ms, {failed} failed, {left_s} s left"));
        } else {
            tracing::info!(
                stage,
                done_per_s = per_s,
                p99_ms = u64::try_from(p99_ms).unwrap_or(u64::MAX),
                failed,
                left_s,
                "load"
            );
        }
        (self.stats, self.seconds) = (LoadStats::default(), 0);
    }
}

impl Drop for LoadProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
