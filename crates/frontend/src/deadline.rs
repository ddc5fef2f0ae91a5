//! How long a shopper waits.

use std::time::Duration;

use tokio::time::Instant;

/// A request is answered after that long, with or without success: the promise to shoppers is 5 s.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_millis(4800);

/// What is left until `deadline`.
pub(crate) fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
