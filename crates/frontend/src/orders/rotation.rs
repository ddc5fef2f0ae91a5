//! Which replica is read from next.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use api::Ordinal;
use tokio::time::Instant;

/// How long a replica that failed is tried last.
const AVOIDED_FOR: Duration = Duration::from_secs(2);

/// Spreads reads over the replicas, and avoids those that failed recently.
#[derive(Debug)]
pub(super) struct ReplicaRotation {
    next: AtomicUsize,
    created: Instant,
    /// By ordinal: until when the replica is avoided, in milliseconds since `created`.
    avoided_until_ms: [AtomicU64; 256],
}

impl Default for ReplicaRotation {
    fn default() -> Self {
        Self {
            next: AtomicUsize::new(0),
            created: Instant::now(),
            avoided_until_ms: [const { AtomicU64::new(0) }; 256],
        }
    }
}

impl ReplicaRotation {
    /// The ordinals in the order in which to try them: each call begins with another one, and those
    /// that failed recently come last.
    pub(super) fn next(&self, mut ordinals: Vec<Ordinal>) -> Vec<Ordinal> {
        if !ordinals.is_empty() {
            let first = self.next.fetch_add(1, Ordering::Relaxed) % ordinals.len();
            ordinals.rotate_left(first);
        }
        let now = self.millis_in(Duration::ZERO);
        ordinals.sort_by_key(|ordinal| self.avoided_until_ms[usize::from(ordinal.0)].load(Ordering::Relaxed) > now);
        ordinals
    }

    /// Tries the replica last for a while, because it has failed.
    pub(super) fn avoid(&self, ordinal: Ordinal) {
        self.avoided_until_ms[usize::from(ordinal.0)].store(self.millis_in(AVOIDED_FOR), Ordering::Relaxed);
    }

    /// Milliseconds from `created` to the moment that is `from_now` away.
    fn millis_in(&self, from_now: Duration) -> u64 {
        u64::try_from((self.created.elapsed() + from_now).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_take_turns_and_failed_ones_come_last() {
        let rotation = ReplicaRotation::default();
        let ordinals = || vec![Ordinal(1), Ordinal(2), Ordinal(3)];
        let first: Vec<_> = (0..4).map(|_| rotation.next(ordinals())[0].0).collect();
        assert_eq!(first, [1, 2, 3, 1]);
        rotation.avoid(Ordinal(2));
        for _ in 0..3 {
            assert_eq!(rotation.next(ordinals())[2], Ordinal(2));
        }
        assert!(rotation.next(Vec::new()).is_empty());
    }
}
