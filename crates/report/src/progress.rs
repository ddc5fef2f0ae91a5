//! Shows how far a long run has come.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Smooth to the eye.
const BAR_INTERVAL: Duration = Duration::from_millis(100);

/// Often enough to see that the program is alive, and not too often for a log.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// The progress of a run: a bar on a terminal, otherwise a line from time to time. The bar vanishes
/// when the run ends, which drops this.
#[derive(Debug)]
pub enum Progress {
    /// On a terminal.
    Bar(ProgressBar),
    /// Elsewhere: when the last line was written, or when the run began.
    Lines(Instant),
    /// Nothing is shown, because the caller has a display of its own.
    Hidden,
}

impl Progress {
    /// Starts the display of a run. `length` is where it ends, in any unit.
    pub fn new(length: u64) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines(Instant::now());
        }
        let style = ProgressStyle::with_template("{spinner} [{bar:30}] {elapsed} {wide_msg}");
        let bar = ProgressBar::new(length).with_style(style.expect("the template is well-formed"));
        bar.enable_steady_tick(BAR_INTERVAL);
        Self::Bar(bar)
    }

    /// As [`new`](Self::new), for a run of that time. Positions are in milliseconds.
    pub fn of_time(length: Duration) -> Self {
        Self::new(millis(length))
    }

    /// Whether [`show`](Self::show) has an effect now: on a terminal always.
    pub fn is_due(&self) -> bool {
        match self {
            Self::Bar(_) => true,
            Self::Lines(last) => last.elapsed() >= LINE_INTERVAL,
            Self::Hidden => false,
        }
    }

    /// Shows the position and what is being done; without a terminal by `write_line`, if a line is
    /// [due](Self::is_due).
    pub fn show(&mut self, position: u64, what: String, write_line: impl FnOnce(&str)) {
        let is_due = self.is_due();
        match self {
            Self::Bar(bar) => {
                bar.set_position(position);
                bar.set_message(what);
            }
            Self::Lines(last) if is_due => {
                *last = Instant::now();
                write_line(&what);
            }
            Self::Lines(_) | Self::Hidden => {}
        }
    }

    /// Calls `write`, which writes something permanent, without the bar in its way; not if the
    /// display is hidden.
    pub fn print(&self, write: impl FnOnce()) {
        match self {
            Self::Bar(bar) => bar.suspend(write),
            Self::Lines(_) => write(),
            Self::Hidden => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// A time as a position.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
