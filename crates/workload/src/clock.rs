//! The clock of a run.

use history::Moment;
use tokio::time::Instant;

/// The one clock of a run: every record of it, by all clients, is measured with it.
#[derive(Clone, Copy, Debug)]
pub struct RunClock(Instant);

impl RunClock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// A clock that started at that time.
    pub fn started_at(begin: Instant) -> Self {
        Self(begin)
    }

    /// The time since the start.
    pub fn now(self) -> Moment {
        self.at(Instant::now())
    }

    /// When that was; the start itself if it was before.
    pub fn at(self, instant: Instant) -> Moment {
        Moment::after(instant.saturating_duration_since(self.0))
    }
}
