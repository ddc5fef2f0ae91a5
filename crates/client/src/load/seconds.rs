//! What was answered, second by second and stage by stage.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::Run;
use super::outcome::{Loaded, Outcome, Second};
use super::schedule::Stage;

/// Puts together what was counted, second by second.
pub(super) struct Seconds<'a> {
    run: &'a Run,
    last: Instant,
    stages: BTreeMap<usize, Outcome>,
}

impl<'a> Seconds<'a> {
    pub(super) fn new(run: &'a Run) -> Self {
        Self { run, last: run.begin, stages: BTreeMap::new() }
    }

    /// Shows what was answered since the last one.
    pub(super) fn end_one(&mut self, watch: &mut impl FnMut(&Second)) {
        let now = Instant::now();
        let begin = self.last - self.run.begin;
        let mut outcome = Outcome::default();
        for (stage, part) in self.run.tally.take() {
            outcome.absorb(&part);
            self.stages.entry(stage).or_default().absorb(&part);
        }
        outcome.measured = now - self.last;
        let stage = self.stage_at(begin);
        let middle = begin + outcome.measured / 2;
        let wanted_per_s = self.wanted_at(middle);
        self.last = now;
        // What is answered after the end belongs to the last second.
        if !outcome.measured.is_zero() {
            watch(&Second { begin, stage, wanted_per_s, outcome });
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

    /// The rate that is wanted then; 0 after the end.
    fn wanted_at(&self, elapsed: Duration) -> Option<f64> {
        let stage = self.stage_at(elapsed);
        let before: Duration = self.run.stages[..stage].iter().map(|stage| stage.length).sum();
        let Stage { pace, length, .. } = &self.run.stages[stage];
        let elapsed = elapsed.saturating_sub(before);
        pace.rate_at(elapsed, *length).map(|rate| if elapsed > *length { 0.0 } else { rate })
    }

    pub(super) fn into_loaded(mut self) -> Loaded {
        let run = self.run;
        let lasted = Instant::now().min(run.end) - run.begin;
        let mut before = Duration::ZERO;
        let mut stages = Vec::new();
        for (index, stage) in run.stages.iter().enumerate() {
            let mut outcome = self.stages.remove(&index).unwrap_or_default();
            // A load that was stopped has shorter stages.
            outcome.measured = lasted.saturating_sub(before).min(stage.length);
            outcome.unsent = run.gates[index].as_ref().map_or(0, |gate| {
                gate.due_until(stage, outcome.measured).saturating_sub(run.begun[index].load(Ordering::Relaxed))
            });
            before += stage.length;
            stages.push((stage.clone(), outcome));
        }
        let (slips, slips_missed) = run.book.close();
        Loaded { stages, slips, slips_missed, begin: run.begin }
    }
}
