//! What a process is at an instant, from its protocol events, and from the statuses that messages
//! carry anyway.

use api::event::Event;
use api::replica::{ReplicaStatus, Role};
use serde::Serialize;

use crate::network::MachineId;
use crate::trace::Millis;

/// A process from one instant on.
#[derive(Clone, Debug)]
pub(crate) struct StateChange {
    pub(crate) at: Millis,
    pub(crate) lane: MachineId,
    pub(crate) state: ProcessState,
}

/// Whether a process runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Life {
    /// It has not been started, or it has ended.
    #[default]
    Down,
    Up,
    /// It is frozen.
    Paused,
    /// It was asked to stop.
    Stopping,
}

/// What is known about a process. Empty fields are left out of the story.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ProcessState {
    pub(crate) life: Life,
    /// Of a replica: `leader`, `follower`, `candidate`, `learner`, `empty`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) term: Option<u64>,
    /// The leader that a replica follows, or that a frontend sends orders to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) leader: Option<String>,
    /// Whether an order leader accepts orders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) takes_orders: Option<bool>,
    /// The end of a replica's log, and what it has applied: term.index, from its last status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) applied: Option<String>,
    /// The number of the last order that it has placed, as a leader.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) placed: Option<u64>,
    /// The last checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoint: Option<String>,
    /// Whether a frontend may serve from its cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lease: Option<bool>,
    /// A disk fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disk: Option<&'static str>,
}

impl ProcessState {
    pub(super) fn started(&mut self) {
        // What is on the disk stays; what was in memory is gone.
        let (log, disk, checkpoint) = (self.log.take(), self.disk, self.checkpoint.take());
        *self = Self { life: Life::Up, log, disk, checkpoint, ..Self::default() };
    }

    pub(super) fn ended(&mut self) {
        let (log, term, checkpoint) = (self.log.take(), self.term, self.checkpoint.take());
        *self = Self { life: Life::Down, log, term, checkpoint, ..Self::default() };
    }

    pub(super) fn resumed(&mut self) {
        if self.life == Life::Paused {
            self.life = Life::Up;
        }
    }

    pub(super) fn disk_healed(&mut self) {
        self.disk = None;
    }

    pub(super) fn of_fault(&mut self, kind: &str, what: &str) {
        match kind {
            "kill" | "power-loss" | "power-loss-of-all" | "rewound-disk" => self.ended(),
            "wiped-disk" => *self = Self::default(),
            "pause" => self.life = Life::Paused,
            "stop" | "stop-all" => self.life = Life::Stopping,
            "removed-member" if what == "asked to stop" => self.life = Life::Stopping,
            "slow-disk" => self.disk = Some("slow"),
            "full-disk" => self.disk = Some("full"),
            "failed-sync" | "failed-write" => self.disk = Some("failing"),
            _ => {}
        }
    }

    pub(super) fn of_event(&mut self, event: &Event, name: &str) {
        match event {
            Event::ReplicaStarted { .. } => self.role = Some("follower"),
            Event::StoodForElection { term, .. } => {
                (self.role, self.term, self.leader) = (Some("candidate"), Some(term.0), None);
            }
            Event::Voted { term, .. } => self.term = self.term.max(Some(term.0)),
            Event::Leads { term, .. } => {
                (self.role, self.term, self.leader) = (Some("leader"), Some(term.0), Some(name.to_owned()));
            }
            Event::Follows { group, leader } => {
                (self.role, self.takes_orders) = (Some("follower"), None);
                self.leader = Some(format!("{group}-{}", leader.ordinal()));
            }
            Event::FollowsNobody { .. } => {
                if self.role == Some("leader") {
                    self.role = Some("follower");
                }
                (self.leader, self.takes_orders) = (None, None);
            }
            Event::TakingOver { term } => {
                (self.takes_orders, self.term) = (Some(false), self.term.max(Some(term.0)));
            }
            Event::TakesOrders { .. } => self.takes_orders = Some(true),
            Event::BatchPlaced { last, .. } => self.placed = Some(last.get()),
            Event::CheckpointMade { position } | Event::StateReceived { position } => {
                self.checkpoint = Some(position.to_string());
                // Newer than what it has told.
                (self.log, self.applied) = (None, None);
            }
            Event::CatalogLeads { term, .. } => (self.role, self.term) = (Some("leader"), Some(term.0)),
            Event::LeaseHeld {} => self.lease = Some(true),
            Event::LeaseLost { .. } => self.lease = Some(false),
            Event::LeaderFound { group, ordinal, term } | Event::LeaderConfirmed { group, ordinal, term, .. }
                if group == "order" =>
            {
                (self.leader, self.term) = (Some(format!("{group}-{ordinal}")), Some(term.0));
            }
            Event::LeaderSuspected { group, .. } if group == "order" && !name.starts_with("order") => {
                self.leader = None;
            }
            _ => {}
        }
    }

    pub(super) fn of_status(&mut self, status: &ReplicaStatus) {
        self.role = Some(match status.role {
            Role::Empty => "empty",
            Role::Learner => "learner",
            Role::Follower => "follower",
            Role::Candidate => "candidate",
            Role::Leader => "leader",
        });
        self.term = Some(status.term.0);
        self.log = status.last_log.map(|position| position.to_string());
        self.applied = status.applied.map(|position| position.to_string());
    }
}

#[cfg(test)]
mod tests {
    use api::Term;

    use super::*;

    #[test]
    fn a_leader_that_is_killed_keeps_its_disk_and_nothing_else() {
        let mut state = ProcessState::default();
        state.started();
        state.of_event(&Event::Leads { group: "order".into(), term: Term(3) }, "order-1");
        state.of_event(&Event::TakingOver { term: Term(3) }, "order-1");
        assert_eq!((state.role, state.term, state.takes_orders), (Some("leader"), Some(3), Some(false)));
        state.log = Some("3.7".to_owned());
        state.of_fault("kill", "killed");
        assert_eq!(state, ProcessState { term: Some(3), log: Some("3.7".to_owned()), ..ProcessState::default() });
        state.of_fault("wiped-disk", "");
        assert_eq!(state, ProcessState::default());
    }

    #[test]
    fn a_frozen_process_continues_as_it_was() {
        let mut state = ProcessState::default();
        state.started();
        state.of_event(&Event::LeaseHeld {}, "frontend-1");
        let before = state.clone();
        state.of_fault("pause", "paused");
        assert_eq!(state.life, Life::Paused);
        state.resumed();
        assert_eq!(state, before);
    }
}
