//! Standing for election.
//!
//! A replica that stands votes for itself in the next term. Whoever conducts the election asks the other survivors to
//! stand first, for that makes them give up the vote that they owe the old leader for a while; then the one with the
//! longest log. That one finds them voting for themselves in the very term that it asks for, and has to ask once more
//! in the term after.
//!
//! So a candidate that is refused because of such a split stands again at once, but only if it comes after the refuser by
//! (end of log, seat): of two candidates one gives way. Every other refusal is left to whoever conducts the election.
//!
//! On a second try the leases have run out, and one that was asked to stand first may well win. Were the chosen one to stand
//! then, it would depose a leader that has just been elected, win nothing itself, and so on round after round. So a replica
//! that has just given its vote to a candidate does not stand for a moment: it lets that one win first. And once there is a leader, a
//! request that was decided on before is void (`surveyed`).
//!
//! Several frontends see a leader die in the same moment, survey the same term, and conduct the same election. Each replica is asked to
//! stand by each of them. The first request did it: a replica that stands already, in a term after the `surveyed` one, does not stand
//! again, since a later term would depose whoever the first standing is about to make the leader. (One that lost is in the next survey
//! with its new term.)

use std::cmp::Reverse;
use std::sync::{Arc, PoisonError};

use api::{LogPosition, NodeId, Term};
use tokio::sync::watch;

use crate::core::Core;
use crate::engine::{Fatal, position};
use crate::transport::Refusal;

/// How often a candidate stands for one request: at first, after a split with those who stood before it, and once more
/// for one whose own try crossed it.
const TRIES_MAX: usize = 3;

/// What a candidate asks votes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidacy {
    node_id: NodeId,
    term: Term,
    last_log: Option<LogPosition>,
}

/// Whose idea a standing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// That of whoever conducts the election.
    New,
    /// This replica's own, after a split.
    Again,
}

impl Core {
    /// Stands for election, unless this replica leads or has no vote. Returns when the vote for itself is durable and
    /// the others are being asked; what follows goes on in the background.
    ///
    /// Whoever asks may have looked at the group before another candidate won: a replica that knows the leader of a term after the
    /// `surveyed` one does not stand.
    pub(crate) async fn stand(self: &Arc<Self>, surveyed: Option<Term>) -> Result<(), Fatal> {
        let refusals = self.peers.refusals();
        let one_by_one = self.standing.lock().await;
        let Some(candidacy) = self.stand_once(surveyed, Request::New).await? else {
            return Ok(());
        };
        drop(one_by_one);
        let core = Arc::clone(self);
        let campaign = self.tasks.spawn(async move {
            tokio::select! {
                () = core.stopping.cancelled() => {}
                () = core.follow_up(candidacy, surveyed, refusals) => {}
            }
        });
        let mut running = self.campaign.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = running.replace(campaign.abort_handle()) {
            earlier.abort();
        }
        Ok(())
    }

    async fn stand_once(&self, surveyed: Option<Term>, request: Request) -> Result<Option<Candidacy>, Fatal> {
        // A vote that is just being saved is seen after the engine's next answer.
        self.probe().await?;
        let is_void = |surveyed: Term| {
            self.log.head().vote.is_some_and(|vote| {
                let stands = request == Request::New && vote.leader_id.voted_for == Some(self.node_id);
                Term(vote.leader_id.term) > surveyed && (vote.committed || stands)
            })
        };
        if surveyed.is_some_and(is_void) {
            return Ok(None);
        }
        if self.log.gave_vote_away().is_some_and(|ago| ago < self.config.timing.yielding()) {
            return Ok(None);
        }
        self.raft.trigger().elect().await?;
        // The engine works in order: when it answers this, it has saved its vote and sent the requests.
        let term = self.raft.with_raft_state(|state| Term(state.vote_ref().leader_id.term)).await?;
        Ok(Some(Candidacy { node_id: self.node_id, term, last_log: self.log.head().last.as_ref().map(position) }))
    }

    async fn follow_up(
        &self,
        mut candidacy: Candidacy,
        surveyed: Option<Term>,
        mut refusals: watch::Receiver<Option<Refusal>>,
    ) {
        let mut metrics = self.raft.server_metrics();
        for _ in 1..TRIES_MAX {
            let split = tokio::select! {
                biased;
                // A leader of this term or a later one. (The metrics may still show the leader before.)
                _ = metrics.wait_for(|now| now.vote.committed && Term(now.vote.leader_id.term) >= candidacy.term) => return,
                // All votes are in or lost by then.
                () = tokio::time::sleep(self.config.timing.election_timeout_max) => return,
                split = refusals.wait_for(|refusal| refusal.is_some_and(|refusal| is_split(candidacy, refusal))) => {
                    split.is_ok_and(|refusal| refusal.is_some_and(|refusal| precedes(candidacy, refusal)))
                }
            };
            if !split {
                return;
            }
            tracing::debug!(node_id = %self.node_id, term = %candidacy.term, "standing again after a split vote");
            match self.stand_once(surveyed, Request::Again).await {
                Ok(Some(next)) => candidacy = next,
                Ok(None) | Err(_) => return,
            }
        }
    }
}

/// Whether the refuser votes for another candidate of this term, or a later one, that has not won.
fn is_split(candidacy: Candidacy, refusal: Refusal) -> bool {
    refusal.asked == candidacy.term && Term(refusal.vote.leader_id.term) >= candidacy.term && !refusal.vote.committed
}

/// Whether of two candidates this one is to try again.
fn precedes(candidacy: Candidacy, refusal: Refusal) -> bool {
    let rival = refusal.vote.leader_id.voted_for;
    let ours = (candidacy.last_log, candidacy.node_id.ordinal(), Reverse(candidacy.node_id));
    rival.is_none_or(|rival| ours > (refusal.last_log, rival.ordinal(), Reverse(rival)))
}

#[cfg(test)]
mod tests {
    use api::Ordinal;

    use super::*;
    use crate::engine::Vote;

    fn candidacy(seat: u8, index: u64) -> Candidacy {
        let last_log = Some(LogPosition { term: Term(1), index });
        Candidacy { node_id: NodeId::new(Ordinal(seat), 1), term: Term(5), last_log }
    }

    fn refusal(seat: u8, term: u64, index: u64) -> Refusal {
        let last_log = Some(LogPosition { term: Term(1), index });
        Refusal { asked: Term(5), vote: Vote::new(term, NodeId::new(Ordinal(seat), 1)), last_log }
    }

    #[test]
    fn of_two_candidates_exactly_one_stands_again() {
        for (mine, theirs) in [((3, 7), (2, 7)), ((2, 8), (3, 7)), ((2, 7), (3, 7)), ((1, 9), (2, 4))] {
            let here = precedes(candidacy(mine.0, mine.1), refusal(theirs.0, 5, theirs.1));
            let there = precedes(candidacy(theirs.0, theirs.1), refusal(mine.0, 5, mine.1));
            assert!(here ^ there, "{mine:?} against {theirs:?}");
        }
    }

    #[test]
    fn only_a_rival_of_the_same_term_makes_a_split() {
        assert!(is_split(candidacy(3, 7), refusal(2, 5, 7)));
        assert!(is_split(candidacy(3, 7), refusal(2, 6, 7)));
        assert!(!is_split(candidacy(3, 7), refusal(2, 4, 7)), "it is loyal to the old leader");
        let stale = Refusal { asked: Term(4), ..refusal(2, 5, 7) };
        assert!(!is_split(candidacy(3, 7), stale), "an answer to an earlier try");
        let won = Refusal { vote: Vote::new_committed(5, NodeId::new(Ordinal(2), 1)), ..refusal(2, 5, 7) };
        assert!(!is_split(candidacy(3, 7), won), "there is a leader");
    }
}
