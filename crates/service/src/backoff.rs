//! Exponential backoff between retries.

use std::time::Duration;

use crate::world;

/// Delays that grow exponentially, with jitter, so that processes that start at the same time do
/// not retry in step.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    current: Duration,
}

impl Backoff {
    /// Delays that double from `min` to `max`.
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, current: min }
    }

    /// How long to wait now: between half and all of the current delay. The next delay is twice as
    /// long.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.current.mul_f64(0.5 + world::random_fraction() / 2.0);
        self.current = (self.current * 2).min(self.max);
        delay
    }

    /// Call this after a success: the next delay is the shortest one again.
    pub fn reset(&mut self) {
        self.current = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum_and_start_over_after_a_reset() {
        let (min, max) = (Duration::from_millis(100), Duration::from_millis(350));
        let mut backoff = Backoff::new(min, max);
        for expected in [min, min * 2, max, max] {
            let delay = backoff.next_delay();
            assert!(expected / 2 <= delay && delay <= expected, "{delay:?} of {expected:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= min);
    }
}
