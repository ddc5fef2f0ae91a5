//! The progress of a drill: a bar on a terminal, and one line per fault.

use std::time::Duration;

use indicatif::ProgressBar;

use super::config::Length;
use crate::output::print;
use crate::progress_bar::{millis, progress_bar};

/// Prints the progress. Cheap to clone.
#[derive(Clone)]
pub(super) struct DrillProgress {
    bar: Option<ProgressBar>,
    is_silent: bool,
    length: Length,
    round_len: u64,
}

impl DrillProgress {
    pub(super) fn new(length: Length, round_len: usize) -> Self {
        Self { bar: progress_bar(1000), is_silent: false, length, round_len: round_len as u64 }
    }

    /// Prints nothing, for callers with a progress display of their own.
    pub(super) fn silent() -> Self {
        Self { bar: None, is_silent: true, length: Length::Rounds(1), round_len: 1 }
    }

    /// Prints a permanent line.
    pub(super) fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) if !bar.is_finished() => bar.println(text),
            _ if self.is_silent => {}
            _ => print(text),
        }
    }

    /// Updates the bar with the present activity.
    pub(super) fn now(&self, done: u64, elapsed: Duration, what: String) {
        let Some(bar) = &self.bar else { return };
        let (position, total) = match self.length {
            Length::Time(time) => (millis(elapsed), millis(time)),
            Length::Rounds(rounds) => (done, u64::from(rounds) * self.round_len),
        };
        bar.set_length(total.max(1));
        bar.set_position(position.min(total));
        bar.set_message(what);
    }

    /// Removes the bar.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
