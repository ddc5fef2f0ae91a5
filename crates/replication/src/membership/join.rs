//! Joining: a replica with a new disk gets a vote, in place of the disk that had its ordinal
//! before.
//!
//! The joining replica has a node id of its own, so it has promised nothing to anyone. The leader
//! first lets it receive the log without a vote (as a learner). When it has nearly all of it, one
//! membership change puts it in the place of the old id with the same ordinal. Both steps are
//! entries of the log, so each needs a majority of the previous voters. Hence an empty log never
//! counts towards a majority: with one follower paused and another wiped, no step commits, and the
//! group waits.
//!
//! Each step looks at the current membership and does what is missing. The joining replica asks
//! again until it has a vote, so it does not matter which leader made which step.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::NodeId;
use api::event::Event;
use openraft::{ChangeMembers, EmptyNode};
use service::events::emit;

use super::change::has_vote;
use super::error::JoinError;
use crate::consensus::types::{Membership, position};
use crate::core::Core;

/// A joining replica that lacks at most this many entries is given a vote: a few appends' worth.
const LAG_MAX: u64 = 64;
/// How long one request waits for the joining replica to catch up; then it asks again.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(20);

impl Core {
    /// Gives `joining` a vote in the place of any other replica with its ordinal. Leader only.
    /// Finishes even if the caller goes away.
    pub(crate) async fn join(self: &Arc<Self>, joining: NodeId) -> Result<(), JoinError> {
        let core = Arc::clone(self);
        let work = self.tasks.spawn(async move {
            let Ok(_turn) = core.membership_change.try_lock() else {
                return Err(JoinError::Busy);
            };
            tokio::select! {
                () = core.stopping.cancelled() => Err(JoinError::NotLeader { leader: None }),
                joined = core.join_now(joining) => joined,
            }
        });
        work.await.map_err(|error| JoinError::Engine(error.to_string()))?
    }

    async fn join_now(&self, joining: NodeId) -> Result<(), JoinError> {
        // Every member can answer this, and must: the leader may be the very replica whose ordinal
        // is used twice.
        if let Some(owner) = self.live_owner(joining).await {
            return Err(JoinError::OrdinalTaken { owner });
        }
        if !self.is_leading() {
            return Err(JoinError::NotLeader { leader: self.leader() });
        }
        let membership = self.membership();
        if has_vote(&membership, joining) {
            return Ok(());
        }
        self.check_majority().await?;
        // The log is sent to the nodes in the membership, and no other replica can join meanwhile.
        if !self.is_alive(joining).await {
            return Err(JoinError::Absent(joining));
        }
        let stale = stale_learners(&membership, joining);
        if !stale.is_empty() {
            self.change_membership(ChangeMembers::RemoveNodes(stale)).await?;
        }
        if membership.nodes().all(|(id, _)| *id != joining) {
            emit(Event::ReplicaJoining { joining });
            self.change_membership(ChangeMembers::AddNodes([(joining, EmptyNode {})].into())).await?;
        }
        self.wait_until_caught_up(joining).await?;
        let voters = with_joined(&self.membership(), joining);
        // It may be gone by now, with its disk, and then a change that counts on it could never be
        // finished.
        let alive = self.count_alive(&voters).await;
        if 2 * alive <= voters.len() || !self.is_alive(joining).await {
            return Err(JoinError::NoLivingMajority { alive, voters: voters.len() });
        }
        self.change_membership(ChangeMembers::ReplaceAllVoters(voters)).await?;
        emit(Event::ReplicaJoined { joining });
        Ok(())
    }

    /// The voter with the same ordinal, if it is alive. Then `joining` is no successor but a second
    /// replica with the same component id. A replica whose disk was wiped answers under its new id,
    /// and one that is gone not at all.
    async fn live_owner(&self, joining: NodeId) -> Option<NodeId> {
        let ordinal = joining.ordinal();
        let owner = self.membership().voter_ids().find(|id| id.ordinal() == ordinal && *id != joining)?;
        self.is_alive(owner).await.then_some(owner)
    }

    /// Whether a majority of the voters can still agree, now or later. If another id answers at a
    /// voter's address, that voter is lost for good.
    async fn check_majority(&self) -> Result<(), JoinError> {
        let own = self.status();
        let asked = own.voters.iter().filter(|voter| **voter != self.node_id).map(async |voter| {
            let answer = self.peers.status(voter.ordinal()).await;
            answer.is_ok_and(|peer| peer.status.node_id != *voter).then_some(*voter)
        });
        let lost: BTreeSet<NodeId> = futures::future::join_all(asked).await.into_iter().flatten().collect();
        if own.is_quorum(|voter| !lost.contains(voter)) {
            self.majority_lost.store(false, Ordering::Relaxed);
            return Ok(());
        }
        let ordinals: BTreeSet<u8> = lost.iter().map(|voter| voter.ordinal().0).collect();
        let error = JoinError::MajorityLost { ordinals };
        if !self.majority_lost.swap(true, Ordering::Relaxed) {
            tracing::error!(group = self.config.group, "{error}");
        }
        Err(error)
    }

    /// openraft's own wait for a learner ends thousands of entries too early.
    async fn wait_until_caught_up(&self, joining: NodeId) -> Result<(), JoinError> {
        let mut metrics = self.raft.metrics();
        let mut matched = None;
        let waiting = metrics.wait_for(|metrics| {
            let Some(progress) = &metrics.replication else {
                return true; // It no longer leads.
            };
            matched = progress.get(&joining).copied().flatten();
            matched.is_some_and(|matched| matched.index + LAG_MAX >= metrics.last_log_index.unwrap_or(0))
        });
        let leads = match tokio::time::timeout(CATCH_UP_TIMEOUT, waiting).await {
            Ok(Ok(metrics)) => metrics.replication.is_some(),
            Ok(Err(_)) => false,
            Err(_) => return Err(JoinError::Behind { matched: matched.as_ref().map(position) }),
        };
        if leads { Ok(()) } else { Err(JoinError::NotLeader { leader: self.leader() }) }
    }
}

/// Earlier disks of the joining replica that never got a vote.
fn stale_learners(membership: &Membership, joining: NodeId) -> BTreeSet<NodeId> {
    let learners = membership.membership().learner_ids();
    learners.filter(|id| id.ordinal() == joining.ordinal() && *id != joining).collect()
}

/// The voters after the change: the joining replica instead of any other disk with its ordinal.
fn with_joined(membership: &Membership, joining: NodeId) -> BTreeSet<NodeId> {
    let current = membership.membership().get_joint_config().last().cloned().unwrap_or_default();
    current.into_iter().filter(|id| id.ordinal() != joining.ordinal()).chain([joining]).collect()
}

#[cfg(test)]
mod tests {
    use api::Ordinal;

    use super::*;

    fn node(ordinal: u8, incarnation: u64) -> NodeId {
        NodeId::new(Ordinal(ordinal), incarnation)
    }

    fn membership(configs: &[&[NodeId]], learners: &[NodeId]) -> Membership {
        let configs = configs.iter().map(|config| config.iter().copied().collect()).collect();
        let learners: BTreeSet<NodeId> = learners.iter().copied().collect();
        Membership::new(None, openraft::Membership::new(configs, learners))
    }

    #[test]
    fn a_joining_replica_replaces_its_own_ordinal_only() {
        let before = membership(&[&[node(1, 1), node(2, 1), node(3, 1)]], &[node(2, 2)]);
        assert_eq!(with_joined(&before, node(2, 2)), [node(1, 1), node(2, 2), node(3, 1)].into());
        assert_eq!(with_joined(&before, node(4, 1)), [node(1, 1), node(2, 1), node(3, 1), node(4, 1)].into());
    }

    #[test]
    fn it_has_a_vote_once_the_change_is_complete() {
        let (old, new) = ([node(1, 1), node(2, 1)], [node(1, 1), node(2, 2)]);
        assert!(!has_vote(&membership(&[&old], &[node(2, 2)]), node(2, 2)));
        assert!(!has_vote(&membership(&[&old, &new], &[]), node(2, 2)), "the joint step is not the end");
        assert!(has_vote(&membership(&[&new], &[]), node(2, 2)));
    }

    #[test]
    fn disks_that_came_and_went_without_a_vote_are_removed() {
        let now = membership(&[&[node(1, 1), node(2, 1)]], &[node(2, 2), node(2, 3), node(3, 1)]);
        assert_eq!(stale_learners(&now, node(2, 3)), [node(2, 2)].into());
    }
}
