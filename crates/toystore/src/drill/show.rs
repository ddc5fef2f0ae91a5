//! How far the drill is: a bar on a terminal, and a line per fault everywhere.

use std::time::Duration;

use indicatif::ProgressBar;

use super::config::Length;
use crate::bar::{bar, millis};
use crate::cli::print;

/// Tells a person what goes on. Cheap to clone.
#[derive(Clone)]
pub(super) struct Show {
    bar: Option<ProgressBar>,
    is_silent: bool,
    length: Length,
    round_len: u64,
}

impl Show {
    pub(super) fn new(length: Length, round_len: usize) -> Self {
        Self { bar: bar(1000), is_silent: false, length, round_len: round_len as u64 }
    }

    /// Tells nothing: whoever runs the drill has something of its own to show.
    pub(super) fn silent() -> Self {
        Self { bar: None, is_silent: true, length: Length::Rounds(1), round_len: 1 }
    }

    /// A line that stays.
    pub(super) fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) if !bar.is_finished() => bar.println(text),
            _ if self.is_silent => {}
            _ => print(text),
        }
    }

    /// What goes on now.
    pub(super) fn now(&self, done: u64, elapsed: Duration, what: String) {
        let Some(bar) = &self.bar else { return };
        let (position, whole) = match self.length {
            Length::Time(time) => (millis(elapsed), millis(time)),
            Length::Rounds(rounds) => (done, u64::from(rounds) * self.round_len),
        };
        bar.set_length(whole.max(1));
        bar.set_position(position.min(whole));
        bar.set_message(what);
    }

    /// Clears the bar away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
