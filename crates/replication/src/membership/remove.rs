//! Removing a replica, finishing a change that a dead leader has started, and noticing one's own
//! removal.
//!
//! A replica joins by being started ([`join`](super::join)). A removal needs a request, since a
//! process that is stopped for good looks like one that is stopped for a restart. So an operator
//! first tells the leader to remove the replica, and then stops the process. One replica at a
//! time: the leader changes the membership through a joint one, as always, and refuses if the
//! voters that remain have no living majority. It does not remove itself: it transfers leadership
//! first.
//!
//! Each change is two entries, the joint membership and the new one. A leader that dies between
//! them leaves a group that needs two majorities. The caller may ask again, but may be gone as
//! well, so every leader finishes what it finds.
//!
//! A removed replica that keeps running is sent nothing any more, disturbs no other replica, and
//! waits to be stopped. A removed replica that *starts* joins again. If a leader of its own or a
//! later term counts its id neither among the voters nor among those that are joining, the id is
//! gone for good. (A leader's newest membership lacks a former voter only once the joint step is
//! committed, and nothing leads back from there.) The replica then takes a new id and joins like
//! any other, with the log that it has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::event::Event;
use api::{NodeId, Ordinal, Term};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use openraft::ChangeMembers;
use service::events::emit;
use service::lifecycle::{ExitCode, fatal};
use tokio::time::{sleep, timeout};

use super::change::is_joint;
use super::error::{JoinError, RemoveError};
use crate::consensus::types::{Membership, position};
use crate::core::{Core, Leadership};
use crate::peer::client::PeerClient;
use crate::peer::messages::PeerStatus;

/// Begins the message with which a replica exits because it was removed from its group.
pub const REMOVED_WHILE_AWAY: &str = "this replica was removed while it was away";

/// How long a leader that is being removed tries to transfer leadership.
const LEADERSHIP_TRANSFER_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a leader checks for an unfinished change of membership. One in progress takes
/// milliseconds.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// How long a starting replica waits for a leader to say whether it is still a member. Without an
/// answer it relies on its log.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a replica asks again whether it is still a member, until it knows.
const ASK_AGAIN: Duration = Duration::from_secs(3);

impl Core {
    /// Takes the vote of the replica with that ordinal. Leader only. Succeeds if there is nothing
    /// to do. Finishes even if the caller goes away.
    pub(crate) async fn remove_member(self: &Arc<Self>, ordinal: Ordinal) -> Result<(), RemoveError> {
        let core = Arc::clone(self);
        let work = self.tasks.spawn(async move {
            let Ok(_turn) = core.membership_change.try_lock() else {
                return Err(JoinError::Busy.into());
            };
            tokio::select! {
                () = core.stopping.cancelled() => Err(RemoveError::NotLeader { leader: None }),
                removed = core.remove_now(ordinal) => removed,
            }
        });
        work.await.map_err(|error| JoinError::Engine(error.to_string()))?
    }

    async fn remove_now(self: &Arc<Self>, ordinal: Ordinal) -> Result<(), RemoveError> {
        if !self.is_leading() {
            return Err(RemoveError::NotLeader { leader: self.leader() });
        }
        let membership = self.settled_membership().await?;
        let remaining = without(&membership, ordinal);
        if remaining.is_empty() {
            return Err(RemoveError::LastVoter);
        }
        if ordinal == self.ordinal() {
            let leader = self.transfer_leadership_to(LEADERSHIP_TRANSFER_TIMEOUT, |id| id.ordinal() != ordinal).await;
            return Err(RemoveError::NotLeader { leader });
        }
        if membership.voter_ids().any(|id| id.ordinal() == ordinal) {
            let alive = self.count_alive(&remaining).await;
            if 2 * alive <= remaining.len() {
                return Err(RemoveError::NoLivingMajority { alive, remaining: remaining.len() });
            }
            self.change_membership(ChangeMembers::ReplaceAllVoters(remaining)).await?;
            emit(Event::ReplicaRemoved { ordinal });
        }
        let learners: BTreeSet<NodeId> =
            self.membership().membership().learner_ids().filter(|id| id.ordinal() == ordinal).collect();
        if !learners.is_empty() {
            self.change_membership(ChangeMembers::RemoveNodes(learners)).await?;
        }
        Ok(())
    }

    /// The membership, after finishing what another leader has left half done. That may be this
    /// replica's own removal, and a replica without a vote must not decide on other votes.
    async fn settled_membership(&self) -> Result<Arc<Membership>, RemoveError> {
        if is_joint(&self.membership()) {
            self.finish_change().await?;
        }
        let membership = self.membership();
        if membership.voter_ids().all(|id| id != self.node_id) {
            return Err(RemoveError::NotLeader { leader: None });
        }
        Ok(membership)
    }

    /// Adds no voter, so openraft moves on to the second set of the joint membership.
    async fn finish_change(&self) -> Result<(), JoinError> {
        self.change_membership(ChangeMembers::AddVoterIds(BTreeSet::new())).await
    }

    /// As a leader, finishes a change of membership that was left unfinished. Runs as long as the
    /// replica.
    pub(crate) async fn finish_abandoned_changes(self: Arc<Self>) {
        let work = async {
            let mut seen_before = false;
            loop {
                sleep(CHECK_EVERY).await;
                let joint = self.is_leading() && is_joint(&self.membership());
                if !(joint && seen_before) {
                    seen_before = joint;
                    continue;
                }
                let Ok(_turn) = self.membership_change.try_lock() else { continue };
                match self.finish_change().await {
                    Ok(()) => tracing::info!("finished a change of membership that an earlier leader had started"),
                    Err(error) => tracing::info!(%error, "a change of membership is not finished yet"),
                }
            }
        };
        tokio::select! {
            () = self.stopping.cancelled() => {}
            () = work => {}
        }
    }

    /// For a replica that believes that it is a member: it may have been removed while it was away,
    /// without a leader to say so when it started. So it asks until it leads, or a leader has said
    /// that it is a member. (That its log names a leader proves nothing: that may be the leader
    /// that removed it.) Once it knows, it does not ask again: a replica that is removed while it
    /// runs waits to be stopped.
    pub(crate) async fn verify_own_membership(&self) {
        let mut leadership = self.leadership.subscribe();
        let leads = leadership.wait_for(|now| matches!(now, Leadership::Leading(_)));
        let asking = async {
            loop {
                let term = self.log.metadata().last.map(|last| position(&last).term).unwrap_or_default();
                match ask_leader(&self.peers, self.node_id, term).await {
                    Some(Removed(true)) => fatal(
                        ExitCode::Failure,
                        format!("{REMOVED_WHILE_AWAY}: it has to restart, to join as a new member"),
                    ),
                    Some(Removed(false)) => return,
                    None => sleep(ASK_AGAIN).await,
                }
            }
        };
        tokio::select! {
            _ = leads => {}
            () = asking => {}
        }
    }
}

/// Whether a replica has no vote and is not joining either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Removed(bool);

/// Whether a leader of `term`, that of the last entry in the log of `own`, or of a later term says
/// that `own` was removed. `false` if no leader answers.
pub(super) async fn was_removed(peers: &PeerClient, own: NodeId, term: Term) -> bool {
    ask_leader(peers, own, term).await == Some(Removed(true))
}

/// Asks a leader of `term` or a later one about `own`; `None` if no leader answers. (The term that
/// `own` has voted in does not matter: a replica that stood for election while it was being removed
/// is ahead of its group's leader forever, and the leader has nothing to do with it any more.)
async fn ask_leader(peers: &PeerClient, own: NodeId, term: Term) -> Option<Removed> {
    let others = peers.ordinals().into_iter().filter(|ordinal| *ordinal != own.ordinal());
    let mut asked: FuturesUnordered<_> = others.map(|ordinal| peers.status(ordinal)).collect();
    let answer = async {
        while let Some(answer) = asked.next().await {
            if let Ok(peer) = answer
                && let Some(removed) = removed_according_to(&peer, own, term)
            {
                return Some(removed);
            }
        }
        None
    };
    timeout(ANSWER_TIMEOUT, answer).await.ok()?
}

/// `None` unless the peer is a leader that a majority follows, and that has seen everything that
/// `own` has. A replica that has no vote *yet* was not removed: under another id it would leave the
/// leader waiting for one that never comes.
fn removed_according_to(peer: &PeerStatus, own: NodeId, term: Term) -> Option<Removed> {
    let status = &peer.status;
    let is_member = || status.voters.contains(&own) || peer.learners.contains(&own);
    (status.leads() && status.term >= term).then(|| Removed(!is_member()))
}

/// The voters without any that has that ordinal.
fn without(membership: &Membership, ordinal: Ordinal) -> BTreeSet<NodeId> {
    let current = membership.membership().get_joint_config().last().cloned().unwrap_or_default();
    current.into_iter().filter(|id| id.ordinal() != ordinal).collect()
}

#[cfg(test)]
mod tests {
    use api::replica::{ReplicaStatus, Role};

    use super::*;

    fn node(ordinal: u8) -> NodeId {
        NodeId::new(Ordinal(ordinal), 1)
    }

    #[test]
    fn the_replica_with_the_ordinal_is_removed_and_the_others_remain() {
        let five: BTreeSet<NodeId> = (1..=5).map(node).collect();
        let membership = Membership::new(None, openraft::Membership::new(vec![five.clone()], five.clone()));
        assert_eq!(without(&membership, Ordinal(5)), (1..=4).map(node).collect());
        assert_eq!(without(&membership, Ordinal(6)), five);
        assert!(!is_joint(&membership));
    }

    #[test]
    fn only_an_up_to_date_leader_can_say_that_a_replica_was_removed() {
        let leader = ReplicaStatus {
            role: Role::Leader,
            term: Term(5),
            leader: Some(node(1)),
            voters: vec![node(1), node(2), node(3)],
            ..ReplicaStatus::empty("test", node(1))
        };
        let answer = |status: &ReplicaStatus, own, term| {
            removed_according_to(
                &PeerStatus { status: status.clone(), lost_a_log: false, learners: vec![node(5)], receiving: false },
                node(own),
                Term(term),
            )
        };
        assert_eq!(answer(&leader, 4, 5), Some(Removed(true)));
        assert_eq!(answer(&leader, 4, 4), Some(Removed(true)));
        assert_eq!(answer(&leader, 3, 5), Some(Removed(false)));
        assert_eq!(answer(&leader, 5, 5), Some(Removed(false)), "it is joining");
        assert_eq!(answer(&leader, 4, 6), None, "a leader of an earlier term may not know of this replica yet");
        let follower = ReplicaStatus { role: Role::Follower, ..leader.clone() };
        assert_eq!(answer(&follower, 4, 5), None);
        let without_followers = ReplicaStatus { leader: None, ..leader };
        assert_eq!(answer(&without_followers, 4, 5), None);
    }
}
