//! What a replica does about the disk space in its group.

use std::sync::Arc;
use std::time::Duration;

use api::NodeId;
use tokio::time::{Instant, sleep, timeout};

use super::peer_space::PeerSpace;
use super::space::{MEASURE_EVERY, SpaceLevel};
use crate::core::Core;
use crate::leadership::transfer::LEADERSHIP_TRANSFER_TIMEOUT;

/// How often a leader asks the other replicas for their space: at every second measurement.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// The timeout of their answers, which come from memory.
const ASK_TIMEOUT: Duration = Duration::from_millis(400);
/// How long the disk must stay full before the leader transfers leadership: by then the other
/// replicas have measured theirs.
const TRANSFER_AFTER: Duration = Duration::from_secs(1);
/// The pause after a transfer that failed.
const TRANSFER_AGAIN: Duration = Duration::from_secs(5);

impl Core {
    /// Whether there is space for something new. A replica that does not lead refuses nothing for
    /// lack of space; it may have transferred leadership for that very reason.
    pub(crate) fn has_disk_space(&self) -> bool {
        if !self.is_leading() {
            return true;
        }
        let (level, peers) = (self.disk_space.level(), self.disk_space.peers());
        if level == SpaceLevel::Ample && !peers.any_is_full() {
            return true;
        }
        level > SpaceLevel::Full && self.majority_has_space(|id| peers.may_have_space(id))
    }

    fn majority_has_space(&self, peer_has_space: impl Fn(NodeId) -> bool) -> bool {
        let voters: Vec<NodeId> = self.membership().voter_ids().collect();
        let has_space = |id: NodeId| {
            if id == self.node_id { self.disk_space.level() == SpaceLevel::Ample } else { peer_has_space(id) }
        };
        2 * voters.iter().filter(|id| has_space(**id)).count() > voters.len()
    }

    /// Measures the free space; a leader also asks the other replicas for theirs. Runs as long as
    /// the replica.
    pub(crate) async fn watch_disk_space(self: Arc<Self>) {
        if self.disk_space.reserve_bytes == 0 {
            return;
        }
        tokio::select! {
            () = self.stopping.cancelled() => {}
            () = self.check_disk_space() => {}
        }
    }

    async fn check_disk_space(self: &Arc<Self>) {
        let mut asked = Instant::now();
        // While the disk stays full, no transfer before this.
        let mut transfer_at: Option<Instant> = None;
        loop {
            sleep(MEASURE_EVERY).await;
            self.disk_space.update();
            if !self.is_leading() {
                *self.disk_space.peers() = PeerSpace::new();
                transfer_at = None;
                continue;
            }
            if asked.elapsed() < ASK_EVERY {
                continue;
            }
            asked = Instant::now();
            self.ask_peers_for_space().await;
            // Measured again after the other replicas: if all share one disk, all of them are full
            // or none.
            self.disk_space.update();
            if self.disk_space.level() == SpaceLevel::Ample {
                transfer_at = None;
                continue;
            }
            let at = *transfer_at.get_or_insert_with(|| Instant::now() + TRANSFER_AFTER);
            let has_space = |id| self.disk_space.peers().is_known_to_have_space(id);
            if Instant::now() >= at && self.majority_has_space(has_space) {
                tracing::warn!("this leader's disk is full: transferring leadership to a replica with free space");
                self.transfer_leadership_to(LEADERSHIP_TRANSFER_TIMEOUT, has_space).await;
                transfer_at = Some(Instant::now() + TRANSFER_AGAIN);
            }
        }
    }

    async fn ask_peers_for_space(&self) {
        let voters = self.membership();
        let peers: Vec<NodeId> = voters.voter_ids().filter(|id| *id != self.node_id).collect();
        let asked = peers.into_iter().map(async |peer| {
            let answer = timeout(ASK_TIMEOUT, self.peers.status(peer.ordinal())).await.ok()?.ok()?;
            (answer.status.node_id == peer).then_some((peer, !answer.status.disk_full))
        });
        let round = futures::future::join_all(asked).await;
        self.disk_space.peers().heard(round.into_iter().flatten());
    }
}
