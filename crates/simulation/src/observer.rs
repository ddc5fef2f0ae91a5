//! Watches what passes between the processes for what invariant I6 speaks of, and for where the replicas stand.

use std::collections::{BTreeMap, BTreeSet};

use api::catalog::{Fence, ReserveBatch};
use api::replica::ReplicaStatus;
use api::{BatchId, BatchNumber, Data, NodeId, Ordinal, Term};
use bytes::Bytes;
use history::{Act, ActPlace, Moment};
use http::StatusCode;

use crate::network::{CallId, MachineId};
use crate::trace::Millis;

/// A request of an order leader to the catalog: which batch (a fence is the batch before the first), and from whom.
#[derive(Clone, Copy, Debug)]
struct Claim {
    batch: BatchId,
    leader: NodeId,
}

#[derive(Debug, Default)]
pub(crate) struct Observer {
    claims: BTreeMap<CallId, Claim>,
    statuses: BTreeSet<CallId>,
    /// What order leaders did at the catalog, in the order of its answers.
    acts: Vec<Act>,
    seen: BTreeSet<BatchId>,
    /// What each machine's replica last said about itself, and when.
    replicas: BTreeMap<MachineId, (Millis, ReplicaStatus)>,
}

impl Observer {
    /// A request was sent; `seat` is that of the order replica that sent it, if one did.
    pub(crate) fn asked(&mut self, call: CallId, seat: Option<u8>, path: &str, body: &Bytes) {
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
        if let (Some(batch), Some(seat)) = (batch, seat) {
            self.claims.insert(call, Claim { batch, leader: NodeId::new(Ordinal(seat), 0) });
        }
    }

    /// It was answered by that machine.
    pub(crate) fn answered(&mut self, now: Millis, call: CallId, by: MachineId, status: StatusCode, body: &Bytes) {
        if self.statuses.remove(&call) {
            if let Ok(status) = serde_json::from_slice::<Data<ReplicaStatus>>(body) {
                self.replicas.insert(by, (now, status.data));
            }
            return;
        }
        let Some(Claim { batch, leader }) = self.claims.remove(&call) else { return };
        if status.is_success() && self.seen.insert(batch) {
            let at = Moment(now * 1_000_000);
            self.acts.push(Act { at, place: ActPlace::Catalog, batch, leader: Some(leader) });
        }
    }

    /// Whether all of these replicas have said since `since` that exactly they are the voters of their group.
    pub(crate) fn complete(&self, machines: &[MachineId], since: Millis) -> bool {
        let statuses: Vec<_> = machines.iter().filter_map(|machine| self.replicas.get(machine)).collect();
        let mut ids: Vec<_> = statuses.iter().map(|(_, status)| status.node_id).collect();
        ids.sort_unstable();
        statuses.len() == machines.len()
            && statuses.iter().all(|(at, status)| {
                let mut voters = status.voters.clone();
                voters.sort_unstable();
                *at > since && voters == ids
            })
    }

    /// Whether all of these replicas have said since `since` that exactly they are the voters, and that they have applied the same log.
    pub(crate) fn settled(&self, machines: &[MachineId], since: Millis) -> bool {
        let log = |machine| self.replicas.get(machine).map(|(_, status)| (status.last_log, status.applied));
        self.complete(machines, since)
            && machines.iter().all(|machine| log(machine).is_some_and(|(last, applied)| last == applied))
            && machines.windows(2).all(|two| log(&two[0]) == log(&two[1]))
    }

    /// Terms in which an order leader took over.
    pub(crate) fn reigns(&self) -> usize {
        let terms: BTreeSet<Term> = self.acts.iter().map(|act| act.batch.term).collect();
        terms.len()
    }

    pub(crate) fn take_acts(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }
}
