//! A progress bar for long work on a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Redraw interval.
const BAR_INTERVAL: Duration = Duration::from_millis(100);

/// A progress bar of that length with a message after it; `None` if standard output is not a
/// terminal.
pub(crate) fn progress_bar(length: u64) -> Option<ProgressBar> {
    std::io::stdout().is_terminal().then(|| {
        let style = ProgressStyle::with_template("{spinner} [{bar:30}] {elapsed} {wide_msg}");
        let bar = ProgressBar::new(length).with_style(style.expect("the template is well-formed"));
        bar.enable_steady_tick(BAR_INTERVAL);
        bar
    })
}

/// A duration as a length of the bar.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
