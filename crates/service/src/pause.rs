//! Pauses between tries.

use std::time::Duration;

use crate::world;

/// Growing pauses with jitter, so that processes that start together do not ask in step.
#[derive(Clone, Debug)]
pub struct Pause {
    min: Duration,
    max: Duration,
    now: Duration,
}

impl Pause {
    /// Pauses that double from the first length to the second one.
    pub const fn growing(min: Duration, max: Duration) -> Self {
        Self { min, max, now: min }
    }

    /// How long to wait now: between a half and the whole of the present length. The next one is twice as long.
    pub fn draw(&mut self) -> Duration {
        let pause = self.now.mul_f64(0.5 + world::random_fraction() / 2.0);
        self.now = (self.now * 2).min(self.max);
        pause
    }

    /// It went well: the next pause is a short one again.
    pub fn reset(&mut self) {
        self.now = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_begin_anew() {
        let (min, max) = (Duration::from_millis(100), Duration::from_millis(350));
        let mut pause = Pause::growing(min, max);
        for expected in [min, min * 2, max, max] {
            let pause = pause.draw();
            assert!(expected / 2 <= pause && pause <= expected, "{pause:?} of {expected:?}");
        }
        pause.reset();
        assert!(pause.draw() <= min);
    }
}
