//! A group of replicas, as its clients see it.

use std::sync::Arc;
use std::time::Duration;

use api::event::Event;
use api::replica::{ELECTION_PATH, ReplicaStatus, Replicas, STATUS_PATH, StandForElection, WATCH_PATH};
use api::{Address, Ordinal, Term};
use service::events::emit;
use service::http::Hedge;
use service::json_client::{CallError, JsonClient, RequestPath};
use tokio::sync::{Mutex, watch};

/// Polls a status on behalf of a leader monitor.
pub(crate) const MONITORING: RequestPath<'static> = RequestPath::filled(STATUS_PATH, WATCH_PATH);

/// The replica that is believed to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Its ordinal.
    pub ordinal: Ordinal,
    /// The term in which it leads.
    pub term: Term,
}

/// A client's view of one replicated group. Cheap to clone; clones share what they know.
#[derive(Clone, Debug)]
pub struct Group(pub(crate) Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    name: &'static str,
    replicas: watch::Receiver<Replicas>,
    client: JsonClient,
    leader: watch::Sender<Option<Leader>>,
    /// Counts the suspicions.
    suspicions: watch::Sender<u64>,
    /// Held by the one request that searches for a leader on behalf of all that wait.
    pub(crate) search: Mutex<()>,
}

impl Group {
    /// The group `name`. Sends no request yet.
    pub fn new(name: &'static str, replicas: watch::Receiver<Replicas>, client: JsonClient) -> Self {
        Self(Arc::new(Shared {
            name,
            replicas,
            client,
            leader: watch::Sender::new(None),
            suspicions: watch::Sender::new(0),
            search: Mutex::new(()),
        }))
    }

    /// The name of the group in statuses and logs.
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// The current addresses of its replicas.
    pub fn replicas(&self) -> Replicas {
        self.0.replicas.borrow().clone()
    }

    /// The current address of one replica.
    pub fn address(&self, ordinal: Ordinal) -> Option<Address> {
        self.0.replicas.borrow().get(&ordinal).cloned()
    }

    /// The leader that requests are sent to; `None` while none is known or the known one is
    /// suspected.
    pub fn leader(&self) -> watch::Receiver<Option<Leader>> {
        self.0.leader.subscribe()
    }

    /// The current value of [`Group::leader`].
    pub fn current_leader(&self) -> Option<Leader> {
        *self.0.leader.borrow()
    }

    /// Sends requests to `leader` from now on, unless a leader of a later term is known.
    pub fn set_leader(&self, leader: Leader) {
        let changed = self.0.leader.send_if_modified(|known| {
            let is_new = known.is_none_or(|known| known != leader && known.term <= leader.term);
            if is_new {
                *known = Some(leader);
            }
            is_new
        });
        if changed {
            let Leader { ordinal, term } = leader;
            emit(Event::LeaderFound { group: self.name().into(), ordinal, term });
        }
    }

    /// Sends no more requests to `leader`, and wakes the receivers of [`Group::suspicions`].
    pub fn suspect(&self, leader: Leader) {
        let suspected = self.0.leader.send_if_modified(|known| known.take_if(|known| *known == leader).is_some());
        if suspected {
            let Leader { ordinal, term } = leader;
            emit(Event::LeaderSuspected { group: self.name().into(), ordinal, term });
            self.0.suspicions.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Changes whenever a known leader becomes suspected.
    pub fn suspicions(&self) -> watch::Receiver<u64> {
        self.0.suspicions.subscribe()
    }

    /// The status of one replica. It is an error if the replica at this address belongs to another
    /// group or has another ordinal.
    pub async fn status(&self, ordinal: Ordinal, timeout: Duration) -> Result<ReplicaStatus, CallError> {
        self.status_by(STATUS_PATH.into(), ordinal, timeout).await
    }

    pub(crate) async fn status_by(
        &self,
        route: RequestPath<'_>,
        ordinal: Ordinal,
        timeout: Duration,
    ) -> Result<ReplicaStatus, CallError> {
        let address = self.known_address(ordinal)?;
        let status = self.0.client.hedged(Hedge::QUICK).get(&address, route, timeout).await?;
        self.identified(ordinal, address, status)
    }

    /// Like [`Group::status`], for a leader monitor: replicas know how long ago a monitor last
    /// polled their leader ([`LeaderContact::asked_ms`](api::replica::LeaderContact::asked_ms)).
    pub async fn monitor_status(&self, ordinal: Ordinal, timeout: Duration) -> Result<ReplicaStatus, CallError> {
        self.status_by(MONITORING, ordinal, timeout).await
    }

    /// Asks one replica to stand for election. It answers with its status once it stands, or once
    /// it has decided not to.
    pub async fn stand_for_election(
        &self,
        ordinal: Ordinal,
        request: StandForElection,
        timeout: Duration,
    ) -> Result<ReplicaStatus, CallError> {
        let address = self.known_address(ordinal)?;
        // Idempotent: a replica that has stood since the status poll does not stand again.
        let client = self.0.client.hedged(Hedge::STEADY);
        let status = client.post(&address, ELECTION_PATH, &request, timeout).await?;
        self.identified(ordinal, address, status)
    }

    /// Calls `request` once, with the address of the replica `ordinal`, whether it leads or not.
    pub async fn call_replica<T, F, Fut>(&self, ordinal: Ordinal, request: F) -> Result<T, CallError>
    where
        F: FnOnce(JsonClient, Address) -> Fut,
        Fut: Future<Output = Result<T, CallError>>,
    {
        request(self.client(), self.known_address(ordinal)?).await
    }

    pub(crate) fn client(&self) -> JsonClient {
        self.0.client.clone()
    }

    fn known_address(&self, ordinal: Ordinal) -> Result<Address, CallError> {
        self.address(ordinal).ok_or_else(|| CallError::Unreachable(Address::new(self.name(), 0)))
    }

    /// Rejects the status of a replica that is not the one that this list of addresses names.
    fn identified(&self, asked: Ordinal, address: Address, status: ReplicaStatus) -> Result<ReplicaStatus, CallError> {
        if status.group == self.name() && status.ordinal == asked {
            return Ok(status);
        }
        let what = format!(
            "it is replica {} of group {:?}, not replica {asked} of group {:?}",
            status.ordinal,
            status.group,
            self.name()
        );
        Err(CallError::Unknown { address, what })
    }
}
