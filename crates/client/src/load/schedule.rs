//! When requests are due: stages, one after the other.

use std::time::Duration;

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many shoppers, each of whom comes again when it has its answer.
    Closed {
        /// How many, 1 or more; each has a connection of its own.
        shoppers: usize,
    },
    /// So many visits begin per second, evenly spread, whatever became of those before. The rate goes from the first number
    /// to the second one in a straight line.
    Open {
        /// At the stage's begin.
        from_per_s: f64,
        /// At its end.
        to_per_s: f64,
    },
}

impl Pace {
    /// An open loop that keeps its rate.
    pub fn steady(per_s: f64) -> Self {
        Self::Open { from_per_s: per_s, to_per_s: per_s }
    }

    /// The rate that is wanted so long after the begin of a stage of that length; `None` in a closed loop.
    pub fn rate_at(self, elapsed: Duration, length: Duration) -> Option<f64> {
        match self {
            Self::Closed { .. } => None,
            Self::Open { from_per_s, to_per_s } => {
                let share = (elapsed.as_secs_f64() / length.as_secs_f64()).clamp(0.0, 1.0);
                Some(from_per_s + (to_per_s - from_per_s) * share)
            }
        }
    }
}

/// A part of a load.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// For reports.
    pub name: String,
    /// When requests are sent.
    pub pace: Pace,
    /// How long; more than nothing.
    pub length: Duration,
    /// Whether what is due in it counts; what is not counted warms up.
    pub counted: bool,
}

impl Stage {
    /// As fast as they are answered, over so many connections; it counts.
    pub fn closed(shoppers: usize, length: Duration) -> Self {
        Self { name: format!("{shoppers} shoppers"), pace: Pace::Closed { shoppers }, length, counted: true }
    }

    /// So many visits per second; it counts.
    pub fn steady(per_s: f64, length: Duration) -> Self {
        Self { name: format!("{per_s}/s"), pace: Pace::steady(per_s), length, counted: true }
    }

    /// The same, to warm up.
    #[must_use]
    pub fn not_counted(self) -> Self {
        Self { counted: false, ..self }
    }

    /// How many shoppers a closed loop has; `None` in an open one.
    pub fn shoppers(&self) -> Option<usize> {
        match self.pace {
            Pace::Closed { shoppers } => Some(shoppers),
            Pace::Open { .. } => None,
        }
    }

    /// Visits that begin in it; `None` in a closed loop.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of requests")]
    pub fn arrivals(&self) -> Option<u64> {
        match self.pace {
            Pace::Closed { .. } => None,
            Pace::Open { from_per_s, to_per_s } => {
                Some((f64::midpoint(from_per_s, to_per_s) * self.length.as_secs_f64()).round() as u64)
            }
        }
    }

    /// When visit `n` of an open loop is due, after the stage's begin.
    ///
    /// By the time t so many visits have begun: from·t + (to − from)·t² / 2·length. This is the t at which they are n,
    /// in the form that has no difference of large numbers.
    #[expect(clippy::cast_precision_loss, reason = "requests of a run are far below 2^53")]
    pub(super) fn due(&self, n: u64) -> Duration {
        let Pace::Open { from_per_s, to_per_s } = self.pace else { return Duration::ZERO };
        if n == 0 {
            return Duration::ZERO;
        }
        let n = n as f64;
        let twice_the_slope = 2.0 * (to_per_s - from_per_s) / self.length.as_secs_f64();
        let root = twice_the_slope.mul_add(n, from_per_s * from_per_s).max(0.0).sqrt();
        Duration::from_secs_f64(2.0 * n / (from_per_s + root)).min(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(from_per_s: f64, to_per_s: f64) -> Stage {
        let length = Duration::from_secs(10);
        Stage { name: "x".into(), pace: Pace::Open { from_per_s, to_per_s }, length, counted: true }
    }

    #[test]
    fn a_steady_rate_is_evenly_spread() {
        let stage = stage(100.0, 100.0);
        assert_eq!(stage.arrivals(), Some(1000));
        assert_eq!([0, 1, 500, 999].map(|n| stage.due(n).as_millis()), [0, 10, 5000, 9990]);
    }

    #[test]
    fn a_ramp_begins_thin_and_ends_dense_and_so_does_the_way_down() {
        let up = stage(0.0, 200.0);
        assert_eq!(up.arrivals(), Some(1000));
        // Half of the time has a quarter of the visits.
        assert_eq!([0, 250, 1000].map(|n| up.due(n).as_millis()), [0, 5000, 10_000]);
        let down = stage(200.0, 0.0);
        assert_eq!([0, 750, 1000].map(|n| down.due(n).as_millis()), [0, 5000, 10_000]);
        for stage in [up, down] {
            assert!((1..1000).all(|n| stage.due(n - 1) <= stage.due(n)));
        }
    }

    #[test]
    fn the_rate_of_the_moment() {
        let stage = stage(0.0, 200.0);
        assert_eq!(stage.pace.rate_at(Duration::from_secs(5), stage.length), Some(100.0));
        assert_eq!(Pace::Closed { shoppers: 1 }.rate_at(Duration::ZERO, stage.length), None);
    }
}
