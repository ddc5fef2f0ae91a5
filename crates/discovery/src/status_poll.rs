//! Polls the status of all replicas at once, and derives the leader from the answers.

use std::collections::BTreeMap;
use std::time::Duration;

use api::replica::{ReplicaStatus, STATUS_PATH};
use api::{NodeId, Ordinal};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use service::json_client::{CallError, RequestPath};

use crate::group::{Group, Leader, MONITORING};

/// The answer of each replica, or the reason why there is none. A replica that is missing here has
/// not answered yet.
pub type StatusPoll = BTreeMap<Ordinal, Result<ReplicaStatus, CallError>>;

/// The leader that a majority of the voters confirms, if these answers show one.
///
/// The leader must say itself that it leads, no other answer may have a higher term, and a majority
/// of the voters that the leader knows must name it as the leader of this term. A leader that has
/// stopped or is paused does not answer, and a leader that has lost its followers does not name
/// itself. Neither is confirmed, whatever its followers still report.
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
    /// Polls the status of all replicas, and waits for all answers or the `timeout`.
    pub async fn poll_statuses(&self, timeout: Duration) -> StatusPoll {
        self.poll_statuses_until(timeout, |_| false).await
    }

    /// Like [`Group::poll_statuses`], but returns as soon as the answers are `enough`. Otherwise
    /// one paused replica would cost the whole `timeout`.
    pub async fn poll_statuses_until(&self, timeout: Duration, enough: impl Fn(&StatusPoll) -> bool) -> StatusPoll {
        let all: Vec<_> = self.replicas().into_keys().collect();
        self.poll_among(STATUS_PATH.into(), &all, timeout, enough).await
    }

    /// Like [`Group::poll_statuses_until`], for a leader monitor; see [`Group::monitor_status`].
    pub async fn monitor_statuses_until(&self, timeout: Duration, enough: impl Fn(&StatusPoll) -> bool) -> StatusPoll {
        let all: Vec<_> = self.replicas().into_keys().collect();
        self.poll_among(MONITORING, &all, timeout, enough).await
    }

    /// Polls all replicas until a majority confirms a leader, for at most `timeout`.
    pub async fn find_leader(&self, timeout: Duration) -> Option<Leader> {
        let all: Vec<_> = self.replicas().into_keys().collect();
        self.find_leader_among(&all, timeout).await
    }

    /// Polls these replicas until a majority of all voters confirms a leader, for at most
    /// `timeout`.
    pub async fn find_leader_among(&self, ordinals: &[Ordinal], timeout: Duration) -> Option<Leader> {
        let leader = |answers: &StatusPoll| confirmed_leader(answers.values().flatten());
        leader(&self.poll_among(STATUS_PATH.into(), ordinals, timeout, |answers| leader(answers).is_some()).await)
    }

    async fn poll_among(
        &self,
        route: RequestPath<'static>,
        ordinals: &[Ordinal],
        timeout: Duration,
        enough: impl Fn(&StatusPoll) -> bool,
    ) -> StatusPoll {
        // A request may take longer than the poll. So an error in the answers is a real failure and
        // not merely a late answer.
        let poll = |&ordinal| async move { (ordinal, self.status_by(route, ordinal, 2 * timeout).await) };
        let mut polled: FuturesUnordered<_> = ordinals.iter().map(poll).collect();
        let mut answers = StatusPoll::new();
        let gather = async {
            while let Some((ordinal, answer)) = polled.next().await {
                answers.insert(ordinal, answer);
                if enough(&answers) {
                    break;
                }
            }
        };
        // After the timeout, the answers so far are the result.
        let _ = tokio::time::timeout(timeout, gather).await;
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
            ("no answers", vec![], None),
            ("a leader alone", vec![replica(1, Leads, 2, Some(1))], None),
            ("a leader and a follower", vec![replica(1, Leads, 2, Some(1)), replica(3, Follower, 2, Some(1))], Some(1)),
            (
                "followers of a silent leader",
                vec![replica(2, Follower, 2, Some(1)), replica(3, Follower, 2, Some(1))],
                None,
            ),
            (
                "a deposed leader, and replicas of a later term",
                vec![replica(1, Leads, 2, Some(1)), replica(2, Leads, 3, Some(2)), replica(3, Follower, 3, Some(2))],
                Some(2),
            ),
            (
                "a higher term without a leader yet",
                vec![replica(1, Leads, 2, Some(1)), replica(2, Follower, 2, Some(1)), replica(3, Candidate, 3, None)],
                None,
            ),
            (
                "a leader without followers, and followers that still name it",
                vec![replica(1, Leads, 2, None), replica(2, Follower, 2, Some(1)), replica(3, Follower, 2, Some(1))],
                None,
            ),
            (
                "a follower that does not know the leader yet",
                vec![replica(1, Leads, 2, Some(1)), replica(2, Follower, 2, None)],
                None,
            ),
        ];
        for (case, statuses, expected) in table {
            let leader = confirmed_leader(&statuses).map(|leader| leader.ordinal.0);
            assert_eq!(leader, expected, "{case}");
        }
        let learner = ReplicaStatus { node_id: NodeId::new(Ordinal(2), 8), ..replica(2, Learner, 2, Some(1)) };
        let statuses = [replica(1, Leads, 2, Some(1)), learner];
        assert_eq!(confirmed_leader(&statuses), None, "a learner has no vote");
    }

    #[test]
    fn a_group_of_one_confirms_itself() {
        let alone = ReplicaStatus { voters: vec![NodeId::new(Ordinal(1), 7)], ..replica(1, Role::Leader, 4, Some(1)) };
        assert_eq!(confirmed_leader([&alone]), Some(Leader { ordinal: Ordinal(1), term: Term(4) }));
    }
}
