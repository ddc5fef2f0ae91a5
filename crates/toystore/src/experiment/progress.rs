//! The progress of an experiment and the time left.

use std::time::Duration;

use report::{Progress, millis};
use tokio::time::Instant;

use crate::output::print;

/// Prints the progress.
pub(super) struct ExperimentProgress {
    display: Progress,
    begun: Instant,
    planned: Planned,
}

/// The planned duration, and how much of it is done.
#[derive(Clone, Copy, Debug)]
struct Planned {
    all: Duration,
    done: Duration,
}

impl Planned {
    /// The time left, if the rest is delayed as much as the part that is done.
    fn left(self, elapsed: Duration) -> Duration {
        let rest = self.all.saturating_sub(self.done);
        if self.done.is_zero() { rest } else { rest.mul_f64(elapsed.as_secs_f64() / self.done.as_secs_f64()) }
    }
}

impl ExperimentProgress {
    /// Starts the display; `all` is the planned duration.
    pub(super) fn new(all: Duration) -> Self {
        Self { display: Progress::of_time(all), begun: Instant::now(), planned: Planned { all, done: Duration::ZERO } }
    }

    /// Prints a permanent line.
    pub(super) fn line(&self, text: &str) {
        self.display.print(|| print(text));
    }

    /// Shows the present activity.
    pub(super) fn now(&mut self, what: &str) {
        let left = rounded(self.planned.left(self.begun.elapsed()));
        self.display.show(millis(self.planned.done), format!("{what}; {left} left"), |line| print(line));
    }

    /// Marks this much of the planned duration as done.
    pub(super) fn done(&mut self, planned: Duration) {
        self.planned.done += planned;
    }

    /// Time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

fn rounded(left: Duration) -> String {
    match left.as_secs() {
        seconds @ 0..90 => format!("about {} s", seconds.next_multiple_of(5)),
        seconds => format!("about {} min", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_grows_with_the_delay_so_far() {
        let seconds = Duration::from_secs;
        let planned = Planned { all: seconds(100), done: seconds(20) };
        assert_eq!(planned.left(seconds(20)), seconds(80));
        assert_eq!(planned.left(seconds(30)), seconds(120));
        assert_eq!(Planned { done: Duration::ZERO, ..planned }.left(seconds(5)), seconds(100));
        assert_eq!(
            [3, 89, 90, 121].map(|s| rounded(seconds(s))),
            ["about 5 s", "about 90 s", "about 2 min", "about 3 min"]
        );
    }
}
