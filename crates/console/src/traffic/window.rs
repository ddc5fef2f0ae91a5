//! The samples of one frontend over the last second or so.

use std::collections::VecDeque;

use super::sample::{Sample, float};

/// Rates are over this time, in µs, or a little more.
const RATE_US: u64 = 1_000_000;

/// More samples than a window ever has.
const SAMPLES_MAX: usize = 16;

/// The newest samples of a frontend.
#[derive(Debug, Default)]
pub(crate) struct Window {
    samples: VecDeque<(u64, Sample)>,
}

impl Window {
    /// Adds a sample. Returns what happened since the one before, if there is one.
    pub(crate) fn add(&mut self, at_us: u64, sample: Sample) -> Option<Sample> {
        let news = self.samples.back().map(|(_, before)| sample.since(before));
        self.samples.push_back((at_us, sample));
        while self.samples.len() > SAMPLES_MAX
            || self.samples.get(1).is_some_and(|(second, _)| second + RATE_US <= at_us)
        {
            self.samples.pop_front();
        }
        news
    }

    /// What happened in the last second or so, and how long that is, in s. `None` if there are too
    /// few samples, or none of the last 3 s: then the frontend does not answer.
    pub(crate) fn recent(&self, now_us: u64) -> Option<(Sample, f64)> {
        let ((first_us, first), (last_us, last)) = (self.samples.front()?, self.samples.back()?);
        if last_us + 3 * RATE_US < now_us || first_us >= last_us {
            return None;
        }
        Some((last.since(first), float(last_us - first_us) / 1e6))
    }
}
