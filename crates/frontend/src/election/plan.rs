//! Chooses the next leader: a pure function of the replicas' statuses.

use std::cmp::Reverse;

use api::replica::{ReplicaStatus, Role};
use api::{Ordinal, Term};

/// How to elect a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionPlan {
    /// The replica that becomes the leader.
    pub candidate: Ordinal,
    /// The replicas that stand before the candidate, so that they are free to vote for it.
    pub stand_first: Vec<Ordinal>,
    /// The highest term in the statuses from which this plan was made.
    pub polled_term: Term,
}

/// Why no leader can be elected at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// No replica answers, or the group is being bootstrapped and makes its first leader by itself.
    Bootstrapping,
    /// The group has a single replica, which elects itself.
    SingleReplica,
    /// Too few voters have answered.
    NoMajority {
        /// How many voters have answered.
        answered: usize,
        /// How many voters there are.
        voters: usize,
    },
    /// Every replica that answered believes that it leads, and no majority confirms any of them.
    NoCandidate,
}

/// Plans an election from the statuses of all replicas that have answered. None of them is a
/// confirmed leader.
///
/// A replica that believes that it leads cannot stand. Since no majority confirms it, it is passed
/// over, and the others do without it. A replica that does not know yet that it is a voter can
/// vote, but not stand. Among equal logs, a replica with disk space is preferred: one with a full
/// disk would transfer leadership again.
///
/// # Errors
/// What keeps the group from electing a leader.
pub fn plan_election(statuses: &[&ReplicaStatus]) -> Result<ElectionPlan, Obstacle> {
    let Some(newest) = statuses.iter().max_by_key(|status| (status.last_log, status.term)) else {
        return Err(Obstacle::Bootstrapping);
    };
    // Bootstrapping writes one entry, in term 0. Every leader begins with an entry of its own term.
    if newest.voters.is_empty() || newest.last_log.is_none_or(|last| last.term.0 == 0) {
        return Err(Obstacle::Bootstrapping);
    }
    let voters = newest.voters.len();
    if voters == 1 {
        return Err(Obstacle::SingleReplica);
    }
    let answered: Vec<_> = statuses.iter().filter(|status| newest.voters.contains(&status.node_id)).collect();
    if !newest.is_quorum(|voter| answered.iter().any(|status| status.node_id == *voter)) {
        return Err(Obstacle::NoMajority { answered: answered.len(), voters });
    }
    let mut able: Vec<_> = answered.into_iter().filter(|status| can_stand(status)).collect();
    able.sort_by_key(|status| Reverse((status.last_log, !status.disk_full, status.ordinal)));
    let mut able = able.into_iter().map(|status| status.ordinal);
    let candidate = able.next().ok_or(Obstacle::NoCandidate)?;
    let polled_term = statuses.iter().map(|status| status.term).max().unwrap_or_default();
    Ok(ElectionPlan { candidate, stand_first: able.collect(), polled_term })
}

fn can_stand(status: &ReplicaStatus) -> bool {
    matches!(status.role, Role::Follower | Role::Candidate)
}

#[cfg(test)]
mod tests {
    use api::{LogPosition, NodeId};

    use super::*;

    fn id(ordinal: u8) -> NodeId {
        NodeId::new(Ordinal(ordinal), 9)
    }

    /// One of three voters, in term 5, whose log ends at `log` = (term, index).
    fn voter(ordinal: u8, role: Role, log: (u64, u64)) -> ReplicaStatus {
        ReplicaStatus {
            role,
            term: Term(5),
            last_log: Some(LogPosition { term: Term(log.0), index: log.1 }),
            voters: vec![id(1), id(2), id(3)],
            ..ReplicaStatus::empty("order", id(ordinal))
        }
    }

    fn follower(ordinal: u8, log: (u64, u64)) -> ReplicaStatus {
        voter(ordinal, Role::Follower, log)
    }

    fn empty(ordinal: u8) -> ReplicaStatus {
        let node_id = NodeId::new(Ordinal(ordinal), 10);
        ReplicaStatus { node_id, last_log: None, voters: Vec::new(), ..voter(ordinal, Role::Empty, (0, 0)) }
    }

    fn plan(candidate: u8, stand_first: &[u8]) -> ElectionPlan {
        let stand_first = stand_first.iter().copied().map(Ordinal).collect();
        ElectionPlan { candidate: Ordinal(candidate), stand_first, polled_term: Term(5) }
    }

    #[test]
    fn the_voter_with_the_longest_log_of_a_majority_leads() {
        let no_majority = |answered| Err(Obstacle::NoMajority { answered, voters: 3 });
        let table = [
            ("no replica answers", vec![], Err(Obstacle::Bootstrapping)),
            ("one of three", vec![follower(1, (5, 9))], no_majority(1)),
            ("the longer log", vec![follower(1, (5, 9)), follower(2, (5, 8))], Ok(plan(1, &[2]))),
            (
                "the later term before the longer log",
                vec![follower(1, (4, 99)), follower(2, (5, 1))],
                Ok(plan(2, &[1])),
            ),
            ("equal logs: the highest ordinal", vec![follower(1, (5, 9)), follower(2, (5, 9))], Ok(plan(2, &[1]))),
            (
                "equal logs: the one with disk space",
                vec![follower(1, (5, 9)), ReplicaStatus { disk_full: true, ..follower(2, (5, 9)) }],
                Ok(plan(1, &[2])),
            ),
            (
                "a longer log even on a full disk: it may have entries that no other log has",
                vec![follower(1, (5, 8)), ReplicaStatus { disk_full: true, ..follower(2, (5, 9)) }],
                Ok(plan(2, &[1])),
            ),
            (
                "all three, in the order of their logs",
                vec![follower(1, (5, 7)), follower(2, (5, 9)), follower(3, (5, 8))],
                Ok(plan(2, &[3, 1])),
            ),
            (
                "an unconfirmed leader is passed over, although its log is longer",
                vec![voter(3, Role::Leader, (5, 12)), follower(1, (5, 9)), follower(2, (5, 8))],
                Ok(plan(1, &[2])),
            ),
            (
                "an unconfirmed leader counts as a voter",
                vec![voter(3, Role::Leader, (5, 12)), follower(1, (5, 9))],
                Ok(plan(1, &[])),
            ),
            (
                "every replica believes that it leads",
                vec![voter(3, Role::Leader, (5, 12)), voter(2, Role::Leader, (5, 12))],
                Err(Obstacle::NoCandidate),
            ),
            (
                "a candidate of a failed election",
                vec![voter(1, Role::Candidate, (5, 9)), follower(3, (5, 9))],
                Ok(plan(3, &[1])),
            ),
        ];
        for (case, statuses, expected) in table {
            assert_eq!(plan_election(&statuses.iter().collect::<Vec<_>>()), expected, "{case}");
        }
    }

    #[test]
    fn during_a_membership_change_a_majority_of_both_sets_is_enough() {
        let (old, new) = (vec![id(1), id(2), id(3)], vec![NodeId::new(Ordinal(1), 10), id(2), id(3)]);
        let union = vec![id(1), NodeId::new(Ordinal(1), 10), id(2), id(3)];
        let joint = |ordinal, index| ReplicaStatus {
            voters: union.clone(),
            joint: vec![old.clone(), new.clone()],
            ..follower(ordinal, (5, index))
        };
        assert_eq!(
            plan_election(&[&joint(2, 9), &joint(3, 9)]),
            Ok(plan(3, &[2])),
            "although two of four voters are gone"
        );
        assert_eq!(plan_election(&[&joint(2, 9)]), Err(Obstacle::NoMajority { answered: 1, voters: 4 }));
    }

    #[test]
    fn only_voters_count() {
        let wiped = empty(3);
        assert_eq!(
            plan_election(&[&follower(1, (5, 9)), &wiped]),
            Err(Obstacle::NoMajority { answered: 1, voters: 3 })
        );
        assert_eq!(plan_election(&[&follower(1, (5, 9)), &follower(2, (5, 9)), &wiped]), Ok(plan(2, &[1])));
        let learner = ReplicaStatus { node_id: NodeId::new(Ordinal(3), 10), ..voter(3, Role::Learner, (5, 9)) };
        assert_eq!(
            plan_election(&[&follower(1, (5, 9)), &learner]),
            Err(Obstacle::NoMajority { answered: 1, voters: 3 })
        );
    }

    #[test]
    fn the_newest_membership_decides_which_replicas_vote() {
        let five = vec![id(1), id(2), id(3), id(4), id(5)];
        let grown = ReplicaStatus { voters: five, ..follower(1, (5, 10)) };
        let behind = follower(2, (5, 9));
        assert_eq!(plan_election(&[&grown, &behind]), Err(Obstacle::NoMajority { answered: 2, voters: 5 }));
        assert_eq!(plan_election(&[&grown, &behind, &follower(4, (5, 9))]), Ok(plan(1, &[4, 2])));
    }

    #[test]
    fn a_group_that_is_being_bootstrapped_is_left_alone() {
        assert_eq!(plan_election(&[&empty(1), &empty(2), &empty(3)]), Err(Obstacle::Bootstrapping));
        let bootstrapped = follower(1, (0, 0));
        assert_eq!(plan_election(&[&bootstrapped, &empty(2), &empty(3)]), Err(Obstacle::Bootstrapping));
    }

    #[test]
    fn a_single_replica_elects_itself() {
        let alone = ReplicaStatus { voters: vec![id(1)], ..follower(1, (5, 9)) };
        assert_eq!(plan_election(&[&alone]), Err(Obstacle::SingleReplica));
    }
}
