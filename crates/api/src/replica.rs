//! The API of every replica of a group: its status, elections, and removing members.
//!
//! | request | body → response |
//! |---|---|
//! | `GET /status` | → [`ReplicaStatus`]; with `?watching=true` from a frontend that watches the leader |
//! | `POST /election` | [`StandForElection`] → [`ReplicaStatus`]: the replica stands for election unless it knows a working leader |
//! | `DELETE /members/{ordinal}` | → the leader's [`ReplicaStatus`]: the member has no vote any more. 503 if the remaining members could not go on |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Address, LogPosition, NodeId, Ordinal, Term};

/// Path of a replica's status.
pub const STATUS_PATH: &str = "/status";
/// The same path, as requested by a frontend that watches the leader; see
/// [`LeaderContact::asked_ms`].
pub const WATCH_PATH: &str = "/status?watching=true";
/// Path that makes a replica stand for election.
pub const ELECTION_PATH: &str = "/election";
/// Route by which the leader is asked to remove a member.
pub const MEMBER_ROUTE: &str = "/members/{ordinal}";

/// The path of one member; see [`MEMBER_ROUTE`].
pub fn member_path(ordinal: Ordinal) -> String {
    format!("/members/{ordinal}")
}

/// The most members that a group can have: it survives two failures, and each commit waits for
/// three disks.
pub const MEMBERS_MAX: u8 = 5;

/// The addresses of a group's replicas, by ordinal.
pub type Replicas = BTreeMap<Ordinal, Address>;

/// Asks a replica to stand for election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandForElection {
    /// The highest term among the statuses that led to the request. A replica that knows the leader
    /// of a later term does not stand: that election is over, and standing would depose the new
    /// leader.
    pub polled_term: Term,
    /// The sender knows from the leader or its host that the leader is gone: the leader said so, or
    /// its connection was refused or broke. A replica that has heard from this leader recently then
    /// checks for itself; otherwise it does not stand.
    #[serde(default)]
    pub leader_gone: bool,
}

/// A leader is silent if it was not heard for this long, in milliseconds: three heartbeats.
pub const LEADER_SILENT_AFTER_MS: u64 = 300;
/// A leader is deaf if an answer of a replica has not become part of a majority's for this long, in
/// milliseconds: two heartbeats, with each of which the leader says what a majority has answered.
pub const LEADER_DEAF_AFTER_MS: u64 = 200;
/// A leader has lost its quorum if no majority has acknowledged it for this long, in milliseconds:
/// it cannot commit, even if its followers still hear it. The slowest disk that can follow at all
/// acknowledges every 400 ms.
pub const LEADER_NO_QUORUM_AFTER_MS: u64 = 1000;
/// A leader is unreachable for all frontends if none has requested its status for this long, in
/// milliseconds: each requests it ten times a second.
pub const LEADER_UNREACHED_AFTER_MS: u64 = 1000;

/// When a replica last had contact with its leader, in milliseconds before it reports this. A
/// frontend that does not reach the leader asks the replicas for this evidence and decides by it
/// whether to replace the leader.
///
/// A leader sends the last two values with every message to its followers. They are trusted for
/// nothing else: votes decide which replica leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderContact {
    /// Since the leader's last message arrived; 0 on the leader itself.
    pub heard_ms: u64,
    /// Since a majority acknowledged the leader, as far as known.
    pub quorum_ms: u64,
    /// Since a frontend that watches the leader requested its status, as far as known.
    pub asked_ms: u64,
    /// How long before the leader's last message the oldest one arrived that this replica has
    /// answered, and of which the leader reports no majority of answers; `None` if there is no such
    /// message, and on the leader itself.
    #[serde(default)]
    pub uncounted_ms: Option<u64>,
}

impl LeaderContact {
    /// Whether the leader appears to work: it is heard, it hears, it can commit, and frontends
    /// reach it.
    pub fn is_fresh(&self) -> bool {
        self.heard_ms <= LEADER_SILENT_AFTER_MS
            && !self.is_deaf()
            && self.quorum_ms <= LEADER_NO_QUORUM_AFTER_MS
            && self.asked_ms <= LEADER_UNREACHED_AFTER_MS
    }

    /// Whether this replica's answers seem not to arrive. If others only answer late (a slow disk),
    /// this may look the same, but not to them: a majority of the voters says this only of a leader
    /// that does not hear a majority.
    fn is_deaf(&self) -> bool {
        self.uncounted_ms.is_some_and(|uncounted_ms| uncounted_ms > LEADER_DEAF_AFTER_MS)
    }
}

/// The role of a replica in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The disk is empty, and the replica belongs to no group yet.
    Empty,
    /// The replica receives the log but has no vote.
    Learner,
    /// The replica follows a leader, or waits for an election.
    Follower,
    /// The replica stands for election.
    Candidate,
    /// A majority has elected the replica as the leader of its term.
    Leader,
}

/// A replica's report about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    /// The group of the replica: `order` or `catalog`.
    pub group: String,
    /// The identity of its disk.
    pub node_id: NodeId,
    /// Its ordinal.
    pub ordinal: Ordinal,
    /// Its role.
    pub role: Role,
    /// The highest term that it has seen, and durably voted in.
    pub term: Term,
    /// The end of its log; `None` while the log is empty.
    pub last_log: Option<LogPosition>,
    /// The last log position that it knows to be committed.
    pub committed: Option<LogPosition>,
    /// The last log position applied to its state machine.
    pub applied: Option<LogPosition>,
    /// The leader of `term` that a majority has confirmed, as far as the replica knows. A leader
    /// reports itself here only while a majority answers it.
    pub leader: Option<NodeId>,
    /// The voters of the newest membership that the replica knows; empty while its disk is empty.
    pub voters: Vec<NodeId>,
    /// During a membership change, the old and the new set of voters; decisions then need a
    /// majority of each. Otherwise empty.
    #[serde(default)]
    pub joint: Vec<Vec<NodeId>>,
    /// Whether the free space of its disk is below the reserve. Such a replica finishes what it has
    /// started, and should not lead.
    #[serde(default)]
    pub disk_full: bool,
    /// The last contact with `leader`; `None` if this replica has not heard from it, or knows no
    /// leader.
    #[serde(default)]
    pub leader_contact: Option<LeaderContact>,
}

impl ReplicaStatus {
    /// The report of a replica with an empty disk that has not heard from any other replica.
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
            leader_contact: None,
        }
    }

    /// Whether the voters for which `among` is true are enough to elect a leader, by the membership
    /// that this replica knows.
    pub fn is_quorum(&self, among: impl Fn(&NodeId) -> bool) -> bool {
        let is_majority = |voters: &Vec<NodeId>| 2 * voters.iter().filter(|voter| among(voter)).count() > voters.len();
        if self.joint.is_empty() { is_majority(&self.voters) } else { self.joint.iter().all(is_majority) }
    }

    /// Whether the replica had recent contact with a working leader.
    pub fn has_fresh_leader(&self) -> bool {
        self.leader.is_some() && self.leader_contact.is_some_and(|contact| contact.is_fresh())
    }

    /// Whether the replica says that it leads. A leader that has lost its followers reports no
    /// leader, not even itself.
    pub fn leads(&self) -> bool {
        self.role == Role::Leader && self.leader == Some(self.node_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_works_if_it_is_heard_can_commit_and_is_reached_by_frontends() {
        let well = LeaderContact { heard_ms: 300, quorum_ms: 1000, asked_ms: 1000, uncounted_ms: Some(200) };
        assert!(well.is_fresh());
        assert!(LeaderContact { uncounted_ms: None, ..well }.is_fresh());
        let silent = LeaderContact { heard_ms: 301, ..well };
        let deaf = LeaderContact { uncounted_ms: Some(201), ..well };
        let without_quorum = LeaderContact { quorum_ms: 1001, ..well };
        let unreached = LeaderContact { asked_ms: 1001, ..well };
        assert!([silent, deaf, without_quorum, unreached].iter().all(|contact| !contact.is_fresh()));
        let status = ReplicaStatus { leader_contact: Some(well), ..ReplicaStatus::empty("order", NodeId::default()) };
        assert!(!status.has_fresh_leader(), "contact with a leader that it no longer knows");
    }

    #[test]
    fn a_joint_membership_needs_a_majority_of_each_set_and_no_more() {
        let id = |ordinal, disk| NodeId::new(Ordinal(ordinal), disk);
        let (old, new) = (vec![id(1, 1), id(2, 1), id(3, 1)], vec![id(1, 2), id(2, 1), id(3, 1)]);
        let mut status = ReplicaStatus::empty("order", id(2, 1));
        assert!(!status.is_quorum(|_| true), "a group without voters has no majority");
        status.voters.clone_from(&old);
        assert!(status.is_quorum(|voter| *voter != id(1, 1)));
        assert!(!status.is_quorum(|voter| *voter == id(1, 1)));
        // Both disks of replica 1 are gone: of four voters two are left, a majority of either set.
        status.voters = vec![id(1, 1), id(1, 2), id(2, 1), id(3, 1)];
        status.joint = vec![old, new];
        assert!(status.is_quorum(|voter| voter.ordinal() != Ordinal(1)));
        assert!(
            !status.is_quorum(|voter| voter.ordinal() != Ordinal(2) && *voter != id(1, 2)),
            "only a majority of the old set"
        );
    }
}
