//! Standing for election.
//!
//! A candidate votes for itself in the next term. For a while after its last contact with a leader,
//! a follower refuses its vote to other replicas. So the frontend that runs the election first asks
//! the other replicas to stand, which makes them vote again, and then the one with the longest log.
//! This candidate finds the others voting for themselves in the term in which it campaigns, and has
//! to campaign again in the next term.
//!
//! So a candidate that is refused because of such a split vote stands again at once, but only if it
//! precedes the replica that refused by (end of log, ordinal): of two candidates, only one stands
//! again. Every other refusal is left to the frontend that runs the election.
//!
//! In a second round the followers no longer withhold their votes, and a replica that was asked to
//! stand first may well win. If the candidate with the longest log stood then, it would depose a
//! leader that has just been elected, without winning itself, and this could repeat in every round.
//! So a replica that has just voted for another candidate does not stand for a moment, in which
//! that candidate can win. A request to stand is void once a leader of a later term than its
//! `polled_term` is known.
//!
//! # A working leader is not deposed
//! A frontend that does not hear from a leader cannot know whether the leader works, and other
//! frontends may still reach it. So a replica that is asked to stand first checks its own last
//! contact with the leader ([`leader_contact`](super::leader_contact)): if the leader works, as far
//! as the replica knows, it does not stand. To win, a candidate needs a majority, and a voter that
//! has recently heard from a leader refuses its vote unless it stands itself. So a leader is
//! deposed only if a majority has not heard from it, or knows that it cannot commit, or that no
//! frontend reaches it.
//!
//! A leader whose process was killed was heard from a moment ago. Its host refuses connections:
//! first to the frontend, which says so (`leader_gone`), then to the replica, which checks for
//! itself. The leader's own request, when it transfers leadership, is not checked.
//!
//! Several frontends may see a leader die at the same moment, poll the same term, and run the same
//! election, so each of them asks each replica to stand. The first request counts. A replica that
//! already stands in a term after the `polled_term` one does not stand again, since a later term
//! would depose the leader that its first campaign is about to make. (If it has lost, the next
//! status poll includes its new term.)

use std::cmp::Reverse;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use api::event::Event;
use api::replica::StandForElection;
use api::{LogPosition, NodeId, Term};
use service::events::emit;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::consensus::types::{Fatal, position};
use crate::core::Core;
use crate::peer::client::{PeerError, VoteRefusal};

/// How often a candidate campaigns for one request: once, again after a split with those that stood
/// before it, and once more if their campaigns crossed.
const TRIES_MAX: usize = 3;

/// How often a replica checks whether its leader is gone: one broken connection may have been an
/// old one.
const CHECKS_MAX: usize = 2;
/// The timeout of one check. A process that is gone is reported within a round trip.
const CHECK_TIMEOUT: Duration = Duration::from_millis(150);

/// What a candidate sends with its request for votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidacy {
    node_id: NodeId,
    term: Term,
    last_log: Option<LogPosition>,
}

/// Who started a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Initiator {
    /// The frontend that runs the election, or a leader that transfers leadership.
    Frontend,
    /// This replica, after a split vote.
    Split,
}

impl Core {
    /// Stands for election, unless this replica leads or has no vote. Returns when the vote for
    /// itself is durable and the others are being asked; the rest happens in the background.
    ///
    /// The frontend may have polled the group before another candidate won. So a replica that
    /// knows a leader of a later term than `polled_term` does not stand. Nor does one whose leader
    /// works. Without `asked` (a leader transfers leadership, or this replica decided by itself)
    /// neither is checked.
    pub(crate) async fn stand_for_election(self: &Arc<Self>, asked: Option<StandForElection>) -> Result<(), Fatal> {
        let refusals = self.peers.refusals();
        let starting = self.campaign_start.lock().await;
        let polled_term = asked.map(|asked| asked.polled_term);
        if let Some(asked) = asked
            && self.has_working_leader(asked.leader_gone).await
        {
            return Ok(());
        }
        let Some(candidacy) = self.stand_once(polled_term, Initiator::Frontend).await? else {
            return Ok(());
        };
        drop(starting);
        let core = Arc::clone(self);
        let campaign = self.tasks.spawn(async move {
            tokio::select! {
                () = core.stopping.cancelled() => {}
                () = core.follow_up(candidacy, polled_term, refusals) => {}
            }
        });
        let mut running = self.campaign.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = running.replace(campaign.abort_handle()) {
            earlier.abort();
        }
        Ok(())
    }

    /// Whether this replica had recent contact with a leader. If so, but the frontend says that the
    /// leader is `gone`, it checks for itself: a refused connection, a connection that breaks
    /// twice, or the leader's own status counts. A missing answer does not count: the last contact
    /// soon becomes too old anyway.
    async fn has_working_leader(&self, gone: bool) -> bool {
        let status = self.status();
        let Some(leader) = status.leader.filter(|_| status.has_fresh_leader()) else { return false };
        if !gone || leader == self.node_id {
            return true;
        }
        for _ in 0..CHECKS_MAX {
            match timeout(CHECK_TIMEOUT, self.peers.status(leader.ordinal())).await {
                Ok(Ok(found)) => return found.status.node_id == leader && found.status.leads(),
                Ok(Err(PeerError::NotListening(_))) => return false,
                Ok(Err(error)) => tracing::debug!(%leader, %error, "the leader does not answer"),
                Err(_) => return true,
            }
        }
        false
    }

    async fn stand_once(&self, polled_term: Option<Term>, initiator: Initiator) -> Result<Option<Candidacy>, Fatal> {
        // If not, it stands only to be free to vote for another replica.
        self.peers.asks_for_votes.store(self.may_elect(self.log.metadata().last).await, Ordering::Relaxed);
        // A vote that is being saved is visible after openraft's next answer.
        self.probe().await?;
        let is_void = |polled_term: Term| {
            self.log.metadata().vote.is_some_and(|vote| {
                let stands = initiator == Initiator::Frontend && vote.leader_id.voted_for == Some(self.node_id);
                Term(vote.leader_id.term) > polled_term && (vote.committed || stands)
            })
        };
        if polled_term.is_some_and(is_void) {
            return Ok(None);
        }
        if self.log.voted_for_other().is_some_and(|ago| ago < self.config.timing.campaign_delay()) {
            return Ok(None);
        }
        self.raft.trigger().elect().await?;
        // openraft works in order: when it answers this, it has saved its vote and sent the
        // requests.
        let term = self.raft.with_raft_state(|state| Term(state.vote_ref().leader_id.term)).await?;
        emit(Event::StoodForElection { group: self.config.group.clone().into(), term });
        Ok(Some(Candidacy { node_id: self.node_id, term, last_log: self.log.metadata().last.as_ref().map(position) }))
    }

    async fn follow_up(
        &self,
        mut candidacy: Candidacy,
        polled_term: Option<Term>,
        mut refusals: watch::Receiver<Option<VoteRefusal>>,
    ) {
        let mut metrics = self.raft.server_metrics();
        for _ in 1..TRIES_MAX {
            let split = tokio::select! {
                biased;
                // A leader of this term or a later one. (The metrics may still show the previous
                // leader.)
                _ = metrics.wait_for(|now| now.vote.committed && Term(now.vote.leader_id.term) >= candidacy.term) => return,
                // By then all votes have arrived or are lost.
                () = tokio::time::sleep(self.config.timing.election_timeout_max) => return,
                split = refusals.wait_for(|refusal| refusal.is_some_and(|refusal| is_split(candidacy, refusal))) => {
                    split.is_ok_and(|refusal| refusal.is_some_and(|refusal| precedes(candidacy, refusal)))
                }
            };
            if !split {
                return;
            }
            tracing::debug!(node_id = %self.node_id, term = %candidacy.term, "campaigning again after a split vote");
            match self.stand_once(polled_term, Initiator::Split).await {
                Ok(Some(next)) => candidacy = next,
                Ok(None) | Err(_) => return,
            }
        }
    }
}

/// Whether the replica that refused votes for another candidate of this term or a later one that
/// has not won.
fn is_split(candidacy: Candidacy, refusal: VoteRefusal) -> bool {
    refusal.asked == candidacy.term && Term(refusal.vote.leader_id.term) >= candidacy.term && !refusal.vote.committed
}

/// Whether this candidate is the one of the two that stands again.
fn precedes(candidacy: Candidacy, refusal: VoteRefusal) -> bool {
    let other = refusal.vote.leader_id.voted_for;
    let ours = (candidacy.last_log, candidacy.node_id.ordinal(), Reverse(candidacy.node_id));
    other.is_none_or(|other| ours > (refusal.last_log, other.ordinal(), Reverse(other)))
}

#[cfg(test)]
mod tests {
    use api::Ordinal;

    use super::*;
    use crate::consensus::types::Vote;

    fn candidacy(ordinal: u8, index: u64) -> Candidacy {
        let last_log = Some(LogPosition { term: Term(1), index });
        Candidacy { node_id: NodeId::new(Ordinal(ordinal), 1), term: Term(5), last_log }
    }

    fn refusal(ordinal: u8, term: u64, index: u64) -> VoteRefusal {
        let last_log = Some(LogPosition { term: Term(1), index });
        VoteRefusal { asked: Term(5), vote: Vote::new(term, NodeId::new(Ordinal(ordinal), 1)), last_log }
    }

    #[test]
    fn exactly_one_of_two_candidates_stands_again() {
        for (mine, theirs) in [((3, 7), (2, 7)), ((2, 8), (3, 7)), ((2, 7), (3, 7)), ((1, 9), (2, 4))] {
            let here = precedes(candidacy(mine.0, mine.1), refusal(theirs.0, 5, theirs.1));
            let there = precedes(candidacy(theirs.0, theirs.1), refusal(mine.0, 5, mine.1));
            assert!(here ^ there, "{mine:?} against {theirs:?}");
        }
    }

    #[test]
    fn only_another_candidate_of_the_same_term_splits_the_vote() {
        assert!(is_split(candidacy(3, 7), refusal(2, 5, 7)));
        assert!(is_split(candidacy(3, 7), refusal(2, 6, 7)));
        assert!(!is_split(candidacy(3, 7), refusal(2, 4, 7)), "it still withholds its vote for the old leader");
        let stale = VoteRefusal { asked: Term(4), ..refusal(2, 5, 7) };
        assert!(!is_split(candidacy(3, 7), stale), "an answer to an earlier try");
        let won = VoteRefusal { vote: Vote::new_committed(5, NodeId::new(Ordinal(2), 1)), ..refusal(2, 5, 7) };
        assert!(!is_split(candidacy(3, 7), won), "there is a leader");
    }
}
