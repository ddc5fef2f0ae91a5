//! Judges whether a leader is alive: a pure function of the replicas' statuses.

use std::collections::BTreeMap;

use api::replica::{LEADER_SILENT_AFTER_MS, ReplicaStatus, Role};
use api::{NodeId, Ordinal};
use discovery::Leader;

/// Whether a group has a leader that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaderHealth {
    /// A replica has heard from the leader recently, so it works.
    Alive(LeaderReport),
    /// A majority has not heard from any leader recently.
    Missing,
    /// Too few replicas have answered.
    Unclear,
}

/// What a replica reports about the leader that it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderReport {
    /// The leader.
    pub leader: Leader,
    /// How long ago the replica heard from the leader, in milliseconds.
    pub heard_ms: u64,
}

/// Judges the statuses of all replicas that have answered.
///
/// If a majority has not heard from the leader, no majority follows it, because any two majorities
/// share a voter. Otherwise a single voter that has heard from the leader proves that it works,
/// because the leader's message says whether a majority follows. A leader that answers is one of
/// the voters.
pub fn leader_health(statuses: &[&ReplicaStatus]) -> LeaderHealth {
    let Some(newest) = statuses.iter().max_by_key(|status| (status.last_log, status.term)) else {
        return LeaderHealth::Unclear;
    };
    let term = statuses.iter().map(|status| status.term).max().unwrap_or_default();
    let is_fresh = |status: &ReplicaStatus| {
        status.term == term
            && status.has_fresh_leader()
            && !statuses.iter().any(|other| denies_leading(other, status.leader))
    };
    if newest.is_quorum(|voter| statuses.iter().any(|status| status.node_id == *voter && !is_fresh(status))) {
        return LeaderHealth::Missing;
    }
    let witnesses = statuses.iter().filter(|status| is_fresh(status) && newest.voters.contains(&status.node_id));
    let heard = witnesses.filter_map(|status| {
        let leader = Leader { ordinal: status.leader?.ordinal(), term };
        Some(LeaderReport { leader, heard_ms: status.leader_contact?.heard_ms })
    });
    heard.min_by_key(|report| report.heard_ms).map_or(LeaderHealth::Unclear, LeaderHealth::Alive)
}

/// Whether this replica has the ordinal of `leader` but does not lead, because its process was
/// restarted or its disk was replaced.
fn denies_leading(status: &ReplicaStatus, leader: Option<NodeId>) -> bool {
    leader.is_some_and(|leader| {
        status.ordinal == leader.ordinal() && (status.node_id != leader || status.role != Role::Leader)
    })
}

/// Whether a leader that answers may have lost contact with its majority, so that the other
/// replicas have to be asked.
pub(super) fn is_isolated(leader: &ReplicaStatus) -> bool {
    leader.leader_contact.is_some_and(|contact| contact.quorum_ms > LEADER_SILENT_AFTER_MS)
}

/// Whether another replica than `suspect` has heard from a working leader. A leader that may be
/// isolated is no evidence of its own work.
pub(super) fn has_witness(statuses: &[&ReplicaStatus], suspect: Option<Ordinal>) -> bool {
    let others: Vec<_> = statuses.iter().copied().filter(|status| Some(status.ordinal) != suspect).collect();
    matches!(leader_health(&others), LeaderHealth::Alive(_))
}

/// Whether all replicas have answered or failed, not counting the suspected leader.
pub(super) fn all_answered_except<T>(answers: &BTreeMap<Ordinal, T>, suspect: Option<Ordinal>, all: usize) -> bool {
    let missing = suspect.is_some_and(|suspect| !answers.contains_key(&suspect));
    answers.len() + usize::from(missing) >= all
}

#[cfg(test)]
mod tests {
    use api::replica::LeaderContact;
    use api::{LogPosition, Term};

    use super::*;

    fn id(ordinal: u8) -> NodeId {
        NodeId::new(Ordinal(ordinal), 9)
    }

    /// One of five voters, which follows replica 1 in term 5 and heard from it `heard_ms` ago.
    fn follower(ordinal: u8, heard_ms: u64) -> ReplicaStatus {
        ReplicaStatus {
            role: Role::Follower,
            term: Term(5),
            last_log: Some(LogPosition { term: Term(5), index: 7 }),
            leader: Some(id(1)),
            voters: (1..=5).map(id).collect(),
            leader_contact: Some(LeaderContact {
                heard_ms,
                quorum_ms: heard_ms + 10,
                asked_ms: heard_ms + 10,
                uncounted_ms: None,
            }),
            ..ReplicaStatus::empty("order", id(ordinal))
        }
    }

    fn with_contact(status: ReplicaStatus, change: impl FnOnce(&mut LeaderContact)) -> ReplicaStatus {
        let mut contact = status.leader_contact.unwrap();
        change(&mut contact);
        ReplicaStatus { leader_contact: Some(contact), ..status }
    }

    #[test]
    fn a_leader_is_missing_if_a_majority_says_so_and_alive_if_a_single_voter_does() {
        let alive = |heard_ms| {
            LeaderHealth::Alive(LeaderReport { leader: Leader { ordinal: Ordinal(1), term: Term(5) }, heard_ms })
        };
        let leader = |quorum_ms| {
            let leads = ReplicaStatus { role: Role::Leader, ..follower(1, 0) };
            with_contact(leads, |contact| contact.quorum_ms = quorum_ms)
        };
        let unasked = |ordinal| with_contact(follower(ordinal, 5), |contact| contact.asked_ms = 1001);
        let deaf = |ordinal| {
            with_contact(follower(ordinal, 5), |contact| (contact.quorum_ms, contact.uncounted_ms) = (350, Some(250)))
        };
        let forsaken = |ordinal| with_contact(follower(ordinal, 5), |contact| contact.quorum_ms = 1001);
        let candidate = ReplicaStatus {
            role: Role::Candidate,
            term: Term(6),
            leader: None,
            leader_contact: None,
            ..follower(2, 0)
        };
        let learner = ReplicaStatus { node_id: NodeId::new(Ordinal(6), 1), ..follower(6, 5) };
        let table = [
            ("no replica answers", vec![], LeaderHealth::Unclear),
            (
                "the leader is silent, but one voter has heard from it",
                vec![follower(2, 40), follower(3, 900)],
                alive(40),
            ),
            (
                "all voters have heard from it",
                vec![follower(2, 40), follower(3, 90), follower(4, 60), follower(5, 30)],
                alive(30),
            ),
            ("two of five have not: not a majority", vec![follower(2, 400), follower(3, 400)], LeaderHealth::Unclear),
            (
                "three of five have not, and one has: no majority follows it",
                vec![follower(2, 400), follower(3, 400), follower(4, 400), follower(5, 10)],
                LeaderHealth::Missing,
            ),
            (
                "the one that has is the leader itself, which has not noticed yet",
                vec![leader(350), follower(2, 400), follower(3, 400), follower(4, 400)],
                LeaderHealth::Missing,
            ),
            (
                "a slow disk: heard all the time, but acknowledged late",
                vec![leader(400), follower(2, 30), follower(3, 50), follower(4, 90)],
                alive(0),
            ),
            (
                "it is heard, but no majority acknowledges it",
                vec![forsaken(2), forsaken(3), forsaken(4), forsaken(5)],
                LeaderHealth::Missing,
            ),
            (
                "it is heard, but hears no one",
                vec![leader(350), deaf(2), deaf(3), deaf(4), follower(5, 10)],
                LeaderHealth::Missing,
            ),
            (
                "two have answered it, three are slow: not a majority",
                vec![leader(350), deaf(2), deaf(3), follower(4, 10), follower(5, 10)],
                alive(0),
            ),
            (
                "it is heard, but no frontend can reach it",
                vec![unasked(2), unasked(3), unasked(4)],
                LeaderHealth::Missing,
            ),
            (
                "a replica in a later term deposes the leader",
                vec![candidate, follower(3, 10), follower(4, 10)],
                LeaderHealth::Missing,
            ),
            (
                "its process was restarted, and does not lead any more",
                vec![ReplicaStatus { role: Role::Follower, ..follower(1, 0) }, follower(2, 10), follower(3, 10)],
                LeaderHealth::Missing,
            ),
            ("a learner is not a voter", vec![learner, follower(2, 400)], LeaderHealth::Unclear),
        ];
        for (case, statuses, expected) in table {
            assert_eq!(leader_health(&statuses.iter().collect::<Vec<_>>()), expected, "{case}");
        }
    }

    #[test]
    fn an_empty_group_has_no_leader_that_could_be_missing() {
        let empty = |ordinal| ReplicaStatus::empty("order", id(ordinal));
        assert_eq!(leader_health(&[&empty(1), &empty(2), &empty(3)]), LeaderHealth::Unclear);
    }
}
