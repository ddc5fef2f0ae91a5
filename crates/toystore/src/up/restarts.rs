//! When members that exited by themselves are started again.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::time::Instant;

use crate::local::StoreMember;

/// A process that lived this long did not fail at startup: it is restarted immediately.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Delay before the second restart in a row; doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(200);

/// Maximum delay. A process that cannot start is retried indefinitely, because the cause may go
/// away.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// The restarts that are due, and those that were made.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    due: BTreeMap<StoreMember, DueRestart>,
    /// When each member was last restarted, and after which delay.
    made: BTreeMap<StoreMember, (Instant, Duration)>,
}

/// A restart that is due.
#[derive(Clone, Copy, Debug)]
struct DueRestart {
    at: Instant,
    backoff: Duration,
    exit: ExitStatus,
}

impl Restarts {
    /// A member has exited, and has to be restarted.
    pub(super) fn exited(&mut self, member: StoreMember, exit: ExitStatus) {
        let now = Instant::now();
        let backoff = match self.made.get(&member) {
            Some((at, _)) if now - *at > STABLE_AFTER => Duration::ZERO,
            Some((_, backoff)) => (*backoff * 2).clamp(BACKOFF_MIN, BACKOFF_MAX),
            None => Duration::ZERO,
        };
        self.due.insert(member, DueRestart { at: now + backoff, backoff, exit });
    }

    /// A member is not to be restarted: it runs already, or was stopped on purpose.
    pub(super) fn cancel(&mut self, member: StoreMember) {
        self.due.remove(&member);
    }

    /// Waits until a restart is due.
    pub(super) async fn next(&self) -> StoreMember {
        match self.due.iter().min_by_key(|(_, due)| due.at) {
            Some((member, due)) => {
                tokio::time::sleep_until(due.at).await;
                *member
            }
            None => std::future::pending().await,
        }
    }

    /// A member is restarted now. Returns how it had exited.
    pub(super) fn begin(&mut self, member: StoreMember) -> Option<ExitStatus> {
        let DueRestart { backoff, exit, .. } = self.due.remove(&member)?;
        self.made.insert(member, (Instant::now(), backoff));
        Some(exit)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_process_that_fails_at_startup_is_restarted_less_and_less_often() {
        let (mut restarts, begun) = (Restarts::default(), Instant::now());
        let mut at_ms = Vec::new();
        for _ in 0..8 {
            restarts.exited(StoreMember::Catalog, ExitStatus::from_raw(9));
            let member = restarts.next().await;
            assert_eq!(restarts.begin(member), Some(ExitStatus::from_raw(9)));
            at_ms.push(begun.elapsed().as_millis());
        }
        assert_eq!(at_ms, [0, 200, 600, 1400, 3000, 6200, 11_200, 16_200]);
        tokio::time::advance(STABLE_AFTER + Duration::from_secs(1)).await;
        let stable = Instant::now();
        restarts.exited(StoreMember::Catalog, ExitStatus::from_raw(9));
        restarts.next().await;
        assert_eq!(stable.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_was_stopped_on_purpose_is_not_restarted() {
        let mut restarts = Restarts::default();
        restarts.exited(StoreMember::Catalog, ExitStatus::from_raw(9));
        restarts.cancel(StoreMember::Catalog);
        assert_eq!(restarts.begin(StoreMember::Catalog), None);
        assert!(tokio::time::timeout(BACKOFF_MAX * 2, restarts.next()).await.is_err());
    }
}
