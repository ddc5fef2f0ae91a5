//! How far the drill is: a bar on a terminal, and a line per fault everywhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::config::Length;
use crate::cli::print;

/// Smooth to the eye.
const BAR_INTERVAL: Duration = Duration::from_millis(100);

/// Tells a person what goes on. Cheap to clone.
#[derive(Clone)]
pub(super) struct Show {
    bar: Option<ProgressBar>,
    length: Length,
    round_len: u64,
}

impl Show {
    pub(super) fn new(length: Length, round_len: usize) -> Self {
        let bar = std::io::stdout().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} [{bar:30}] {elapsed} {wide_msg}");
            let bar = ProgressBar::new(1000).with_style(style.expect("the template is well-formed"));
            bar.enable_steady_tick(BAR_INTERVAL);
            bar
        });
        Self { bar, length, round_len: round_len as u64 }
    }

    /// A line that stays.
    pub(super) fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => print(text),
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
