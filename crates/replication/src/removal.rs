//! Taking a seat away, finishing what a dead leader has begun, and noticing that one's own seat is gone.
//!
//! A seat is added by starting a replica in it ([`membership`](crate::membership)). That it is to go is nothing that a
//! replica could know by itself, since a process that is stopped for good and one that is stopped for a restart look the
//! same. So somebody says it to the leader, and then stops the process. One seat at a time: the leader changes the
//! membership through a joint one, as always, and refuses if those who stay have no living majority. It does not remove
//! itself: it hands over first.
//!
//! Each change is two entries, the joint membership and the new one. A leader that dies between them leaves a group that
//! needs two majorities. Whoever asked will ask again, but may be gone as well; so every leader finishes what it finds.
//!
//! A removed replica that runs is sent nothing any more, hinders nobody, and waits to be stopped. One that *starts* is
//! wanted again: if a leader of its own or a later term counts its id neither among the voters nor among those who are being seated, then its id is gone for
//! good. (A leader's newest membership lacks a former voter only when the joint step is committed, and nothing leads back
//! from there.) It takes a fresh id and joins like any newcomer, with the log that it has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::{ApiError, ErrorCode, NodeId, Ordinal, Term};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use openraft::ChangeMembers;
use service::lifecycle::{ExitCode, fatal};
use tokio::time::{sleep, timeout};

use crate::core::{Core, Leadership};
use crate::engine::{Membership, position};
use crate::membership::JoinError;
use crate::peer_routes::PeerStatus;
use crate::transport::Peers;

/// A leader that is to go passes its office on within this.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a leader looks whether a change of membership was left unfinished. One that is under way takes milliseconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a replica that starts waits for a leader's word on whether it is a member still. Without one it takes its log's.
const WORD_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a replica asks again whether it has its seat still, until it knows.
const ASK_AGAIN: Duration = Duration::from_secs(3);

/// Why a seat was not removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoveError {
    #[error("this replica does not lead its group")]
    NotLeader { leader: Option<NodeId> },
    #[error("the only voter cannot be removed")]
    LastVoter,
    #[error("of the {staying} voters that would stay only {alive} answer: they could not go on without the others")]
    NoMajorityStays { alive: usize, staying: usize },
    #[error(transparent)]
    Change(#[from] JoinError),
}

impl Core {
    /// Takes the vote of whoever sits there. Leader only. Nothing to do is success. Finished even if who asked goes away.
    pub(crate) async fn remove_seat(self: &Arc<Self>, seat: Ordinal) -> Result<(), RemoveError> {
        let core = Arc::clone(self);
        let work = self.tasks.spawn(async move {
            let Ok(_turn) = core.seating.try_lock() else {
                return Err(JoinError::Busy.into());
            };
            tokio::select! {
                () = core.stopping.cancelled() => Err(RemoveError::NotLeader { leader: None }),
                removed = core.remove_seat_now(seat) => removed,
            }
        });
        work.await.map_err(|error| JoinError::Engine(error.to_string()))?
    }

    async fn remove_seat_now(self: &Arc<Self>, seat: Ordinal) -> Result<(), RemoveError> {
        if !matches!(*self.leadership.borrow(), Leadership::Leading(_)) {
            return Err(RemoveError::NotLeader { leader: self.leader() });
        }
        let membership = self.finished_membership().await?;
        let staying = staying(&membership, seat);
        if staying.is_empty() {
            return Err(RemoveError::LastVoter);
        }
        if seat == self.ordinal() {
            let leader = self.hand_over_to(HAND_OVER_TIMEOUT, |id| id.ordinal() != seat).await;
            return Err(RemoveError::NotLeader { leader });
        }
        if membership.voter_ids().any(|id| id.ordinal() == seat) {
            let alive = self.living(&staying).await;
            if 2 * alive <= staying.len() {
                return Err(RemoveError::NoMajorityStays { alive, staying: staying.len() });
            }
            self.change(ChangeMembers::ReplaceAllVoters(staying)).await?;
            tracing::info!(seat = seat.0, "a seat was removed");
        }
        let learners: BTreeSet<NodeId> =
            self.membership().membership().learner_ids().filter(|id| id.ordinal() == seat).collect();
        if !learners.is_empty() {
            self.change(ChangeMembers::RemoveNodes(learners)).await?;
        }
        Ok(())
    }

    /// The membership, once what another leader left half done in it is done: that may be this replica's own removal, and whoever has no vote
    /// decides on nobody's any more.
    async fn finished_membership(&self) -> Result<Arc<Membership>, RemoveError> {
        if is_joint(&self.membership()) {
            self.finish_change().await?;
        }
        let membership = self.membership();
        if membership.voter_ids().all(|id| id != self.node_id) {
            return Err(RemoveError::NotLeader { leader: None });
        }
        Ok(membership)
    }

    /// Nobody is added: the engine goes on to the last of the joint memberships.
    async fn finish_change(&self) -> Result<(), JoinError> {
        self.change(ChangeMembers::AddVoterIds(BTreeSet::new())).await
    }

    /// How many of these answer, this replica included.
    async fn living(&self, voters: &BTreeSet<NodeId>) -> usize {
        let asked = voters.iter().map(async |id| {
            *id == self.node_id || self.peers.status(id.ordinal()).await.is_ok_and(|peer| peer.status.node_id == *id)
        });
        futures::future::join_all(asked).await.into_iter().filter(|lives| *lives).count()
    }

    /// As a leader, leads the group out of a joint membership that nobody works on. Runs as long as the replica.
    pub(crate) async fn finish_changes(self: Arc<Self>) {
        let work = async {
            let mut seen_before = false;
            loop {
                sleep(LOOK_EVERY).await;
                let leads = matches!(*self.leadership.borrow(), Leadership::Leading(_));
                let joint = leads && is_joint(&self.membership());
                if !(joint && seen_before) {
                    seen_before = joint;
                    continue;
                }
                let Ok(_turn) = self.seating.try_lock() else { continue };
                match self.finish_change().await {
                    Ok(()) => tracing::info!("a change of membership was finished for a leader that is gone"),
                    Err(error) => tracing::info!(%error, "a change of membership is unfinished yet"),
                }
            }
        };
        tokio::select! {
            () = self.stopping.cancelled() => {}
            () = work => {}
        }
    }

    /// For a replica that takes itself for a member: it may have been removed while it was away, and no leader have been there to tell it so
    /// when it started. So it asks until it leads, or a leader has said that it counts on it. (That its log names a leader says nothing:
    /// that may be the one that has removed it.) Once it knows, it does not ask again: who is removed while it runs waits to be stopped.
    pub(crate) async fn doubt_own_seat(&self) {
        let mut leadership = self.leadership.subscribe();
        let leads = leadership.wait_for(|now| matches!(now, Leadership::Leading(_)));
        let asking = async {
            loop {
                let term = self.log.head().last.map(|last| position(&last).term).unwrap_or_default();
                match leaders_word(&self.peers, self.node_id, term).await {
                    Some(Removed(true)) => {
                        let what =
                            "this replica's seat was removed while it was away: it must start again as a newcomer";
                        fatal(ExitCode::Failure, what);
                    }
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

/// Whether a replica has no vote, and is to get none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Removed(bool);

/// Whether a leader of `term`, that of the last entry in the log of `own`, or of a later one says that `own` has no vote and is to get none.
/// `false` if no leader answers.
pub(crate) async fn was_removed(peers: &Peers, own: NodeId, term: Term) -> bool {
    leaders_word(peers, own, term).await == Some(Removed(true))
}

/// What a leader of `term` or a later one says of `own`; `None` if no leader answers. (The term that `own` has voted in says nothing: one that
/// stood for election while it was being removed is ahead of its group's leader for good, which has nothing to do with it any more.)
async fn leaders_word(peers: &Peers, own: NodeId, term: Term) -> Option<Removed> {
    let others = peers.seats().into_iter().filter(|seat| *seat != own.ordinal());
    let mut asked: FuturesUnordered<_> = others.map(|seat| peers.status(seat)).collect();
    let word = async {
        while let Some(answer) = asked.next().await {
            if let Ok(peer) = answer
                && let Some(removed) = word_of(&peer, own, term)
            {
                return Some(removed);
            }
        }
        None
    };
    timeout(WORD_TIMEOUT, word).await.ok()?
}

/// `None` from anyone but a leader whom a majority follows, and who has seen all that `own` has. Who has no vote *yet* was not
/// removed: under another id it would leave the leader waiting for one that never comes.
fn word_of(peer: &PeerStatus, own: NodeId, term: Term) -> Option<Removed> {
    let status = &peer.status;
    let counted = || status.voters.contains(&own) || peer.learners.contains(&own);
    (status.leads() && status.term >= term).then(|| Removed(!counted()))
}

/// The voters without whoever sits there.
fn staying(membership: &Membership, seat: Ordinal) -> BTreeSet<NodeId> {
    let current = membership.membership().get_joint_config().last().cloned().unwrap_or_default();
    current.into_iter().filter(|id| id.ordinal() != seat).collect()
}

fn is_joint(membership: &Membership) -> bool {
    membership.membership().get_joint_config().len() > 1
}

impl From<RemoveError> for ApiError {
    fn from(error: RemoveError) -> Self {
        let code = match &error {
            RemoveError::NotLeader { leader } | RemoveError::Change(JoinError::NotLeader { leader }) => {
                return Self::not_leader(leader.map(NodeId::ordinal));
            }
            RemoveError::LastVoter => ErrorCode::BadRequest,
            RemoveError::NoMajorityStays { .. } | RemoveError::Change(_) => ErrorCode::Unavailable,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use api::replica::{ReplicaStatus, Role};

    use super::*;

    fn node(seat: u8) -> NodeId {
        NodeId::new(Ordinal(seat), 1)
    }

    #[test]
    fn whoever_sits_there_goes_and_the_others_stay() {
        let five: BTreeSet<NodeId> = (1..=5).map(node).collect();
        let membership = Membership::new(None, openraft::Membership::new(vec![five.clone()], five.clone()));
        assert_eq!(staying(&membership, Ordinal(5)), (1..=4).map(node).collect());
        assert_eq!(staying(&membership, Ordinal(6)), five);
        assert!(!is_joint(&membership));
    }

    #[test]
    fn only_a_leader_that_is_up_to_date_can_tell_that_a_seat_is_gone() {
        let leader = ReplicaStatus {
            role: Role::Leader,
            term: Term(5),
            leader: Some(node(1)),
            voters: vec![node(1), node(2), node(3)],
            ..ReplicaStatus::empty("test", node(1))
        };
        let word = |status: &ReplicaStatus, own, term| {
            word_of(
                &PeerStatus { status: status.clone(), lost_a_log: false, learners: vec![node(5)], receiving: false },
                node(own),
                Term(term),
            )
        };
        assert_eq!(word(&leader, 4, 5), Some(Removed(true)));
        assert_eq!(word(&leader, 4, 4), Some(Removed(true)));
        assert_eq!(word(&leader, 3, 5), Some(Removed(false)));
        assert_eq!(word(&leader, 5, 5), Some(Removed(false)), "it is being seated");
        assert_eq!(word(&leader, 4, 6), None, "a leader of an earlier term may know nothing of us yet");
        let follower = ReplicaStatus { role: Role::Follower, ..leader.clone() };
        assert_eq!(word(&follower, 4, 5), None);
        let forsaken = ReplicaStatus { leader: None, ..leader };
        assert_eq!(word(&forsaken, 4, 5), None);
    }
}
