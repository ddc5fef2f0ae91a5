//! Whether this replica is ready: it has caught up with its leader.
//!
//! A rolling update replaces the next replica when this one is ready, and a node drain may continue
//! then. So "ready" has to mean that this replica has what the next one has. This is measured, not
//! assumed: the replica asks its leader how far the log is committed, and is ready if its machine
//! gets there within [`LAG_MAX`]. A replica that has just come back does not know by itself how far
//! behind it is.
//!
//! It is this replica's own readiness, not the group's. Whether other replicas are up plays no
//! part, nor whether there is a leader *now*: while no leader answers, readiness stays what it was.
//! A replica that has followed no leader since its start is not ready, so a rolling update waits.
//! That cannot delay an election, since frontends that run one ask all replicas, ready or not.

use std::time::Duration;

use api::LogPosition;
use service::health::Readiness;
use tokio::time::{sleep, timeout};

use crate::consensus::types::position;
use crate::core::{Core, Leadership};
use crate::membership::change::has_vote;

/// A replica that does not apply what the leader had committed within this time is behind. Ten
/// heartbeats; the slowest disk that can follow at all needs four.
const LAG_MAX: Duration = Duration::from_secs(1);
/// How often a ready replica is checked.
const CHECK_EVERY: Duration = Duration::from_secs(2);
/// How often a replica that is not ready is checked.
const CHECK_EVERY_UNREADY: Duration = Duration::from_millis(50);

impl Core {
    /// Keeps `readiness` up to date. Runs as long as the replica.
    pub(crate) async fn keep_ready(&self, readiness: &Readiness) {
        loop {
            if !has_vote(&self.membership(), self.node_id) && readiness.state().is_err() {
                readiness.not_ready(self.why_no_vote());
            } else if let Some(committed) = self.leaders_commit().await {
                if timeout(LAG_MAX, self.wait_until_applied(committed)).await.is_err() {
                    readiness.not_ready("it is behind its leader");
                    continue;
                }
                readiness.ready();
            } else if readiness.state().is_err() {
                readiness.not_ready("it has followed no leader yet");
            }
            sleep(if readiness.state().is_ok() { CHECK_EVERY } else { CHECK_EVERY_UNREADY }).await;
        }
    }

    /// The reason for people: the same as in the log.
    fn why_no_vote(&self) -> String {
        let rejoining = ": its log was lost, its disk went back in time, or it was removed; it rejoins as a new member";
        let rejoining = if self.lost_a_log { rejoining } else { "" };
        let reason = self.no_vote_reason.lock().expect("no thread panics while it holds the lock").clone();
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("it has no vote in its group yet{rejoining}{reason}")
    }

    /// How far the log is committed, according to the leader; `None` if no leader answers.
    async fn leaders_commit(&self) -> Option<LogPosition> {
        let leadership = *self.leadership.borrow();
        let status = match leadership {
            Leadership::Leading(_) => self.status(),
            Leadership::Following { leader } => self.peers.status(leader?.ordinal()).await.ok()?.status,
        };
        status.committed.filter(|_| status.leads())
    }

    async fn wait_until_applied(&self, position_wanted: LogPosition) {
        let mut applied = self.applied.clone();
        let reached = applied.wait_for(|applied| applied.as_ref().map(position) >= Some(position_wanted));
        if reached.await.is_err() {
            // The machine is gone because the replica is being stopped.
            std::future::pending::<()>().await;
        }
    }
}
