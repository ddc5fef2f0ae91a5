//! When requests are due: a sequence of stages.

use std::time::Duration;

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LoadModel {
    /// A closed loop: each shopper sends its next request when it has received the last response.
    Closed {
        /// The number of shoppers, 1 or more; each has a connection of its own.
        shoppers: usize,
    },
    /// An open loop: visits begin at a given rate, evenly spread, whatever happened to earlier
    /// ones. The rate changes linearly from the first value to the second.
    Open {
        /// Visits per second at the start of the stage.
        from_per_s: f64,
        /// Visits per second at its end.
        to_per_s: f64,
    },
}

impl LoadModel {
    /// An open loop with a constant rate.
    pub fn constant(per_s: f64) -> Self {
        Self::Open { from_per_s: per_s, to_per_s: per_s }
    }

    /// The wanted rate at `elapsed` after the start of a stage of that length; `None` in a closed
    /// loop.
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

/// One part of a load.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// The name in reports.
    pub name: String,
    /// When requests are sent.
    pub model: LoadModel,
    /// How long it takes; more than zero.
    pub length: Duration,
    /// Whether its requests count. A stage that does not count is a warm-up.
    pub counted: bool,
}

impl Stage {
    /// A closed loop that counts: requests as fast as they are answered.
    pub fn closed(shoppers: usize, length: Duration) -> Self {
        Self { name: format!("{shoppers} shoppers"), model: LoadModel::Closed { shoppers }, length, counted: true }
    }

    /// An open loop with a constant rate, which counts.
    pub fn steady(per_s: f64, length: Duration) -> Self {
        Self { name: format!("{per_s}/s"), model: LoadModel::constant(per_s), length, counted: true }
    }

    /// The same stage as a warm-up.
    #[must_use]
    pub fn not_counted(self) -> Self {
        Self { counted: false, ..self }
    }

    /// The number of shoppers of a closed loop; `None` in an open loop.
    pub fn shoppers(&self) -> Option<usize> {
        match self.model {
            LoadModel::Closed { shoppers } => Some(shoppers),
            LoadModel::Open { .. } => None,
        }
    }

    /// The number of visits that begin in it; `None` in a closed loop.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive count of requests")]
    pub fn arrivals(&self) -> Option<u64> {
        match self.model {
            LoadModel::Closed { .. } => None,
            LoadModel::Open { from_per_s, to_per_s } => {
                Some((f64::midpoint(from_per_s, to_per_s) * self.length.as_secs_f64()).round() as u64)
            }
        }
    }

    /// When visit `n` of an open loop is due, relative to the start of the stage.
    ///
    /// At time t, from·t + (to − from)·t² / (2·length) visits have begun. This solves for the t at
    /// which they are n, in a form without a difference of large numbers.
    #[expect(clippy::cast_precision_loss, reason = "requests of a run are far below 2^53")]
    pub(super) fn due(&self, n: u64) -> Duration {
        let LoadModel::Open { from_per_s, to_per_s } = self.model else { return Duration::ZERO };
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
        Stage { name: "x".into(), model: LoadModel::Open { from_per_s, to_per_s }, length, counted: true }
    }

    #[test]
    fn a_steady_rate_is_evenly_spread() {
        let stage = stage(100.0, 100.0);
        assert_eq!(stage.arrivals(), Some(1000));
        assert_eq!([0, 1, 500, 999].map(|n| stage.due(n).as_millis()), [0, 10, 5000, 9990]);
    }

    #[test]
    fn ramps_up_and_down_are_denser_where_the_rate_is_higher() {
        let up = stage(0.0, 200.0);
        assert_eq!(up.arrivals(), Some(1000));
        // The first half of the time has a quarter of the visits.
        assert_eq!([0, 250, 1000].map(|n| up.due(n).as_millis()), [0, 5000, 10_000]);
        let down = stage(200.0, 0.0);
        assert_eq!([0, 750, 1000].map(|n| down.due(n).as_millis()), [0, 5000, 10_000]);
        for stage in [up, down] {
            assert!((1..1000).all(|n| stage.due(n - 1) <= stage.due(n)));
        }
    }

    #[test]
    fn the_rate_in_the_middle_of_a_ramp() {
        let stage = stage(0.0, 200.0);
        assert_eq!(stage.model.rate_at(Duration::from_secs(5), stage.length), Some(100.0));
        assert_eq!(LoadModel::Closed { shoppers: 1 }.rate_at(Duration::ZERO, stage.length), None);
    }
}
