//! Whether this replica is level with its leader: its readiness.
//!
//! A rolling update replaces the next replica when this one is ready, and a drain may go on then. So "ready" has to mean: if another one
//! goes now, this one has what that one had. It is measured, not believed: the replica asks its leader how far the log is committed, and is
//! level if its machine gets there within [`LAG_MAX`]. A replica that has just come back does not know by itself how far behind it is.
//!
//! It is this replica's own readiness, not the group's. Whether others are up plays no part, nor whether there is a leader *now*: while none
//! answers, readiness stays what it was. A replica that has followed no leader since its start is not ready, so a rolling update waits. That
//! cannot hold an election up, since those who conduct one ask all replicas, ready or not.

use std::time::Duration;

use api::LogPosition;
use service::health::Readiness;
use tokio::time::{sleep, timeout};

use crate::core::{Core, Leadership};
use crate::engine::position;
use crate::membership::is_seated;

/// What the leader had committed is to be applied here within this, else the replica counts as behind. Ten heartbeats; the slowest disk that can
/// follow at all takes four.
const LAG_MAX: Duration = Duration::from_secs(1);
/// How often it is looked at while the replica is ready …
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// … and while it is not.
const LOOK_EVERY_UNREADY: Duration = Duration::from_millis(50);

impl Core {
    /// Keeps `readiness` right. Runs as long as the replica.
    pub(crate) async fn keep_ready(&self, readiness: &Readiness) {
        loop {
            if !is_seated(&self.membership(), self.node_id) && readiness.state().is_err() {
                readiness.not_ready("it has no vote in its group yet");
            } else if let Some(committed) = self.leaders_commit().await {
                if timeout(LAG_MAX, self.has_applied(committed)).await.is_err() {
                    readiness.not_ready("it is behind its leader");
                    continue;
                }
                readiness.ready();
            } else if readiness.state().is_err() {
                readiness.not_ready("it has followed no leader yet");
            }
            sleep(if readiness.state().is_ok() { LOOK_EVERY } else { LOOK_EVERY_UNREADY }).await;
        }
    }

    /// How far the log is committed by the leader's word; `None` if no leader answers.
    async fn leaders_commit(&self) -> Option<LogPosition> {
        let leadership = *self.leadership.borrow();
        let status = match leadership {
            Leadership::Leading(_) => self.status(),
            Leadership::Following { leader } => self.peers.status(leader?.ordinal()).await.ok()?.status,
        };
        status.committed.filter(|_| status.leads())
    }

    async fn has_applied(&self, position_wanted: LogPosition) {
        let mut applied = self.applied.clone();
        let reached = applied.wait_for(|applied| applied.as_ref().map(position) >= Some(position_wanted));
        if reached.await.is_err() {
            // The machine is gone: the replica is being stopped.
            std::future::pending::<()>().await;
        }
    }
}
