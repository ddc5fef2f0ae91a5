//! How fast orders leave the queue.

use std::time::Duration;

use tokio::time::Instant;

/// The weight of the newest batch in the average: a slow disk is noticed within a few batches, one hiccup is not taken for one.
const NEWEST: f64 = 0.25;

/// The time from one batch to the next while there is a backlog, averaged.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the last batch was taken, if it left a backlog: only then the next one shows how long a batch takes.
    busy_since: Option<Instant>,
    interval: Option<Duration>,
    batch_max: usize,
}

impl Pace {
    /// A batch of at most `batch_max` orders was taken, and `left` wait on.
    pub(super) fn taken(&mut self, batch_max: usize, left: usize, now: Instant) {
        if let Some(last) = self.busy_since {
            let took = now.saturating_duration_since(last);
            self.interval =
                Some(self.interval.map_or(took, |known| known.mul_f64(1.0 - NEWEST) + took.mul_f64(NEWEST)));
        }
        self.busy_since = (left > 0).then_some(now);
        self.batch_max = batch_max;
    }

    /// How long an order would wait for its batch behind `ahead` others. Zero if it would be in the next one, whenever that comes: a
    /// leader that cannot go on just now shall find orders when it can.
    pub(super) fn wait(&self, ahead: usize) -> Duration {
        let batches_ahead = ahead.checked_div(self.batch_max).unwrap_or(0);
        self.interval.unwrap_or_default().saturating_mul(u32::try_from(batches_ahead).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_the_batches_ahead_at_the_pace_of_the_last_ones() {
        let (mut pace, begun) = (Pace::default(), Instant::now());
        let at = |ms| begun + Duration::from_millis(ms);
        assert_eq!(pace.wait(1_000_000), Duration::ZERO, "nothing is known");
        pace.taken(256, 0, at(0));
        pace.taken(256, 300, at(5000));
        assert_eq!(pace.wait(1024), Duration::ZERO, "a pause without orders says nothing");
        pace.taken(256, 300, at(5100));
        assert_eq!(pace.wait(255), Duration::ZERO);
        assert_eq!(pace.wait(256), Duration::from_millis(100));
        assert_eq!(pace.wait(1024), Duration::from_millis(400));
        pace.taken(256, 300, at(5500));
        assert_eq!(pace.wait(256), Duration::from_millis(175), "a quarter of 400, three of 100");
        for batch in 1..=20 {
            pace.taken(256, 300, at(5500 + batch * 10));
        }
        assert!(pace.wait(256) < Duration::from_millis(12), "{pace:?}");
    }
}
