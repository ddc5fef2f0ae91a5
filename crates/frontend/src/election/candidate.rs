//! Who is to lead next: a pure choice from what the replicas have said.

use std::cmp::Reverse;

use api::replica::{ReplicaStatus, Role};
use api::{Ordinal, Term};

/// How to make a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Who is to lead.
    pub candidate: Ordinal,
    /// Who stands before it, and so lets go of the vote that it owes to the old leader.
    pub first: Vec<Ordinal>,
    /// The highest term that anyone who answered has seen: what this plan rests on.
    pub surveyed: Term,
}

/// Why no leader can be made just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Nobody answers, or the group has not had its first leader yet, which it makes itself.
    Founding,
    /// A group of one: it elects itself.
    ElectsItself,
    /// Too few voters have answered.
    NoMajority {
        /// So many have.
        answered: usize,
        /// Out of so many.
        voters: usize,
    },
    /// All that answered take themselves for the leader, and no majority does.
    NobodyToStand,
}

/// Chooses from the statuses of all replicas that have answered; none of them is a confirmed leader.
///
/// A replica that takes itself for the leader cannot stand. If no majority confirms it, it is passed over: the others are to
/// get along without it. One that does not know yet that it is a voter can vote, but not stand. Of equal logs one whose disk has
/// room leads: one that is full could only give leadership away again.
pub fn choose(statuses: &[&ReplicaStatus]) -> Result<Plan, Obstacle> {
    let Some(newest) = statuses.iter().max_by_key(|status| (status.last_log, status.term)) else {
        return Err(Obstacle::Founding);
    };
    // The founding itself writes one entry, of term 0; every leader begins with an entry of its own term.
    if newest.voters.is_empty() || newest.last_log.is_none_or(|last| last.term.0 == 0) {
        return Err(Obstacle::Founding);
    }
    let voters = newest.voters.len();
    if voters == 1 {
        return Err(Obstacle::ElectsItself);
    }
    let answered: Vec<_> = statuses.iter().filter(|status| newest.voters.contains(&status.node_id)).collect();
    if !newest.is_quorum(|voter| answered.iter().any(|status| status.node_id == *voter)) {
        return Err(Obstacle::NoMajority { answered: answered.len(), voters });
    }
    let mut able: Vec<_> = answered.into_iter().filter(|status| may_stand(status)).collect();
    able.sort_by_key(|status| Reverse((status.last_log, !status.disk_full, status.ordinal)));
    let mut able = able.into_iter().map(|status| status.ordinal);
    let candidate = able.next().ok_or(Obstacle::NobodyToStand)?;
    let surveyed = statuses.iter().map(|status| status.term).max().unwrap_or_default();
    Ok(Plan { candidate, first: able.collect(), surveyed })
}

fn may_stand(status: &ReplicaStatus) -> bool {
    matches!(status.role, Role::Follower | Role::Candidate)
}

#[cfg(test)]
mod tests {
    use api::{LogPosition, NodeId};

    use super::*;

    fn id(seat: u8) -> NodeId {
        NodeId::new(Ordinal(seat), 9)
    }

    /// A voter of three in `term` 5 whose log ends at `log` = (term, index).
    fn voter(seat: u8, role: Role, log: (u64, u64)) -> ReplicaStatus {
        ReplicaStatus {
            role,
            term: Term(5),
            last_log: Some(LogPosition { term: Term(log.0), index: log.1 }),
            voters: vec![id(1), id(2), id(3)],
            ..ReplicaStatus::empty("order", id(seat))
        }
    }

    fn follower(seat: u8, log: (u64, u64)) -> ReplicaStatus {
        voter(seat, Role::Follower, log)
    }

    fn empty(seat: u8) -> ReplicaStatus {
        let node_id = NodeId::new(Ordinal(seat), 10);
        ReplicaStatus { node_id, last_log: None, voters: Vec::new(), ..voter(seat, Role::Empty, (0, 0)) }
    }

    fn plan(candidate: u8, first: &[u8]) -> Plan {
        Plan { candidate: Ordinal(candidate), first: first.iter().copied().map(Ordinal).collect(), surveyed: Term(5) }
    }

    #[test]
    fn the_longest_log_of_a_majority_leads() {
        let no_majority = |answered| Err(Obstacle::NoMajority { answered, voters: 3 });
        let table = [
            ("nobody answers", vec![], Err(Obstacle::Founding)),
            ("one of three", vec![follower(1, (5, 9))], no_majority(1)),
            ("the longer log", vec![follower(1, (5, 9)), follower(2, (5, 8))], Ok(plan(1, &[2]))),
            (
                "the later term before the longer log",
                vec![follower(1, (4, 99)), follower(2, (5, 1))],
                Ok(plan(2, &[1])),
            ),
            ("equal logs: the highest seat", vec![follower(1, (5, 9)), follower(2, (5, 9))], Ok(plan(2, &[1]))),
            (
                "equal logs: one whose disk has room",
                vec![follower(1, (5, 9)), ReplicaStatus { disk_full: true, ..follower(2, (5, 9)) }],
                Ok(plan(1, &[2])),
            ),
            (
                "a longer log on a full disk all the same: it may hold what only it has",
                vec![follower(1, (5, 8)), ReplicaStatus { disk_full: true, ..follower(2, (5, 9)) }],
                Ok(plan(2, &[1])),
            ),
            (
                "all three, in the order of their logs",
                vec![follower(1, (5, 7)), follower(2, (5, 9)), follower(3, (5, 8))],
                Ok(plan(2, &[3, 1])),
            ),
            (
                "a leader that nobody confirms is passed over, although its log is longer",
                vec![voter(3, Role::Leader, (5, 12)), follower(1, (5, 9)), follower(2, (5, 8))],
                Ok(plan(1, &[2])),
            ),
            (
                "… and counts as one who can vote",
                vec![voter(3, Role::Leader, (5, 12)), follower(1, (5, 9))],
                Ok(plan(1, &[])),
            ),
            (
                "everybody leads",
                vec![voter(3, Role::Leader, (5, 12)), voter(2, Role::Leader, (5, 12))],
                Err(Obstacle::NobodyToStand),
            ),
            (
                "a candidate of a failed election",
                vec![voter(1, Role::Candidate, (5, 9)), follower(3, (5, 9))],
                Ok(plan(3, &[1])),
            ),
        ];
        for (case, statuses, expected) in table {
            assert_eq!(choose(&statuses.iter().collect::<Vec<_>>()), expected, "{case}");
        }
    }

    #[test]
    fn while_voters_are_exchanged_a_majority_of_both_sets_is_enough() {
        let (old, new) = (vec![id(1), id(2), id(3)], vec![NodeId::new(Ordinal(1), 10), id(2), id(3)]);
        let union = vec![id(1), NodeId::new(Ordinal(1), 10), id(2), id(3)];
        let joint = |seat, index| ReplicaStatus {
            voters: union.clone(),
            joint: vec![old.clone(), new.clone()],
            ..follower(seat, (5, index))
        };
        assert_eq!(choose(&[&joint(2, 9), &joint(3, 9)]), Ok(plan(3, &[2])), "although two of four voters are gone");
        assert_eq!(choose(&[&joint(2, 9)]), Err(Obstacle::NoMajority { answered: 1, voters: 4 }));
    }

    #[test]
    fn only_voters_count() {
        let wiped = empty(3);
        assert_eq!(choose(&[&follower(1, (5, 9)), &wiped]), Err(Obstacle::NoMajority { answered: 1, voters: 3 }));
        assert_eq!(choose(&[&follower(1, (5, 9)), &follower(2, (5, 9)), &wiped]), Ok(plan(2, &[1])));
        let learner = ReplicaStatus { node_id: NodeId::new(Ordinal(3), 10), ..voter(3, Role::Learner, (5, 9)) };
        assert_eq!(choose(&[&follower(1, (5, 9)), &learner]), Err(Obstacle::NoMajority { answered: 1, voters: 3 }));
    }

    #[test]
    fn the_newest_membership_says_who_votes() {
        let five = vec![id(1), id(2), id(3), id(4), id(5)];
        let grown = ReplicaStatus { voters: five, ..follower(1, (5, 10)) };
        let behind = follower(2, (5, 9));
        assert_eq!(choose(&[&grown, &behind]), Err(Obstacle::NoMajority { answered: 2, voters: 5 }));
        assert_eq!(choose(&[&grown, &behind, &follower(4, (5, 9))]), Ok(plan(1, &[4, 2])));
    }

    #[test]
    fn a_group_that_is_being_founded_is_left_alone() {
        assert_eq!(choose(&[&empty(1), &empty(2), &empty(3)]), Err(Obstacle::Founding));
        let founder = follower(1, (0, 0));
        assert_eq!(choose(&[&founder, &empty(2), &empty(3)]), Err(Obstacle::Founding));
    }

    #[test]
    fn a_group_of_one_elects_itself() {
        let alone = ReplicaStatus { voters: vec![id(1)], ..follower(1, (5, 9)) };
        assert_eq!(choose(&[&alone]), Err(Obstacle::ElectsItself));
    }
}
