//! A group of replicas as one of its clients sees it.

use std::sync::Arc;
use std::time::Duration;

use api::replica::{ELECTION_PATH, ReplicaStatus, Replicas, STATUS_PATH, StandForElection};
use api::{Address, Ordinal, Term};
use service::call::{CallError, Caller};
use tokio::sync::{Mutex, watch};

/// Whom a client takes for the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Its seat.
    pub ordinal: Ordinal,
    /// The term that it leads in.
    pub term: Term,
}

/// One replicated group, as its clients see it. Cheap to clone; clones share what they know.
#[derive(Clone, Debug)]
pub struct Group(pub(crate) Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    name: &'static str,
    replicas: watch::Receiver<Replicas>,
    caller: Caller,
    leader: watch::Sender<Option<Leader>>,
    /// Counts the doubts.
    doubts: watch::Sender<u64>,
    /// Held by the one request that looks for a leader on behalf of all that wait.
    pub(crate) search: Mutex<()>,
}

impl Group {
    /// The group `name`; asks nobody yet.
    pub fn new(name: &'static str, replicas: watch::Receiver<Replicas>, caller: Caller) -> Self {
        Self(Arc::new(Shared {
            name,
            replicas,
            caller,
            leader: watch::Sender::new(None),
            doubts: watch::Sender::new(0),
            search: Mutex::new(()),
        }))
    }

    /// The word by which statuses and logs call it.
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Where its replicas are just now.
    pub fn replicas(&self) -> Replicas {
        self.0.replicas.borrow().clone()
    }

    /// Where the replica in one seat is just now.
    pub fn address(&self, ordinal: Ordinal) -> Option<Address> {
        self.0.replicas.borrow().get(&ordinal).cloned()
    }

    /// Whom we take for the leader; `None` while nobody is known, or the known one is doubted.
    pub fn leader(&self) -> watch::Receiver<Option<Leader>> {
        self.0.leader.subscribe()
    }

    /// [`Group::leader`] at this moment.
    pub fn current_leader(&self) -> Option<Leader> {
        *self.0.leader.borrow()
    }

    /// Takes `leader` for the leader from now on, unless one of a later term is known.
    pub fn adopt(&self, leader: Leader) {
        let adopted = self.0.leader.send_if_modified(|known| {
            let news = known.is_none_or(|known| known != leader && known.term <= leader.term);
            if news {
                *known = Some(leader);
            }
            news
        });
        if adopted {
            tracing::debug!(group = self.name(), ordinal = leader.ordinal.0, term = leader.term.0, "leader adopted");
        }
    }

    /// Takes `leader` for the leader no longer, and wakes whoever watches [`Group::doubts`].
    pub fn doubt(&self, leader: Leader) {
        let doubted = self.0.leader.send_if_modified(|known| known.take_if(|known| *known == leader).is_some());
        if doubted {
            tracing::debug!(group = self.name(), ordinal = leader.ordinal.0, term = leader.term.0, "leader doubted");
            self.0.doubts.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Changes whenever a leader that was known is doubted.
    pub fn doubts(&self) -> watch::Receiver<u64> {
        self.0.doubts.subscribe()
    }

    /// What one replica says about itself. A replica of another group or seat at that address is an error.
    pub async fn status(&self, ordinal: Ordinal, timeout: Duration) -> Result<ReplicaStatus, CallError> {
        let address = self.seat(ordinal)?;
        let status = self.0.caller.get(&address, STATUS_PATH, timeout).await?;
        self.identified(ordinal, address, status)
    }

    /// Makes one replica stand for election, unless it knows the leader of a term after the `surveyed` one: its answer comes once it
    /// has begun to.
    pub async fn stand(&self, ordinal: Ordinal, surveyed: Term, timeout: Duration) -> Result<ReplicaStatus, CallError> {
        let address = self.seat(ordinal)?;
        let status = self.0.caller.post(&address, ELECTION_PATH, &StandForElection { surveyed }, timeout).await?;
        self.identified(ordinal, address, status)
    }

    /// Calls `request` once, with the address of the replica in one seat, whoever leads.
    pub async fn ask<T, F, Fut>(&self, ordinal: Ordinal, request: F) -> Result<T, CallError>
    where
        F: FnOnce(Caller, Address) -> Fut,
        Fut: Future<Output = Result<T, CallError>>,
    {
        request(self.caller(), self.seat(ordinal)?).await
    }

    pub(crate) fn caller(&self) -> Caller {
        self.0.caller.clone()
    }

    fn seat(&self, ordinal: Ordinal) -> Result<Address, CallError> {
        self.address(ordinal).ok_or_else(|| CallError::Unreachable(Address::new(self.name(), 0)))
    }

    /// Two lists that contradict each other must not pass for a group.
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
