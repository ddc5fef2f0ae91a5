//! Collects what was counted, second by second and stage by stage.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::result::{LoadInterval, LoadResult};
use super::run_state::RunState;
use super::schedule::Stage;
use crate::stats::LoadStats;

/// The statistics of a running load.
pub(super) struct TimeSeries<'a> {
    run: &'a RunState,
    last: Instant,
    stages: BTreeMap<usize, LoadStats>,
}

impl<'a> TimeSeries<'a> {
    pub(super) fn new(run: &'a RunState) -> Self {
        Self { run, last: run.begin, stages: BTreeMap::new() }
    }

    /// Passes what was counted since the last call to `watch`.
    pub(super) fn close_interval(&mut self, watch: &mut impl FnMut(&LoadInterval)) {
        let now = Instant::now();
        let begin = self.last - self.run.begin;
        let mut stats = LoadStats::default();
        for (stage, part) in self.run.counters.take() {
            stats.merge(&part);
            self.stages.entry(stage).or_default().merge(&part);
        }
        stats.measured = now - self.last;
        let stage = self.stage_at(begin);
        let middle = begin + stats.measured / 2;
        let wanted_per_s = self.wanted_at(middle);
        self.last = now;
        // A response that arrives after the end belongs to the last interval.
        if !stats.measured.is_zero() {
            watch(&LoadInterval { begin, stage, wanted_per_s, stats });
        }
    }

    fn stage_at(&self, elapsed: Duration) -> usize {
        let mut end = Duration::ZERO;
        let ends = self.run.stages.iter().map(|stage| {
            end += stage.length;
            end
        });
        ends.take_while(|end| *end <= elapsed).count().min(self.run.stages.len() - 1)
    }

    /// The wanted rate at that time; 0 after the end.
    fn wanted_at(&self, elapsed: Duration) -> Option<f64> {
        let stage = self.stage_at(elapsed);
        let before: Duration = self.run.stages[..stage].iter().map(|stage| stage.length).sum();
        let Stage { model, length, .. } = &self.run.stages[stage];
        let elapsed = elapsed.saturating_sub(before);
        model.rate_at(elapsed, *length).map(|rate| if elapsed > *length { 0.0 } else { rate })
    }

    pub(super) fn into_result(mut self) -> LoadResult {
        let run = self.run;
        let lasted = Instant::now().min(run.end) - run.begin;
        let mut before = Duration::ZERO;
        let mut stages = Vec::new();
        for (index, stage) in run.stages.iter().enumerate() {
            let mut stats = self.stages.remove(&index).unwrap_or_default();
            // The stages of a load that was stopped are shorter.
            stats.measured = lasted.saturating_sub(before).min(stage.length);
            stats.unsent = run.arrivals[index].as_ref().map_or(0, |queue| {
                queue.due_until(stage, stats.measured).saturating_sub(run.begun[index].load(Ordering::Relaxed))
            });
            before += stage.length;
            stages.push((stage.clone(), stats));
        }
        let log = Arc::clone(&run.attempt_log);
        LoadResult { stages, orders: log.take().orders, log }
    }
}
