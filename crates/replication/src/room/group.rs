//! What a replica makes of the room in its group.

use std::sync::Arc;
use std::time::Duration;

use api::NodeId;
use openraft::error::RaftError;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use tokio::time::{Instant, sleep, timeout};

use super::peers::Peers;
use super::{LOOK_EVERY, Level};
use crate::core::{Core, Leadership};
use crate::engine::Types;

/// How often the others are asked for theirs: at every second look.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// For their answers, which come from memory.
const ASK_TIMEOUT: Duration = Duration::from_millis(400);
/// So long a leader's disk is full before it hands over: the others have looked at theirs by then.
const HAND_OVER_AFTER: Duration = Duration::from_secs(1);
/// A hand-over takes some round trips and two synced votes. Meanwhile commands wait.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(2);
/// After a hand-over that came to nothing.
const HAND_OVER_AGAIN: Duration = Duration::from_secs(5);

impl Core {
    /// Whether something new may be begun, as far as room is concerned: see the module. Who does not lead turns nothing away
    /// for want of room; it may have handed over for that very reason.
    pub(crate) fn has_room(&self) -> bool {
        if !matches!(*self.leadership.borrow(), Leadership::Leading(_)) {
            return true;
        }
        let (level, peers) = (self.room.level(), self.room.peers());
        if level == Level::Ample && !peers.any_is_full() {
            return true;
        }
        level > Level::Out && self.majority_has_room(|id| peers.may_have_room(id))
    }

    fn majority_has_room(&self, peer_has_room: impl Fn(NodeId) -> bool) -> bool {
        let voters: Vec<NodeId> = self.membership().voter_ids().collect();
        let has_room =
            |id: NodeId| if id == self.node_id { self.room.level() == Level::Ample } else { peer_has_room(id) };
        2 * voters.iter().filter(|id| has_room(**id)).count() > voters.len()
    }

    /// Looks at the free space, as a leader at that of the others too; runs as long as the replica.
    pub(crate) async fn keep_room(self: Arc<Self>) {
        if self.room.reserve_bytes == 0 {
            return;
        }
        tokio::select! {
            () = self.stopping.cancelled() => {}
            () = self.look_at_room() => {}
        }
    }

    async fn look_at_room(self: &Arc<Self>) {
        let mut asked = Instant::now();
        // Not before then, while the disk stays full.
        let mut hand_over_at: Option<Instant> = None;
        loop {
            sleep(LOOK_EVERY).await;
            self.room.look();
            if !matches!(*self.leadership.borrow(), Leadership::Leading(_)) {
                *self.room.peers() = Peers::nobody_asked_yet();
                hand_over_at = None;
                continue;
            }
            if asked.elapsed() < ASK_EVERY {
                continue;
            }
            asked = Instant::now();
            self.ask_for_room().await;
            // Again, after the others: where all share one disk, all of them are full or none.
            self.room.look();
            if self.room.level() == Level::Ample {
                hand_over_at = None;
                continue;
            }
            let at = *hand_over_at.get_or_insert_with(|| Instant::now() + HAND_OVER_AFTER);
            let has_room = |id| self.room.peers().is_known_to_have_room(id);
            if Instant::now() >= at && self.majority_has_room(has_room) {
                tracing::warn!("this leader's disk is full: another is to lead");
                self.hand_over_to(HAND_OVER_TIMEOUT, has_room).await;
                hand_over_at = Some(Instant::now() + HAND_OVER_AGAIN);
            }
        }
    }

    /// What the leader sends, entries only as far as there is room for them. Without it the leader still learns that it is
    /// followed.
    ///
    /// `None` if there is no room for the first entries of all: that nothing at all matches is no answer that the engine takes.
    pub(crate) async fn append_entries(
        &self,
        mut request: AppendEntriesRequest<Types>,
    ) -> Result<Option<AppendEntriesResponse<NodeId>>, RaftError<NodeId>> {
        if self.room.level() > Level::Out || request.entries.is_empty() {
            return self.append_durably(request).await.map(Some);
        }
        let before = request.prev_log_id;
        request.entries.clear();
        let answer = self.append_durably(request).await?;
        // Without a pause it would be offered them again at once.
        sleep(self.config.timing.heartbeat / 2).await;
        Ok(match answer {
            AppendEntriesResponse::Success => before.map(|before| AppendEntriesResponse::PartialSuccess(Some(before))),
            other => Some(other),
        })
    }

    async fn ask_for_room(&self) {
        let voters = self.membership();
        let peers: Vec<NodeId> = voters.voter_ids().filter(|id| *id != self.node_id).collect();
        let asked = peers.into_iter().map(async |peer| {
            let answer = timeout(ASK_TIMEOUT, self.peers.status(peer.ordinal())).await.ok()?.ok()?;
            (answer.status.node_id == peer).then_some((peer, !answer.status.disk_full))
        });
        let round = futures::future::join_all(asked).await;
        self.room.peers().heard(round.into_iter().flatten());
    }
}
