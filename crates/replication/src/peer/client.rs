//! Requests to the other replicas, over kept-alive HTTP/1.1.
//!
//! Each request names the group and the node id that it is meant for. An address belongs to an
//! ordinal, and the disk of that replica may have been replaced: what was meant for the old disk
//! must not reach the new one.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::replica::Replicas;
use api::{Address, ApiError, ErrorBody, LogPosition, NodeId, Ordinal, Term};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use service::http::{Client, ClientOptions, ClientRequest, Hedge, Payload, SendError};
use tokio::sync::watch;

use super::messages::{GROUP_HEADER, JOIN_PATH, PROGRESS_PATH, PeerStatus, STAND_PATH, STATUS_PATH, TARGET_HEADER};
use crate::codec;
use crate::config::{ReplicaConfig, ReplicaTiming};
use crate::consensus::types::Vote;
use crate::error::StartError;
use crate::instruments::AppendMetrics;
use crate::leadership::leader_contact::ContactTracker;
use crate::log::Flushed;
use crate::membership::progress::{ProgressTable, ReplicaProgress};

/// Bound on an answer: log ids, votes, a status with its voters, or the text of an error.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Why a peer gave no usable answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum PeerError {
    #[error("replica {0} has no address")]
    NoAddress(Ordinal),
    /// Its host says that the process is gone.
    #[error("replica {0} refuses connections")]
    NotListening(Ordinal),
    #[error("replica {ordinal}: {what}")]
    Unreachable { ordinal: Ordinal, what: String },
    #[error("replica {ordinal} refuses the request: {error}")]
    Refused { ordinal: Ordinal, error: ApiError },
}

/// What a candidate learns from a refused vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VoteRefusal {
    /// The term in which the vote was requested.
    pub(crate) asked: Term,
    /// The vote of the replica that refused.
    pub(crate) vote: Vote,
    /// The end of its log.
    pub(crate) last_log: Option<LogPosition>,
}

/// Sends requests to all peers. Clones share the connections.
#[derive(Clone)]
pub(crate) struct PeerClient {
    client: Client,
    addresses: watch::Receiver<Replicas>,
    pub(crate) timing: ReplicaTiming,
    /// How much of this replica's own log is on disk.
    pub(crate) flushed: Flushed,
    pub(crate) appends: AppendMetrics,
    pub(crate) refusals: watch::Sender<Option<VoteRefusal>>,
    /// False while this replica stands for election only to be free to vote for another one
    /// ([`rollback`](crate::membership::rollback)).
    pub(crate) asks_for_votes: Arc<AtomicBool>,
    /// What is known to be on the disks of all replicas.
    pub(crate) progress: ProgressTable,
    /// The replicas whose rollback has been logged, so that it is logged once each.
    pub(crate) rolled_back: Arc<Mutex<BTreeSet<NodeId>>>,
    /// What is known of the leader.
    pub(crate) contact: Arc<ContactTracker>,
}

impl PeerClient {
    pub(crate) fn new(config: &ReplicaConfig, flushed: Flushed, appends: AppendMetrics) -> Result<Self, StartError> {
        let group = HeaderValue::from_str(&config.group).map_err(|error| StartError::Config(error.to_string()))?;
        let client = Client::new(ClientOptions {
            connect_timeout: config.timing.connect,
            // A state transfer has no timeout as a whole; these probes notice a peer that vanished
            // silently.
            keepalive: Some(config.timing.transfer_idle),
            token: config.token.clone(),
            headers: HeaderMap::from_iter([(HeaderName::from_static(GROUP_HEADER), group)]),
        });
        let client = match &config.client_metrics {
            Some(metrics) => client.measured(metrics, &config.group),
            None => client,
        };
        Ok(Self {
            client,
            addresses: config.peers.clone(),
            timing: config.timing,
            flushed,
            appends,
            refusals: watch::Sender::new(None),
            asks_for_votes: Arc::new(AtomicBool::new(true)),
            progress: ProgressTable::load(&config.data_dir),
            rolled_back: Arc::default(),
            contact: Arc::new(ContactTracker::new()),
        })
    }

    /// The ordinals that have an address now.
    pub(crate) fn ordinals(&self) -> Vec<Ordinal> {
        self.addresses.borrow().keys().copied().collect()
    }

    /// The last vote that was refused to this replica.
    pub(crate) fn refusals(&self) -> watch::Receiver<Option<VoteRefusal>> {
        self.refusals.subscribe()
    }

    /// The status of the replica with that ordinal, on any disk.
    pub(crate) async fn status(&self, ordinal: Ordinal) -> Result<PeerStatus, PeerError> {
        let request = peer_request(STATUS_PATH, Payload::Empty, Some(self.timing.question));
        let request = ClientRequest { method: Method::GET, hedge: Some(Hedge::QUICK), ..request };
        decode(ordinal, &self.send(ordinal, request).await?)
    }

    /// What the replica with that ordinal knows of the disks of all replicas.
    pub(crate) async fn fetch_progress(&self, ordinal: Ordinal) -> Result<Vec<ReplicaProgress>, PeerError> {
        let request = peer_request(PROGRESS_PATH, Payload::Empty, Some(self.timing.question));
        let request = ClientRequest { method: Method::GET, hedge: Some(Hedge::QUICK), ..request };
        decode(ordinal, &self.send(ordinal, request).await?)
    }

    /// Asks a replica to stand for election; returns when it has started.
    pub(crate) async fn stand_for_election(&self, target: NodeId) -> Result<(), PeerError> {
        // Never sent twice: the second copy would start a later term and depose the leader that was
        // just elected.
        let request = for_node(target, peer_request(STAND_PATH, Payload::Empty, Some(self.timing.question)));
        self.send(target.ordinal(), request).await.map(drop)
    }

    /// Asks the leader, the replica with the ordinal `leader`, to give the replica `joining` a
    /// vote. Returns when that is committed.
    pub(crate) async fn join(&self, leader: Ordinal, joining: NodeId, within: Duration) -> Result<(), PeerError> {
        let request = peer_request(JOIN_PATH, Payload::Whole(encode(&joining)), Some(within));
        self.send(leader, request).await.map(drop)
    }

    /// Sends a request to the current address of the replica with that ordinal. If the address
    /// changes meanwhile, the request is given up and its connection closed: the process that
    /// listened there may be gone, or be another one.
    pub(crate) async fn send(&self, ordinal: Ordinal, request: ClientRequest<'_>) -> Result<Bytes, PeerError> {
        let address: Address = self.addresses.borrow().get(&ordinal).cloned().ok_or(PeerError::NoAddress(ordinal))?;
        let unreachable = |what: String| PeerError::Unreachable { ordinal, what };
        let answer = tokio::select! {
            biased;
            answer = self.client.send(&address, request) => answer.map_err(|error| match error {
                SendError::NotListening(_) => PeerError::NotListening(ordinal),
                error => unreachable(error.to_string()),
            }),
            () = self.address_changed(ordinal, &address) => Err(unreachable(format!("it is no longer at {address}"))),
        };
        let (status, body) = answer?;
        if status.is_success() {
            return Ok(body);
        }
        match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(body) => Err(PeerError::Refused { ordinal, error: body.error }),
            Err(_) => Err(unreachable(format!("it answers {status}"))),
        }
    }
}

impl PeerClient {
    /// Completes when the replica with that ordinal has another address, or none.
    async fn address_changed(&self, ordinal: Ordinal, address: &Address) {
        let mut addresses = self.addresses.clone();
        if addresses.wait_for(|now| now.get(&ordinal) != Some(address)).await.is_err() {
            // The list never changes.
            std::future::pending::<()>().await;
        }
    }
}

pub(crate) fn peer_request(path: &'static str, body: Payload, timeout: Option<Duration>) -> ClientRequest<'static> {
    let (method, headers) = (Method::POST, HeaderMap::new());
    ClientRequest {
        method,
        path,
        route: path,
        headers,
        body,
        timeout,
        response_bytes_max: ANSWER_BYTES_MAX,
        hedge: None,
    }
}

/// Addresses a request to one node only, not to the node that has its ordinal now.
pub(crate) fn for_node(target: NodeId, mut request: ClientRequest<'_>) -> ClientRequest<'_> {
    request.headers.insert(TARGET_HEADER, HeaderValue::from(target.0));
    request
}

pub(crate) fn encode<T: Serialize>(message: &T) -> Bytes {
    codec::encode(message).expect("a message to a peer can be encoded: it is plain data").into()
}

pub(crate) fn decode<T: DeserializeOwned>(ordinal: Ordinal, answer: &[u8]) -> Result<T, PeerError> {
    codec::decode(answer)
        .map_err(|what| PeerError::Unreachable { ordinal, what: format!("its answer cannot be decoded: {what}") })
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::super::messages::STATE_PATH;
    use super::*;
    use crate::instruments::Instruments;

    /// As when a node is lost with its pod: the old address accepts connections, or packets, and
    /// never answers.
    #[tokio::test]
    async fn a_request_to_an_address_that_a_replica_no_longer_has_is_given_up() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::new("127.0.0.1", silent.local_addr().unwrap().port());
        let addresses = watch::Sender::new(Replicas::from([(Ordinal(2), address)]));
        let config = ReplicaConfig::new("test", Ordinal(1), "nowhere".into(), 3, addresses.subscribe());
        let appends = Instruments::register(&config.registry, &config.group).unwrap().appends;
        let peers = PeerClient::new(&config, Flushed::everything(), appends).unwrap();
        // A state transfer has no timeout at all.
        let request = peer_request(STATE_PATH, Payload::Empty, None);
        let asked = async { peers.send(Ordinal(2), request).await };
        let moved = async {
            let (mut connection, _) = silent.accept().await.unwrap();
            assert!(connection.read_u8().await.is_ok(), "the request arrives");
            addresses.send_modify(|addresses| _ = addresses.insert(Ordinal(2), Address::new("127.0.0.1", 1)));
            let mut rest = Vec::new();
            // Closed, gracefully or not.
            let _ = connection.read_to_end(&mut rest).await;
        };
        let (asked, ()) = tokio::join!(asked, moved);
        let error = asked.unwrap_err().to_string();
        assert!(error.contains("no longer"), "{error}");
    }
}
