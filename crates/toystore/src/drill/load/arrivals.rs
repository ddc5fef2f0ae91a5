//! When a shopper sends its next request.

use std::time::Duration;

use rand::{Rng, RngExt};
use tokio::time::{Instant, sleep_until};

/// Requests at random times (a Poisson process), as real clients send them. Shoppers with a fixed
/// interval would all be in step after an outage, and their common pause would look like a pause of
/// the store.
pub(super) struct PoissonArrivals {
    mean: Duration,
    due: Instant,
}

impl PoissonArrivals {
    /// The arrivals of one of `shoppers` shoppers that together send `per_s` requests per second.
    pub(super) fn new(per_s: u32, shoppers: u32) -> Self {
        Self { mean: Duration::from_secs(1) * shoppers / per_s, due: Instant::now() }
    }

    /// Waits until the next request is due. The one after it follows after an exponentially
    /// distributed time. A shopper that waited for a dead store does not catch up with a burst.
    pub(super) async fn next(&mut self, random: &mut impl Rng) {
        sleep_until(self.due).await;
        let pause = self.mean.mul_f64(-(1.0 - random.random::<f64>()).ln());
        self.due = self.due.max(Instant::now()) + pause;
    }
}
