//! How a replica becomes a member of its group: it bootstraps it, joins it, or restarts as a
//! member.
//!
//! A group is bootstrapped once. The danger is to do it again: if a wiped majority started a second
//! history, everything that was acknowledged in the first would be gone without an error. So
//! bootstrapping requires that *all* configured bootstrap members say that they are empty, and the
//! one with the lowest ordinal does it. A replica that finds a replica that is not empty joins it.
//! One that does not hear from all bootstrap members waits.
//!
//! [`next_step`] decides from what the peers say. The rest of this file asks and acts, with a
//! growing pause, until the replica has a vote. After that only two things remain, both because
//! openraft's elections are off: the only voter of a group elects itself, and the replica that has
//! bootstrapped the group stands for election until the group has had its first leader.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::replica::{ReplicaStatus, Role};
use api::{ErrorCode, NodeId, Ordinal, Term};
use openraft::error::RaftError;
use service::backoff::Backoff;
use service::lifecycle::{ExitCode, fatal};

use super::change::has_vote;
use crate::core::{Core, Leadership};
use crate::peer::client::PeerError;
use crate::peer::messages::PeerStatus;

/// The longest pause between two tries.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Short at first, so that a group starts quickly; longer later, so that a long wait is quiet.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), BACKOFF_MAX);
/// The timeout of a join request: longer than the leader waits for the joining replica to catch up.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);

/// What a replica without a vote does next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum BootstrapStep {
    /// Bootstrap the group with these members.
    Bootstrap(BTreeSet<NodeId>),
    /// Ask the replicas with these ordinals to join, the last one first; it is said to lead.
    Join(Vec<Ordinal>),
    /// Nothing now, for this reason.
    Wait(String),
}

/// What an operator can do if too many replicas have lost their logs.
const RECOVERY_ADVICE: &str = "start a majority that has its data directories (or restore a copy of all of them from one \
                               moment); to start again without what they had, empty all data directories and move the \
                               ledgers aside; see docs/runbooks.md, LogsLost";

/// The answers of all replicas to a status request.
type Answers = BTreeMap<Ordinal, Result<PeerStatus, String>>;

impl Core {
    /// Gets this replica a vote, and does what its membership requires later. Runs as long as the
    /// replica.
    pub(crate) async fn keep_membership(self: Arc<Self>) {
        let work = async {
            self.get_vote().await;
            tokio::join!(self.verify_own_membership(), self.elect_without_frontend());
        };
        tokio::select! {
            () = self.stopping.cancelled() => {}
            () = work => {}
        }
    }

    async fn get_vote(self: &Arc<Self>) {
        let mut backoff = BACKOFF;
        while !has_vote(&self.membership(), self.node_id) {
            let answers = self.ask_all().await;
            let step = next_step(self.ordinal(), self.config.bootstrap_size, &answers);
            let outcome = match step {
                BootstrapStep::Bootstrap(members) => self.bootstrap(members).await,
                BootstrapStep::Join(ordinals) => self.join_through(ordinals, leader_term(&answers)).await,
                BootstrapStep::Wait(reason) => Err(reason),
            };
            if let Err(reason) = outcome {
                self.log_missing_vote(reason);
            }
            // The vote may also come without a step of this replica: from the one that bootstraps
            // the group.
            let mut metrics = self.raft.server_metrics();
            let has_vote = metrics.wait_for(|metrics| has_vote(&metrics.membership_config, self.node_id));
            let _ = tokio::time::timeout(backoff.next_delay(), has_vote).await;
        }
    }

    /// Logs why this replica has no vote, whenever the reason changes.
    fn log_missing_vote(&self, reason: String) {
        let mut last_reason = self.no_vote_reason.lock().expect("no thread panics while it holds the lock");
        if last_reason.as_ref() == Some(&reason) {
            return;
        }
        if self.lost_a_log {
            tracing::warn!(node_id = %self.node_id, reason, "this replica has lost its log and has no vote");
        } else {
            tracing::info!(node_id = %self.node_id, reason, "this replica has no vote yet");
        }
        *last_reason = Some(reason);
    }

    async fn ask_all(&self) -> Answers {
        let own = self.peer_status();
        let others = self.peers.ordinals().into_iter().filter(|ordinal| *ordinal != self.ordinal());
        let asked = others.map(async |ordinal| {
            let answer = self.peers.status(ordinal).await;
            (ordinal, answer.map_err(|error| error.to_string()))
        });
        let mut answers: Answers = futures::future::join_all(asked).await.into_iter().collect();
        answers.insert(self.ordinal(), Ok(own));
        answers
    }

    async fn bootstrap(&self, members: BTreeSet<NodeId>) -> Result<(), String> {
        tracing::info!(group = self.config.group, ?members, "bootstrapping the group");
        match self.raft.initialize(members).await {
            // openraft stands for election now. Give it time before `elect_without_frontend` sees
            // that there is no leader.
            Ok(()) => {
                let mut leadership = self.leadership.subscribe();
                let elected = leadership.wait_for(|now| !matches!(now, Leadership::Following { leader: None }));
                let _ = tokio::time::timeout(self.config.timing.election_timeout_max, elected).await;
                Ok(())
            }
            // Another replica was faster.
            Err(RaftError::APIError(error)) => Err(error.to_string()),
            Err(RaftError::Fatal(error)) => Err(error.to_string()),
        }
    }

    /// Asks these replicas for a vote; `known_term` is the term of the leader among them.
    async fn join_through(&self, mut ordinals: Vec<Ordinal>, known_term: Term) -> Result<(), String> {
        let mut reason = "no leader is known".to_owned();
        // A replica that does not lead may know the leader, which is asked next. Each is asked
        // once.
        let mut asked = BTreeSet::new();
        while let Some(ordinal) = ordinals.pop() {
            if ordinal == self.ordinal() || !asked.insert(ordinal) {
                continue;
            }
            let outcome = tokio::select! {
                outcome = self.peers.join(ordinal, self.node_id, JOIN_TIMEOUT) => outcome,
                () = self.leader_after(known_term) => {
                    return Err(format!("replica {ordinal} was asked, but a later term has begun"));
                }
            };
            match outcome {
                Ok(()) => return Ok(()),
                Err(error) => {
                    if let PeerError::Refused { error, .. } = &error {
                        if error.code == ErrorCode::OrdinalTaken {
                            self.exit_as_duplicate(&error.message);
                        }
                        ordinals.extend(error.leader);
                    }
                    reason = error.to_string();
                }
            }
        }
        Err(reason)
    }

    /// Completes when a replica leads in a later term than `known`. A leader that lost its power
    /// while it was asked never answers, and its successor, which may be the same replica, does not
    /// know the request.
    async fn leader_after(&self, known: Term) {
        loop {
            tokio::time::sleep(BACKOFF_MAX).await;
            if leader_term(&self.ask_all().await) > known {
                return;
            }
        }
    }

    /// Two replicas have one component id. The later one exits, since the earlier one may hold what
    /// no other replica has.
    fn exit_as_duplicate(&self, why: &str) -> ! {
        let (group, ordinal) = (&self.config.group, self.ordinal());
        let what = format!(
            "replica {ordinal} of the group {group} is already running ({why}): is COMPONENT_ID {ordinal} used twice?"
        );
        fatal(ExitCode::Usage, what)
    }

    /// Frontends run elections. The exceptions: this is the only voter, or there never was a
    /// leader.
    async fn elect_without_frontend(self: &Arc<Self>) {
        let mut leadership = self.leadership.subscribe();
        let mut membership = self.raft.server_metrics();
        let mut backoff = BACKOFF;
        loop {
            let voters: BTreeSet<NodeId> = membership.borrow_and_update().membership_config.voter_ids().collect();
            let leader_known = match *leadership.borrow_and_update() {
                Leadership::Leading(_) => true,
                // A leader that has lost its vote no longer leads, but its followers hear of no
                // other.
                Leadership::Following { leader } => leader.is_some_and(|leader| voters.contains(&leader)),
            };
            if leader_known || !(voters == [self.node_id].into() || self.never_had_leader(&voters)) {
                let changed = tokio::select! {
                    changed = leadership.changed() => changed.is_ok(),
                    changed = membership.changed() => changed.is_ok(),
                };
                if !changed {
                    return;
                }
                continue;
            }
            if self.stand_for_election(None).await.is_err() {
                return;
            }
            // A leader ends the wait early.
            let elected = leadership.wait_for(|now| !matches!(now, Leadership::Following { leader: None }));
            let _ = tokio::time::timeout(self.config.timing.election_timeout_max + backoff.next_delay(), elected).await;
        }
    }

    /// The log holds only the bootstrap entry, and this replica wrote it.
    fn never_had_leader(&self, voters: &BTreeSet<NodeId>) -> bool {
        self.log.metadata().last.is_some_and(|last| last.index == 0)
            && voters.iter().map(|id| id.ordinal()).min() == Some(self.ordinal())
    }
}

fn next_step(own: Ordinal, bootstrap_size: usize, answers: &Answers) -> BootstrapStep {
    let heard = || answers.values().filter_map(|answer| answer.as_ref().ok());
    if let Some(lost) = all_logs_lost(answers) {
        return BootstrapStep::Wait(lost);
    }
    if heard().any(|peer| peer.status.role != Role::Empty) {
        let leader = heard().filter_map(|peer| peer.status.leader).map(NodeId::ordinal);
        let members = heard().filter(|peer| peer.status.role != Role::Empty).map(|peer| peer.status.ordinal);
        // The last one is asked first: the replica that says that it leads, then those that others
        // name as the leader, then any member.
        let leading = newest_leader(answers).map(|status| status.ordinal);
        return BootstrapStep::Join(members.chain(leader).chain(leading).collect());
    }
    let ordinals: Vec<Ordinal> = (1..=bootstrap_size).filter_map(|n| u8::try_from(n).ok()).map(Ordinal).collect();
    if !ordinals.contains(&own) {
        return BootstrapStep::Wait(
            "it is not a bootstrap member, and waits for the group to be bootstrapped".to_owned(),
        );
    }
    let mut ids = BTreeSet::new();
    for ordinal in &ordinals {
        match answers.get(ordinal) {
            None => return BootstrapStep::Wait(format!("bootstrap member {ordinal} has no address yet")),
            Some(Err(error)) => {
                return BootstrapStep::Wait(format!("bootstrap member {ordinal} does not answer: {error}"));
            }
            Some(Ok(peer)) if peer.lost_a_log => {
                return BootstrapStep::Wait(format!(
                    "bootstrap member {ordinal} had a log and lost it, so the group was bootstrapped before; {RECOVERY_ADVICE}"
                ));
            }
            Some(Ok(peer)) => ids.insert(peer.status.node_id),
        };
    }
    if ordinals.first() == Some(&own) {
        BootstrapStep::Bootstrap(ids)
    } else {
        BootstrapStep::Wait("bootstrap member 1 has not bootstrapped the group yet".to_owned())
    }
}

/// Why no replica can lead, if none of those that answer has a vote and some had one once. A state
/// that remains without its log says who had votes, but grants none.
fn all_logs_lost(answers: &Answers) -> Option<String> {
    let heard = || answers.values().flatten();
    if heard().any(|peer| peer.status.voters.contains(&peer.status.node_id)) {
        return None;
    }
    let lost: Vec<_> = heard().filter(|peer| peer.lost_a_log && peer.status.role != Role::Empty).collect();
    let first = lost.first()?;
    let ordinals: Vec<String> = lost.iter().map(|peer| peer.status.ordinal.to_string()).collect();
    let silent: Vec<String> =
        answers.iter().filter(|(_, answer)| answer.is_err()).map(|(ordinal, _)| ordinal.to_string()).collect();
    let silent = if silent.is_empty() { String::new() } else { format!("; silent: replica {}", silent.join(", ")) };
    Some(format!(
        "no replica that answers has a vote: {} of the group {} lost their logs{silent}; {RECOVERY_ADVICE}",
        ordinals.join(", "),
        first.status.group
    ))
}

/// The replica that says it leads, in the highest term: a deposed leader may not know yet.
fn newest_leader(answers: &Answers) -> Option<&ReplicaStatus> {
    let leading = answers.values().flatten().map(|peer| &peer.status).filter(|status| status.role == Role::Leader);
    leading.max_by_key(|status| status.term)
}

/// That leader's term; 0 if no replica says that it leads.
fn leader_term(answers: &Answers) -> Term {
    newest_leader(answers).map_or(Term(0), |leader| leader.term)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(ordinal: u8, role: Role) -> (Ordinal, Result<PeerStatus, String>) {
        let status = ReplicaStatus { role, ..ReplicaStatus::empty("test", NodeId::new(Ordinal(ordinal), 1)) };
        (Ordinal(ordinal), Ok(PeerStatus { status, lost_a_log: false, learners: Vec::new(), receiving: false }))
    }

    fn silent(ordinal: u8) -> (Ordinal, Result<PeerStatus, String>) {
        (Ordinal(ordinal), Err("connection refused".to_owned()))
    }

    fn with_lost_log(
        (ordinal, answer): (Ordinal, Result<PeerStatus, String>),
    ) -> (Ordinal, Result<PeerStatus, String>) {
        (ordinal, answer.map(|peer| PeerStatus { lost_a_log: true, ..peer }))
    }

    fn step<const N: usize>(own: u8, answers: [(Ordinal, Result<PeerStatus, String>); N]) -> BootstrapStep {
        next_step(Ordinal(own), 3, &answers.into())
    }

    #[test]
    fn the_lowest_ordinal_bootstraps_when_all_bootstrap_members_are_empty() {
        let empty = || [1, 2, 3].map(|ordinal| peer(ordinal, Role::Empty));
        assert_eq!(
            step(1, empty()),
            BootstrapStep::Bootstrap([1, 2, 3].map(|ordinal| NodeId::new(Ordinal(ordinal), 1)).into())
        );
        for other in [2, 3] {
            assert!(matches!(step(other, empty()), BootstrapStep::Wait(_)));
        }
    }

    #[test]
    fn no_replica_bootstraps_without_an_answer_from_all_bootstrap_members() {
        let (one, two, three) = (peer(1, Role::Empty), peer(2, Role::Empty), peer(3, Role::Empty));
        assert!(
            matches!(step(1, [one.clone(), two.clone()]), BootstrapStep::Wait(_)),
            "bootstrap member 3 has no address"
        );
        assert!(matches!(step(1, [one.clone(), two.clone(), silent(3)]), BootstrapStep::Wait(_)));
        assert!(matches!(step(1, [one.clone(), two.clone(), with_lost_log(three.clone())]), BootstrapStep::Wait(_)));
        assert!(matches!(step(1, [with_lost_log(one), two, three]), BootstrapStep::Wait(_)));
    }

    #[test]
    fn if_all_replicas_that_answer_have_lost_their_logs_the_reason_says_so() {
        let lost = |ordinal| with_lost_log(peer(ordinal, Role::Learner));
        let reason = |step| match step {
            BootstrapStep::Wait(reason) => reason,
            other => panic!("{other:?}"),
        };
        let reason_given = reason(step(1, [lost(1), lost(2), silent(3)]));
        assert!(
            reason_given.contains("1, 2 of the group test lost their logs")
                && reason_given.contains("silent: replica 3"),
            "{reason_given}"
        );
        // A replica that has a vote may be elected, and give them theirs.
        let (ordinal, answer) = peer(3, Role::Follower);
        let with_vote = answer.map(|peer| {
            let voters = vec![peer.status.node_id];
            PeerStatus { status: ReplicaStatus { voters, ..peer.status }, ..peer }
        });
        assert!(matches!(step(1, [lost(1), lost(2), (ordinal, with_vote)]), BootstrapStep::Join(_)));
        // All are as good as empty: no replica bootstraps.
        let reason_given = reason(step(1, [1, 2, 3].map(|ordinal| with_lost_log(peer(ordinal, Role::Empty)))));
        assert!(reason_given.contains("bootstrap member 1 had a log and lost it"), "{reason_given}");
    }

    #[test]
    fn a_later_replica_waits_for_the_bootstrap_members() {
        let answers = [1, 2, 3, 4].map(|ordinal| peer(ordinal, Role::Empty));
        assert!(matches!(step(4, answers), BootstrapStep::Wait(_)));
    }

    #[test]
    fn a_replica_that_finds_a_group_joins_it_and_asks_the_leader_first() {
        let answers = [peer(1, Role::Empty), peer(2, Role::Leader), peer(3, Role::Follower)];
        assert_eq!(step(1, answers), BootstrapStep::Join([2, 3, 2].map(Ordinal).into()));
        let answers = [peer(1, Role::Empty), silent(2), peer(3, Role::Follower)];
        assert_eq!(
            step(1, answers),
            BootstrapStep::Join([Ordinal(3)].into()),
            "even if a bootstrap member does not answer"
        );
    }

    #[test]
    fn of_two_replicas_that_say_they_lead_the_one_in_the_higher_term_counts() {
        let leading = |ordinal, term| {
            let (ordinal, answer) = peer(ordinal, Role::Leader);
            (
                ordinal,
                answer.map(|peer| PeerStatus { status: ReplicaStatus { term: Term(term), ..peer.status }, ..peer }),
            )
        };
        let answers = [leading(1, 3), leading(2, 4), leading(3, 2), (Ordinal(4), Err("silent".into()))];
        let answers = answers.into();
        assert_eq!(
            (newest_leader(&answers).map(|leader| leader.ordinal), leader_term(&answers)),
            (Some(Ordinal(2)), Term(4))
        );
        let answers = [peer(1, Role::Follower), silent(2)].into();
        assert_eq!((newest_leader(&answers), leader_term(&answers)), (None, Term(0)));
    }
}
