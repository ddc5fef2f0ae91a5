//! The clock of this machine.

use std::time::UNIX_EPOCH;

/// The time in µs since 1970, as events have it. Nothing is decided by it but what a page shows.
pub(crate) fn now_us() -> u64 {
    #[expect(clippy::disallowed_types, reason = "events have wall-clock times, and are sorted by them")]
    let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
