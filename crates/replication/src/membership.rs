//! Who sits where: a replica with a fresh disk gets the seat of the disk that was there before.
//!
//! The newcomer has a node id of its own, so it has promised nothing to anyone. The leader first lets it receive the
//! log without a vote; when it has nearly all of it, one membership change puts it in the place of the seat's old id.
//! Both steps are entries of the log, so each needs the majority of those who had a vote before. Hence the newcomer's
//! emptiness never counts: with one follower paused and another wiped, no step commits, and the group waits.
//!
//! Each step looks at what is there and does what is missing. The newcomer asks again until it has its seat, so it does
//! not matter which leader did how much.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::{LogPosition, NodeId};
use openraft::error::{ClientWriteError, RaftError};
use openraft::{ChangeMembers, EmptyNode};

use crate::core::{Core, Leadership};
use crate::engine::{Membership, position};

/// So few entries behind a newcomer is near enough to be given a vote: a few appends' worth.
const LAG_MAX: u64 = 64;
/// How long one request waits for the newcomer to catch up; it asks again after.
const CATCH_UP_PATIENCE: Duration = Duration::from_secs(20);
/// How long one request waits for a majority. Its entry is in the log by then and may commit at any later time.
const CHANGE_PATIENCE: Duration = Duration::from_secs(3);

/// Why a replica has not got its seat yet. It asks again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    #[error("this replica does not lead its group")]
    NotLeader { leader: Option<NodeId> },
    #[error("another replica is being seated")]
    Busy,
    #[error("the seat's replica {holder} is alive")]
    Taken { holder: NodeId },
    #[error("the newcomer has the log up to {matched:?} yet")]
    Behind { matched: Option<LogPosition> },
    #[error("the membership did not change: {0}")]
    Engine(String),
}

impl Core {
    /// Gives `newcomer` a vote in the place of whoever had its seat. Leader only. Finished even if who asked goes away.
    pub(crate) async fn seat(self: &Arc<Self>, newcomer: NodeId) -> Result<(), JoinError> {
        let core = Arc::clone(self);
        let work = self.tasks.spawn(async move {
            let Ok(_turn) = core.seating.try_lock() else {
                return Err(JoinError::Busy);
            };
            tokio::select! {
                () = core.stopping.cancelled() => Err(JoinError::NotLeader { leader: None }),
                seated = core.seat_now(newcomer) => seated,
            }
        });
        work.await.map_err(|error| JoinError::Engine(error.to_string()))?
    }

    async fn seat_now(&self, newcomer: NodeId) -> Result<(), JoinError> {
        // Any member can tell this, and has to: the one who leads may be the very replica whose seat is asked for.
        if let Some(holder) = self.living_holder(newcomer).await {
            return Err(JoinError::Taken { holder });
        }
        if !matches!(*self.leadership.borrow(), Leadership::Leading(_)) {
            return Err(JoinError::NotLeader { leader: self.leader() });
        }
        let membership = self.membership();
        if is_seated(&membership, newcomer) {
            return Ok(());
        }
        let stale = stale_learners(&membership, newcomer);
        if !stale.is_empty() {
            self.change(ChangeMembers::RemoveNodes(stale)).await?;
        }
        if membership.nodes().all(|(id, _)| *id != newcomer) {
            tracing::info!(%newcomer, "a replica joins: it receives the log");
            self.change(ChangeMembers::AddNodes([(newcomer, EmptyNode {})].into())).await?;
        }
        self.wait_until_near(newcomer).await?;
        let voters = with_newcomer(&self.membership(), newcomer);
        self.change(ChangeMembers::ReplaceAllVoters(voters)).await?;
        tracing::info!(%newcomer, "a replica has its seat");
        Ok(())
    }

    /// Who has the newcomer's seat and is there: then the newcomer is no successor but a second replica under one component id. A
    /// disk that was wiped answers under its new id, a replica that is gone not at all.
    async fn living_holder(&self, newcomer: NodeId) -> Option<NodeId> {
        let seat = newcomer.ordinal();
        let holder = self.membership().voter_ids().find(|id| id.ordinal() == seat && *id != newcomer)?;
        let is_there =
            holder == self.node_id || self.peers.status(seat).await.is_ok_and(|peer| peer.status.node_id == holder);
        is_there.then_some(holder)
    }

    pub(crate) async fn change(&self, change: ChangeMembers<NodeId, EmptyNode>) -> Result<(), JoinError> {
        match tokio::time::timeout(CHANGE_PATIENCE, self.raft.change_membership(change, false)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
                Err(JoinError::NotLeader { leader: forward.leader_id })
            }
            Ok(Err(error)) => Err(JoinError::Engine(error.to_string())),
            Err(_) => Err(JoinError::Engine("no majority has agreed yet".to_owned())),
        }
    }

    /// The engine's own waiting for a learner ends thousands of entries too early.
    async fn wait_until_near(&self, newcomer: NodeId) -> Result<(), JoinError> {
        let mut metrics = self.raft.metrics();
        let mut matched = None;
        let waiting = metrics.wait_for(|metrics| {
            let Some(progress) = &metrics.replication else {
                return true; // It leads no more.
            };
            matched = progress.get(&newcomer).copied().flatten();
            matched.is_some_and(|matched| matched.index + LAG_MAX >= metrics.last_log_index.unwrap_or(0))
        });
        let leads = match tokio::time::timeout(CATCH_UP_PATIENCE, waiting).await {
            Ok(Ok(metrics)) => metrics.replication.is_some(),
            Ok(Err(_)) => false,
            Err(_) => return Err(JoinError::Behind { matched: matched.as_ref().map(position) }),
        };
        if leads { Ok(()) } else { Err(JoinError::NotLeader { leader: self.leader() }) }
    }

    pub(crate) fn membership(&self) -> Arc<Membership> {
        Arc::clone(&self.raft.server_metrics().borrow().membership_config)
    }

    pub(crate) fn leader(&self) -> Option<NodeId> {
        match *self.leadership.borrow() {
            Leadership::Leading(_) => Some(self.node_id),
            Leadership::Following { leader } => leader,
        }
    }
}

/// Whether `node` has a vote, and no change is under way.
pub(crate) fn is_seated(membership: &Membership, node: NodeId) -> bool {
    let configs = membership.membership().get_joint_config();
    matches!(configs.as_slice(), [voters] if voters.contains(&node))
}

/// Earlier disks of the newcomer's seat that never got as far as a vote.
fn stale_learners(membership: &Membership, newcomer: NodeId) -> BTreeSet<NodeId> {
    let learners = membership.membership().learner_ids();
    learners.filter(|id| id.ordinal() == newcomer.ordinal() && *id != newcomer).collect()
}

/// The voters as they are to be: the newcomer instead of any other disk of its seat.
fn with_newcomer(membership: &Membership, newcomer: NodeId) -> BTreeSet<NodeId> {
    let current = membership.membership().get_joint_config().last().cloned().unwrap_or_default();
    current.into_iter().filter(|id| id.ordinal() != newcomer.ordinal()).chain([newcomer]).collect()
}

#[cfg(test)]
mod tests {
    use api::Ordinal;

    use super::*;

    fn node(seat: u8, incarnation: u64) -> NodeId {
        NodeId::new(Ordinal(seat), incarnation)
    }

    fn membership(configs: &[&[NodeId]], learners: &[NodeId]) -> Membership {
        let configs = configs.iter().map(|config| config.iter().copied().collect()).collect();
        let learners: BTreeSet<NodeId> = learners.iter().copied().collect();
        Membership::new(None, openraft::Membership::new(configs, learners))
    }

    #[test]
    fn a_newcomer_takes_its_own_seat_only() {
        let before = membership(&[&[node(1, 1), node(2, 1), node(3, 1)]], &[node(2, 2)]);
        assert_eq!(with_newcomer(&before, node(2, 2)), [node(1, 1), node(2, 2), node(3, 1)].into());
        assert_eq!(with_newcomer(&before, node(4, 1)), [node(1, 1), node(2, 1), node(3, 1), node(4, 1)].into());
    }

    #[test]
    fn it_is_seated_when_the_change_is_through() {
        let (old, new) = ([node(1, 1), node(2, 1)], [node(1, 1), node(2, 2)]);
        assert!(!is_seated(&membership(&[&old], &[node(2, 2)]), node(2, 2)));
        assert!(!is_seated(&membership(&[&old, &new], &[]), node(2, 2)), "the joint step is not the end");
        assert!(is_seated(&membership(&[&new], &[]), node(2, 2)));
    }

    #[test]
    fn disks_that_came_and_went_without_a_vote_are_forgotten() {
        let now = membership(&[&[node(1, 1), node(2, 1)]], &[node(2, 2), node(2, 3), node(3, 1)]);
        assert_eq!(stale_learners(&now, node(2, 3)), [node(2, 2)].into());
    }
}
