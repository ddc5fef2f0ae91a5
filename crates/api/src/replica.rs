//! What every replica of a group tells about itself, and how it is asked to stand for election.
//!
//! | call | body → answer |
//! |---|---|
//! | `GET /status` | → [`ReplicaStatus`] |
//! | `POST /election` | [`StandForElection`] → [`ReplicaStatus`]: the replica stands for election, unless it knows better |
//! | `DELETE /seats/{seat}` | → the leader's [`ReplicaStatus`]: that seat has no vote any more. 503 if those who stay could not go on |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Address, LogPosition, NodeId, Ordinal, Term};

/// Path of a replica's status.
pub const STATUS_PATH: &str = "/status";
/// Path that makes a replica stand for election.
pub const ELECTION_PATH: &str = "/election";
/// Route by which the leader is told that a seat is to go.
pub const SEAT_ROUTE: &str = "/seats/{seat}";

/// The path of one seat; see [`SEAT_ROUTE`].
pub fn seat_path(seat: Ordinal) -> String {
    format!("/seats/{seat}")
}

/// Where a group's replicas are, by seat.
pub type Replicas = BTreeMap<Ordinal, Address>;

/// Asks a replica to stand for election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandForElection {
    /// The highest term among the statuses that led to the request. A replica that knows the leader of a later term does not
    /// stand: the election is over, and it would depose who has just won.
    pub surveyed: Term,
}

/// What a replica does in its group just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Its disk is empty, and it belongs to no group yet.
    Empty,
    /// It receives the log but has no vote.
    Learner,
    /// It follows a leader, or waits for an election.
    Follower,
    /// It stands for election.
    Candidate,
    /// A majority has made it the leader of its term.
    Leader,
}

/// A replica's word about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    /// Which group it belongs to: `order`, `catalog`.
    pub group: String,
    /// Its disk's identity.
    pub node_id: NodeId,
    /// Its seat.
    pub ordinal: Ordinal,
    /// What it does.
    pub role: Role,
    /// The highest term that it has seen (and durably voted in).
    pub term: Term,
    /// The end of its log; `None` while that is empty.
    pub last_log: Option<LogPosition>,
    /// How far it knows the log to be committed.
    pub committed: Option<LogPosition>,
    /// How far its state machine is.
    pub applied: Option<LogPosition>,
    /// The leader of `term` that a majority has confirmed, as far as it knows. A leader names itself only while a majority answers it.
    pub leader: Option<NodeId>,
    /// The voters of the newest membership that it knows; empty while its disk is empty.
    pub voters: Vec<NodeId>,
    /// While voters are being exchanged: the old set and the new one. It takes a majority of each then. Else empty.
    #[serde(default)]
    pub joint: Vec<Vec<NodeId>>,
    /// Whether its disk has less room than its reserve: it finishes what is begun, and should not lead.
    #[serde(default)]
    pub disk_full: bool,
}

impl ReplicaStatus {
    /// What a replica with an empty disk says before it has heard of anybody.
    pub fn empty(group: impl Into<String>, node_id: NodeId) -> Self {
        Self {
            group: group.into(),
            node_id,
            ordinal: node_id.ordinal(),
            role: Role::Empty,
            term: Term(0),
            last_log: None,
            committed: None,
            applied: None,
            leader: None,
            voters: Vec::new(),
            joint: Vec::new(),
            disk_full: false,
        }
    }

    /// Whether those voters that are `among` some set are enough to elect a leader, by the membership that this replica knows.
    pub fn is_quorum(&self, among: impl Fn(&NodeId) -> bool) -> bool {
        let is_majority = |voters: &Vec<NodeId>| 2 * voters.iter().filter(|voter| among(voter)).count() > voters.len();
        if self.joint.is_empty() { is_majority(&self.voters) } else { self.joint.iter().all(is_majority) }
    }

    /// Whether it leads by its own word. A leader that has lost its followers names no leader, not even itself.
    pub fn leads(&self) -> bool {
        self.role == Role::Leader && self.leader == Some(self.node_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_joint_membership_takes_a_majority_of_each_set_and_no_more() {
        let id = |seat, disk| NodeId::new(Ordinal(seat), disk);
        let (old, new) = (vec![id(1, 1), id(2, 1), id(3, 1)], vec![id(1, 2), id(2, 1), id(3, 1)]);
        let mut status = ReplicaStatus::empty("order", id(2, 1));
        assert!(!status.is_quorum(|_| true), "nobody is no majority");
        status.voters.clone_from(&old);
        assert!(status.is_quorum(|voter| *voter != id(1, 1)));
        assert!(!status.is_quorum(|voter| *voter == id(1, 1)));
        // Both disks of seat 1 are gone: of four voters two are left, a majority of either set.
        status.voters = vec![id(1, 1), id(1, 2), id(2, 1), id(3, 1)];
        status.joint = vec![old, new];
        assert!(status.is_quorum(|voter| voter.ordinal() != Ordinal(1)));
        assert!(!status.is_quorum(|voter| voter.ordinal() != Ordinal(2) && *voter != id(1, 2)), "only of the old set");
    }
}
