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
    /// Since when orders and reads have waited without any of them ending, in µs.
    silent_since_us: [Option<u64>; 2],
}

impl Window {
    /// Adds a sample. Returns what happened since the one before, if there is one.
    pub(crate) fn add(&mut self, at_us: u64, sample: Sample) -> Option<Sample> {
        let before = self.samples.back().map(|(_, before)| before);
        for (kind, since_us) in self.silent_since_us.iter_mut().enumerate() {
            let waits = sample.waits[kind];
            let is_silent = before.is_some_and(|before| before.waits[kind].ended == waits.ended);
            let started_us = since_us.filter(|_| is_silent).unwrap_or(at_us);
            *since_us = (waits.in_flight > 0).then_some(started_us);
        }
        let news = before.map(|before| sample.since(before));
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

    /// How long the oldest request has waited at least, in µs: for so long none of its kind has
    /// ended.
    pub(crate) fn waited_us(&self) -> u64 {
        let now_us = self.samples.back().map_or(0, |(at_us, _)| *at_us);
        self.silent_since_us.iter().flatten().map(|since_us| now_us - since_us).max().unwrap_or(0)
    }
}
