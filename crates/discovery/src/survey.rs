//! What the replicas say about themselves, all asked at once, and what follows from it.

use std::collections::BTreeMap;
use std::time::Duration;

use api::replica::ReplicaStatus;
use api::{NodeId, Ordinal};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use service::call::CallError;

use crate::{Group, Leader};

/// Each seat's answer.
pub type Survey = BTreeMap<Ordinal, Result<ReplicaStatus, CallError>>;

/// The leader that a majority of the voters confirm, if these answers show one.
///
/// It says so itself; nobody that answered has seen a higher term; and a majority of the voters that it knows name it
/// as the leader of that term. A leader that is gone or paused does not answer, and one that has lost its followers does not name
/// itself: neither is confirmed, whatever its followers still believe.
pub fn confirmed_leader<'a>(statuses: impl IntoIterator<Item = &'a ReplicaStatus>) -> Option<Leader> {
    let statuses: Vec<_> = statuses.into_iter().collect();
    let term = statuses.iter().map(|status| status.term).max()?;
    let leader = statuses.iter().find(|status| status.term == term && status.leads())?;
    let confirms = |voter: &NodeId| {
        statuses
            .iter()
            .any(|status| status.node_id == *voter && status.term == term && status.leader == Some(leader.node_id))
    };
    leader.is_quorum(confirms).then_some(Leader { ordinal: leader.ordinal, term })
}

impl Group {
    /// Asks all replicas for their status and waits for all answers, `timeout` at most.
    pub async fn survey(&self, timeout: Duration) -> Survey {
        self.survey_until(timeout, |_| false).await
    }

    /// Like [`Group::survey`], but is content as soon as the answers are `enough`: a paused replica would cost the whole `timeout`.
    pub async fn survey_until(&self, timeout: Duration, enough: impl Fn(&Survey) -> bool) -> Survey {
        let all: Vec<_> = self.replicas().into_keys().collect();
        self.survey_among(&all, timeout, enough).await
    }

    /// Asks all replicas until a majority confirms a leader, `timeout` at most.
    pub async fn find_leader(&self, timeout: Duration) -> Option<Leader> {
        let all: Vec<_> = self.replicas().into_keys().collect();
        self.find_leader_among(&all, timeout).await
    }

    /// Asks these replicas until a majority (of all voters) confirms a leader, `timeout` at most.
    pub async fn find_leader_among(&self, ordinals: &[Ordinal], timeout: Duration) -> Option<Leader> {
        let leader = |answers: &Survey| confirmed_leader(answers.values().flatten());
        leader(&self.survey_among(ordinals, timeout, |answers| leader(answers).is_some()).await)
    }

    async fn survey_among(&self, ordinals: &[Ordinal], timeout: Duration, enough: impl Fn(&Survey) -> bool) -> Survey {
        let mut asked: FuturesUnordered<_> =
            ordinals.iter().map(|&ordinal| async move { (ordinal, self.status(ordinal, timeout).await) }).collect();
        let mut answers = Survey::new();
        while let Some((ordinal, answer)) = asked.next().await {
            answers.insert(ordinal, answer);
            if enough(&answers) {
                break;
            }
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use api::replica::Role;
    use api::{LogPosition, Term};

    use super::*;

    fn replica(ordinal: u8, role: Role, term: u64, leader: Option<u8>) -> ReplicaStatus {
        let id = |ordinal| NodeId::new(Ordinal(ordinal), 7);
        ReplicaStatus {
            role,
            term: Term(term),
            last_log: Some(LogPosition { term: Term(term), index: 1 }),
            leader: leader.map(id),
            voters: vec![id(1), id(2), id(3)],
            ..ReplicaStatus::empty("order", id(ordinal))
        }
    }

    #[test]
    fn a_leader_is_confirmed_by_a_majority_of_the_voters_in_the_highest_term() {
        use Role::{Candidate, Follower, Leader as Leads, Learner};
        let table = [
            ("nobody answers", vec![], None),
            ("a leader alone", vec![replica(1, Leads, 2, Some(1))], None),
            ("a leader and a follower", vec![replica(1, Leads, 2, Some(1)), replica(3, Follower, 2, Some(1))], Some(1)),
            (
                "followers of a silent leader",
                vec![replica(2, Follower, 2, Some(1)), replica(3, Follower, 2, Some(1))],
                None,
            ),
            (
                "a deposed leader among those who moved on",
                vec![replica(1, Leads, 2, Some(1)), replica(2, Leads, 3, Some(2)), replica(3, Follower, 3, Some(2))],
                Some(2),
            ),
            (
                "a higher term that nobody leads yet",
                vec![replica(1, Leads, 2, Some(1)), replica(2, Follower, 2, Some(1)), replica(3, Candidate, 3, None)],
                None,
            ),
            (
                "a leader that hears from nobody, and followers that have not noticed",
                vec![replica(1, Leads, 2, None), replica(2, Follower, 2, Some(1)), replica(3, Follower, 2, Some(1))],
                None,
            ),
            (
                "a follower that has not heard of it yet",
                vec![replica(1, Leads, 2, Some(1)), replica(2, Follower, 2, None)],
                None,
            ),
        ];
        for (case, statuses, expected) in table {
            let leader = confirmed_leader(&statuses).map(|leader| leader.ordinal.0);
            assert_eq!(leader, expected, "{case}");
        }
        let stranger = ReplicaStatus { node_id: NodeId::new(Ordinal(2), 8), ..replica(2, Learner, 2, Some(1)) };
        let statuses = [replica(1, Leads, 2, Some(1)), stranger];
        assert_eq!(confirmed_leader(&statuses), None, "a learner's word is no vote");
    }

    #[test]
    fn a_group_of_one_confirms_itself() {
        let alone = ReplicaStatus { voters: vec![NodeId::new(Ordinal(1), 7)], ..replica(1, Role::Leader, 4, Some(1)) };
        assert_eq!(confirmed_leader([&alone]), Some(Leader { ordinal: Ordinal(1), term: Term(4) }));
    }
}
