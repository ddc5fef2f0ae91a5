//! How a replica comes to its group: founding it, joining it, or waking up in it.
//!
//! A group is founded once. The danger is to found it again: were a wiped majority to begin a second history, all that
//! was acknowledged in the first would be gone without an error. So founding needs the word of *all* configured
//! founders that they are empty, and the lowest seat does it. A replica that finds anyone who is not empty joins; one
//! that cannot hear all of them waits.
//!
//! [`next_step`] decides from what the peers say; the rest of this module asks and acts, with a growing pause, until
//! the replica has a vote. After that only two things are left to do, both because automatic elections are off: the
//! only voter of a group elects itself, and the founder goes on to stand until its group has had its first leader.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::replica::{ReplicaStatus, Role};
use api::{ErrorCode, NodeId, Ordinal, Term};
use openraft::error::RaftError;
use service::lifecycle::{ExitCode, fatal};
use service::pause::Pause;

use crate::core::{Core, Leadership};
use crate::membership::is_seated;
use crate::peer_routes::PeerStatus;
use crate::transport::PeerError;

/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The first start of a group is quick, a long wait is quiet.
const PAUSE: Pause = Pause::growing(Duration::from_millis(50), PAUSE_MAX);
/// Longer than the leader's own patience with a newcomer that catches up.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);

/// What a replica without a vote does next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Begin the group with these.
    Found(BTreeSet<NodeId>),
    /// Ask these seats from the end on; the last one is said to lead.
    Join(Vec<Ordinal>),
    /// Nothing now.
    Wait(String),
}

/// What the seats answered when they were asked.
type Answers = BTreeMap<Ordinal, Result<PeerStatus, String>>;

impl Core {
    /// Runs as long as the replica.
    pub(crate) async fn keep_seat(self: Arc<Self>) {
        let work = async {
            self.take_seat().await;
            tokio::join!(self.doubt_own_seat(), self.elect_if_alone());
        };
        tokio::select! {
            () = self.stopping.cancelled() => {}
            () = work => {}
        }
    }

    async fn take_seat(self: &Arc<Self>) {
        let mut pause = PAUSE;
        let mut last_reason = String::new();
        while !is_seated(&self.membership(), self.node_id) {
            let answers = self.ask_all().await;
            let step = next_step(self.ordinal(), self.config.founders, &answers);
            let outcome = match step {
                Step::Found(founders) => self.found(founders).await,
                Step::Join(seats) => self.join_through(seats, reign(&answers)).await,
                Step::Wait(reason) => Err(reason),
            };
            if let Err(reason) = outcome
                && reason != last_reason
            {
                tracing::info!(node_id = %self.node_id, reason, "this replica has no vote yet");
                last_reason = reason;
            }
            // A vote may also come without a step of ours: from the founder.
            let mut metrics = self.raft.server_metrics();
            let seated = metrics.wait_for(|metrics| is_seated(&metrics.membership_config, self.node_id));
            let _ = tokio::time::timeout(pause.draw(), seated).await;
        }
    }

    async fn ask_all(&self) -> Answers {
        let own = self.peer_status();
        let others = self.peers.seats().into_iter().filter(|seat| *seat != self.ordinal());
        let asked = others.map(async |seat| (seat, self.peers.status(seat).await.map_err(|error| error.to_string())));
        let mut answers: Answers = futures::future::join_all(asked).await.into_iter().collect();
        answers.insert(self.ordinal(), Ok(own));
        answers
    }

    async fn found(&self, founders: BTreeSet<NodeId>) -> Result<(), String> {
        tracing::info!(group = self.config.group, ?founders, "founding the group");
        match self.raft.initialize(founders).await {
            // That made the engine stand for election. Give it the time before `elect_if_alone` sees that nobody leads.
            Ok(()) => {
                let mut leadership = self.leadership.subscribe();
                let elected = leadership.wait_for(|now| !matches!(now, Leadership::Following { leader: None }));
                let _ = tokio::time::timeout(self.config.timing.election_timeout_max, elected).await;
                Ok(())
            }
            // Someone was quicker.
            Err(RaftError::APIError(error)) => Err(error.to_string()),
            Err(RaftError::Fatal(error)) => Err(error.to_string()),
        }
    }

    /// Asks these seats for one; `reign` is the term of the leader among them.
    async fn join_through(&self, mut seats: Vec<Ordinal>, reign: Term) -> Result<(), String> {
        let mut reason = "no leader is known".to_owned();
        // Whoever does not lead may know who does; that one is asked next, each once.
        let mut asked = BTreeSet::new();
        while let Some(seat) = seats.pop() {
            if seat == self.ordinal() || !asked.insert(seat) {
                continue;
            }
            let outcome = tokio::select! {
                outcome = self.peers.join(seat, self.node_id, JOIN_PATIENCE) => outcome,
                () = self.hear_of_later_reign(reign) => return Err(format!("replica {seat} was asked, and another term has begun")),
            };
            match outcome {
                Ok(()) => return Ok(()),
                Err(error) => {
                    if let PeerError::Refused { error, .. } = &error {
                        if error.code == ErrorCode::SeatTaken {
                            self.give_way(&error.message);
                        }
                        seats.extend(error.leader);
                    }
                    reason = error.to_string();
                }
            }
        }
        Err(reason)
    }

    /// Ends when someone leads in a later term: a leader that lost its power while it was asked never answers, and its successor, which may be the
    /// same replica, knows nothing of the request.
    async fn hear_of_later_reign(&self, asked: Term) {
        loop {
            tokio::time::sleep(PAUSE_MAX).await;
            if reign(&self.ask_all().await) > asked {
                return;
            }
        }
    }

    /// Two replicas under one component id: the later one goes, for the earlier one may hold what only it has.
    fn give_way(&self, why: &str) -> ! {
        let (group, seat) = (&self.config.group, self.ordinal());
        let what =
            format!("replica {seat} of the group {group} runs already ({why}): is COMPONENT_ID {seat} used twice?");
        fatal(ExitCode::Usage, what)
    }

    /// Elections are someone else's business, except where there is nobody else, or where there never was a leader.
    async fn elect_if_alone(self: &Arc<Self>) {
        let mut leadership = self.leadership.subscribe();
        let mut membership = self.raft.server_metrics();
        let mut pause = PAUSE;
        loop {
            let voters: BTreeSet<NodeId> = membership.borrow_and_update().membership_config.voter_ids().collect();
            let leader_known = match *leadership.borrow_and_update() {
                Leadership::Leading(_) => true,
                // One that has lost its vote leads no more, but its followers are told of no other.
                Leadership::Following { leader } => leader.is_some_and(|leader| voters.contains(&leader)),
            };
            if leader_known || !(voters == [self.node_id].into() || self.founded_without_leader(&voters)) {
                let changed = tokio::select! {
                    changed = leadership.changed() => changed.is_ok(),
                    changed = membership.changed() => changed.is_ok(),
                };
                if !changed {
                    return;
                }
                continue;
            }
            if self.stand(None).await.is_err() {
                return;
            }
            // The wait ends early with a leader.
            let elected = leadership.wait_for(|now| !matches!(now, Leadership::Following { leader: None }));
            let _ = tokio::time::timeout(self.config.timing.election_timeout_max + pause.draw(), elected).await;
        }
    }

    /// The log holds nothing but the founding, and this replica wrote that.
    fn founded_without_leader(&self, voters: &BTreeSet<NodeId>) -> bool {
        self.log.head().last.is_some_and(|last| last.index == 0)
            && voters.iter().map(|id| id.ordinal()).min() == Some(self.ordinal())
    }
}

fn next_step(own: Ordinal, founders: usize, answers: &Answers) -> Step {
    let heard = || answers.values().filter_map(|answer| answer.as_ref().ok());
    if heard().any(|peer| peer.status.role != Role::Empty) {
        let leader = heard().filter_map(|peer| peer.status.leader).map(NodeId::ordinal);
        let members = heard().filter(|peer| peer.status.role != Role::Empty).map(|peer| peer.status.ordinal);
        // Asked from the end: who leads by its own word, those whom others call leader, then any member.
        let leading = newest_leader(answers).map(|status| status.ordinal);
        return Step::Join(members.chain(leader).chain(leading).collect());
    }
    let seats: Vec<Ordinal> = (1..=founders).filter_map(|seat| u8::try_from(seat).ok()).map(Ordinal).collect();
    if !seats.contains(&own) {
        return Step::Wait("its seat is not a founder's: it waits for the group to be founded".to_owned());
    }
    let mut ids = BTreeSet::new();
    for seat in &seats {
        match answers.get(seat) {
            None => return Step::Wait(format!("founder {seat} has no address yet")),
            Some(Err(error)) => return Step::Wait(format!("founder {seat} does not answer: {error}")),
            Some(Ok(peer)) if peer.lost_a_log => {
                return Step::Wait(format!(
                    "founder {seat} had a log and lost it, so the group was founded before; \
                     to begin anew, empty all data directories"
                ));
            }
            Some(Ok(peer)) => ids.insert(peer.status.node_id),
        };
    }
    if seats.first() == Some(&own) {
        Step::Found(ids)
    } else {
        Step::Wait("the first founder has not founded yet".to_owned())
    }
}

/// Who leads by its own word, in the highest term: a deposed leader may not know it yet.
fn newest_leader(answers: &Answers) -> Option<&ReplicaStatus> {
    let leading = answers.values().flatten().map(|peer| &peer.status).filter(|status| status.role == Role::Leader);
    leading.max_by_key(|status| status.term)
}

/// Its term; before all terms, if nobody says that it leads.
fn reign(answers: &Answers) -> Term {
    newest_leader(answers).map_or(Term(0), |leader| leader.term)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(seat: u8, role: Role) -> (Ordinal, Result<PeerStatus, String>) {
        let status = ReplicaStatus { role, ..ReplicaStatus::empty("test", NodeId::new(Ordinal(seat), 1)) };
        (Ordinal(seat), Ok(PeerStatus { status, lost_a_log: false, learners: Vec::new(), receiving: false }))
    }

    fn silent(seat: u8) -> (Ordinal, Result<PeerStatus, String>) {
        (Ordinal(seat), Err("connection refused".to_owned()))
    }

    fn with_lost_log((seat, answer): (Ordinal, Result<PeerStatus, String>)) -> (Ordinal, Result<PeerStatus, String>) {
        (seat, answer.map(|peer| PeerStatus { lost_a_log: true, ..peer }))
    }

    fn step<const N: usize>(own: u8, answers: [(Ordinal, Result<PeerStatus, String>); N]) -> Step {
        next_step(Ordinal(own), 3, &answers.into())
    }

    #[test]
    fn the_lowest_seat_founds_when_all_founders_are_empty() {
        let empty = || [1, 2, 3].map(|seat| peer(seat, Role::Empty));
        assert_eq!(step(1, empty()), Step::Found([1, 2, 3].map(|seat| NodeId::new(Ordinal(seat), 1)).into()));
        for other in [2, 3] {
            assert!(matches!(step(other, empty()), Step::Wait(_)));
        }
    }

    #[test]
    fn nobody_founds_without_the_word_of_all_founders() {
        let (one, two, three) = (peer(1, Role::Empty), peer(2, Role::Empty), peer(3, Role::Empty));
        assert!(matches!(step(1, [one.clone(), two.clone()]), Step::Wait(_)), "seat 3 has no address");
        assert!(matches!(step(1, [one.clone(), two.clone(), silent(3)]), Step::Wait(_)));
        assert!(matches!(step(1, [one.clone(), two.clone(), with_lost_log(three.clone())]), Step::Wait(_)));
        assert!(matches!(step(1, [with_lost_log(one), two, three]), Step::Wait(_)));
    }

    #[test]
    fn a_seat_that_is_no_founders_waits_for_them() {
        let answers = [1, 2, 3, 4].map(|seat| peer(seat, Role::Empty));
        assert!(matches!(step(4, answers), Step::Wait(_)));
    }

    #[test]
    fn whoever_finds_a_history_joins_it_and_asks_the_leader_first() {
        let answers = [peer(1, Role::Empty), peer(2, Role::Leader), peer(3, Role::Follower)];
        assert_eq!(step(1, answers), Step::Join([2, 3, 2].map(Ordinal).into()));
        let answers = [peer(1, Role::Empty), silent(2), peer(3, Role::Follower)];
        assert_eq!(step(1, answers), Step::Join([Ordinal(3)].into()), "even if a founder does not answer");
    }

    #[test]
    fn of_two_that_say_they_lead_the_one_in_the_higher_term_does() {
        let leading = |seat, term| {
            let (seat, answer) = peer(seat, Role::Leader);
            (seat, answer.map(|peer| PeerStatus { status: ReplicaStatus { term: Term(term), ..peer.status }, ..peer }))
        };
        let answers = [leading(1, 3), leading(2, 4), leading(3, 2), (Ordinal(4), Err("silent".into()))];
        let answers = answers.into();
        assert_eq!(
            (newest_leader(&answers).map(|leader| leader.ordinal), reign(&answers)),
            (Some(Ordinal(2)), Term(4))
        );
        let answers = [peer(1, Role::Follower), silent(2)].into();
        assert_eq!((newest_leader(&answers), reign(&answers)), (None, Term(0)));
    }
}
