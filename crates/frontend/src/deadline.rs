//! How long a client waits for its response.

use std::time::Duration;

use tokio::time::Instant;

/// Every request gets a response within this time, whether it succeeds or fails. The store promises
/// 5 s.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_millis(4800);

/// The time left until `deadline`.
pub(crate) fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
