//! Estimates how long an order waits in the queue.

use std::time::Duration;

use tokio::time::Instant;

/// The weight of the newest batch in the average. A slow disk shows within a few batches; a single
/// hiccup does not count as one.
const NEWEST: f64 = 0.25;

/// The average time from one batch to the next while there is a backlog.
#[derive(Debug, Default)]
pub(super) struct QueueDelay {
    /// When the last batch was taken, if it left a backlog. Only then does the next one show how
    /// long a batch takes.
    busy_since: Option<Instant>,
    interval: Option<Duration>,
    batch_max: usize,
}

impl QueueDelay {
    /// Records that a batch of at most `batch_max` orders was taken, and `left` orders still wait.
    pub(super) fn record_batch(&mut self, batch_max: usize, left: usize, now: Instant) {
        if let Some(last) = self.busy_since {
            let took = now.saturating_duration_since(last);
            self.interval =
                Some(self.interval.map_or(took, |known| known.mul_f64(1.0 - NEWEST) + took.mul_f64(NEWEST)));
        }
        self.busy_since = (left > 0).then_some(now);
        self.batch_max = batch_max;
    }

    /// How long an order would wait for its batch behind `ahead` others. Zero if it would be in the
    /// next batch, whenever that comes: a leader that is stalled should find orders when it
    /// continues.
    pub(super) fn estimate(&self, ahead: usize) -> Duration {
        let batches_ahead = ahead.checked_div(self.batch_max).unwrap_or(0);
        self.interval.unwrap_or_default().saturating_mul(u32::try_from(batches_ahead).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_is_the_batches_ahead_times_the_average_interval() {
        let (mut delay, begun) = (QueueDelay::default(), Instant::now());
        let at = |ms| begun + Duration::from_millis(ms);
        assert_eq!(delay.estimate(1_000_000), Duration::ZERO, "nothing is known yet");
        delay.record_batch(256, 0, at(0));
        delay.record_batch(256, 300, at(5000));
        assert_eq!(delay.estimate(1024), Duration::ZERO, "an idle period does not count");
        delay.record_batch(256, 300, at(5100));
        assert_eq!(delay.estimate(255), Duration::ZERO);
        assert_eq!(delay.estimate(256), Duration::from_millis(100));
        assert_eq!(delay.estimate(1024), Duration::from_millis(400));
        delay.record_batch(256, 300, at(5500));
        assert_eq!(delay.estimate(256), Duration::from_millis(175), "a quarter of 400 ms and three quarters of 100 ms");
        for batch in 1..=20 {
            delay.record_batch(256, 300, at(5500 + batch * 10));
        }
        assert!(delay.estimate(256) < Duration::from_millis(12), "{delay:?}");
    }
}
