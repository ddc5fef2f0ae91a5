//! Observes the messages between the processes: the requests of order leaders to the catalog
//! (invariant I6), and the status of the replicas.

use std::collections::{BTreeMap, BTreeSet};

use api::catalog::{Fence, ReserveBatch};
use api::replica::ReplicaStatus;
use api::{BatchId, BatchNumber, Data, NodeId, Ordinal, Term};
use bytes::Bytes;
use history::{BatchEffect, EffectTarget, Moment};
use http::StatusCode;

use crate::network::{CallId, MachineId};
use crate::trace::Millis;

/// A request of an order leader to the catalog: the batch, and the leader. A fence counts as the
/// batch before the first one.
#[derive(Clone, Copy, Debug)]
struct LeaderRequest {
    batch: BatchId,
    leader: NodeId,
}

#[derive(Debug, Default)]
pub(crate) struct Observer {
    leader_requests: BTreeMap<CallId, LeaderRequest>,
    statuses: BTreeSet<CallId>,
    /// The effects of order leaders on the catalog, in the order of its responses.
    effects: Vec<BatchEffect>,
    seen: BTreeSet<BatchId>,
    /// The last status of each machine's replica, and when it was sent.
    replicas: BTreeMap<MachineId, (Millis, ReplicaStatus)>,
}

impl Observer {
    /// A request was sent. `ordinal` is that of the sender, if it is an order replica.
    pub(crate) fn request_sent(&mut self, call: CallId, ordinal: Option<u8>, path: &str, body: &Bytes) {
        let batch = match path {
            "/status" => {
                self.statuses.insert(call);
                return;
            }
            "/reservations" => serde_json::from_slice::<ReserveBatch>(body).ok().map(|request| request.id),
            "/fence" => serde_json::from_slice::<Fence>(body)
                .ok()
                .map(|fence| BatchId { term: fence.term, batch: BatchNumber(0) }),
            _ => return,
        };
        if let (Some(batch), Some(ordinal)) = (batch, ordinal) {
            self.leader_requests.insert(call, LeaderRequest { batch, leader: NodeId::new(Ordinal(ordinal), 0) });
        }
    }

    /// That machine sent the response to a request.
    pub(crate) fn response_sent(&mut self, now: Millis, call: CallId, by: MachineId, status: StatusCode, body: &Bytes) {
        if self.statuses.remove(&call) {
            if let Ok(status) = serde_json::from_slice::<Data<ReplicaStatus>>(body) {
                self.replicas.insert(by, (now, status.data));
            }
            return;
        }
        let Some(LeaderRequest { batch, leader }) = self.leader_requests.remove(&call) else { return };
        if status.is_success() && self.seen.insert(batch) {
            let at = Moment(now * 1_000_000);
            self.effects.push(BatchEffect { at, target: EffectTarget::Catalog, batch, leader: Some(leader) });
        }
    }

    /// The status that a machine's replica has sent at `now`.
    pub(crate) fn last_status(&self, now: Millis, machine: MachineId) -> Option<&ReplicaStatus> {
        self.replicas.get(&machine).filter(|(at, _)| *at == now).map(|(_, status)| status)
    }

    /// Whether each of these replicas has reported after `since` that exactly these replicas are
    /// the voters of their group, and that no change of membership is half-finished: while one is,
    /// a majority of each of two sets is needed.
    pub(crate) fn complete(&self, machines: &[MachineId], since: Millis) -> bool {
        let statuses: Vec<_> = machines.iter().filter_map(|machine| self.replicas.get(machine)).collect();
        let mut ids: Vec<_> = statuses.iter().map(|(_, status)| status.node_id).collect();
        ids.sort_unstable();
        statuses.len() == machines.len()
            && statuses.iter().all(|(at, status)| {
                let mut voters = status.voters.clone();
                voters.sort_unstable();
                *at > since && voters == ids && status.joint.is_empty()
            })
    }

    /// Whether each of these replicas has reported after `since` that exactly these replicas are
    /// the voters, and that it has applied the same log as the others.
    pub(crate) fn settled(&self, machines: &[MachineId], since: Millis) -> bool {
        let log = |machine| self.replicas.get(machine).map(|(_, status)| (status.last_log, status.applied));
        self.complete(machines, since)
            && machines.iter().all(|machine| log(machine).is_some_and(|(last, applied)| last == applied))
            && machines.windows(2).all(|two| log(&two[0]) == log(&two[1]))
    }

    /// The number of terms in which an order leader took over.
    pub(crate) fn leader_terms(&self) -> usize {
        let terms: BTreeSet<Term> = self.effects.iter().map(|effect| effect.batch.term).collect();
        terms.len()
    }

    pub(crate) fn take_effects(&mut self) -> Vec<BatchEffect> {
        std::mem::take(&mut self.effects)
    }
}
