//! The clock that every record of a drill refers to.

use history::Moment;
use tokio::time::Instant;

/// The one clock of a drill: log lines, histories and gaps are all measured with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct DrillClock(Instant);

impl DrillClock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> Moment {
        Moment::after(self.0.elapsed())
    }
}

/// The time between two moments, in microseconds; 0 if `to` is the earlier one.
pub(super) fn microseconds(from: Moment, to: Moment) -> u64 {
    to.0.saturating_sub(from.0) / 1000
}
