//! Requests to the other replicas: records over kept-alive HTTP/1.1.
//!
//! Each request names the group and the node id that it is meant for. An address belongs to a seat, and the disk in
//! the seat may have been replaced: what was meant for the old disk must not reach the new one.

use std::time::Duration;

use api::replica::Replicas;
use api::{Address, ApiError, ErrorBody, LogPosition, NodeId, Ordinal, Term};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use service::http::{Client, ClientOptions, Outgoing, Payload};
use tokio::sync::watch;

use crate::engine::Vote;
use crate::log::Durable;
use crate::metrics::AppendMetrics;
use crate::peer_routes::{GROUP_HEADER, JOIN_PATH, PeerStatus, STAND_PATH, STATUS_PATH, TARGET_HEADER};
use crate::{ReplicaConfig, StartError, Timing, record};

/// No answer is longer: log ids, votes, a status with its voters, an error's text.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Why a peer gave no (good) answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum PeerError {
    #[error("seat {0} has no address")]
    NoAddress(Ordinal),
    #[error("seat {ordinal}: {what}")]
    Unreachable { ordinal: Ordinal, what: String },
    #[error("seat {ordinal} refuses: {error}")]
    Refused { ordinal: Ordinal, error: ApiError },
}

/// A vote that was refused: what a candidate learns from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// In which term the vote was asked for.
    pub(crate) asked: Term,
    /// The refuser's own vote.
    pub(crate) vote: Vote,
    /// Where its log ends.
    pub(crate) last_log: Option<LogPosition>,
}

/// The way to all peers. Clones share the connections.
#[derive(Clone)]
pub(crate) struct Peers {
    client: Client,
    addresses: watch::Receiver<Replicas>,
    pub(crate) timing: Timing,
    /// How much of this replica's own log is on its disk.
    pub(crate) durable: Durable,
    pub(crate) appends: AppendMetrics,
    pub(crate) refusals: watch::Sender<Option<Refusal>>,
}

impl Peers {
    pub(crate) fn new(config: &ReplicaConfig, durable: Durable, appends: AppendMetrics) -> Result<Self, StartError> {
        let group = HeaderValue::from_str(&config.group).map_err(|error| StartError::Config(error.to_string()))?;
        let client = Client::new(ClientOptions {
            connect_timeout: config.timing.connect,
            // A state transfer has no time-out as a whole; a peer that vanished without a word is noticed by these.
            keepalive: Some(config.timing.transfer_idle),
            token: config.token.clone(),
            headers: HeaderMap::from_iter([(HeaderName::from_static(GROUP_HEADER), group)]),
        });
        let client = client.map_err(|error| StartError::Config(format!("no HTTP client can be made: {error}")))?;
        let client = match &config.calls {
            Some(calls) => client.measured(calls, &config.group),
            None => client,
        };
        Ok(Self {
            client,
            addresses: config.peers.clone(),
            timing: config.timing,
            durable,
            appends,
            refusals: watch::Sender::new(None),
        })
    }

    /// The seats that have an address now.
    pub(crate) fn seats(&self) -> Vec<Ordinal> {
        self.addresses.borrow().keys().copied().collect()
    }

    /// The last vote that was refused to this replica.
    pub(crate) fn refusals(&self) -> watch::Receiver<Option<Refusal>> {
        self.refusals.subscribe()
    }

    /// What the replica in that seat tells about itself, whichever disk it has.
    pub(crate) async fn status(&self, seat: Ordinal) -> Result<PeerStatus, PeerError> {
        let request =
            Outgoing { method: Method::GET, ..outgoing(STATUS_PATH, Payload::Empty, Some(self.timing.question)) };
        decode(seat, &self.send(seat, request).await?)
    }

    /// Asks a replica to stand for election; returns when it has begun.
    pub(crate) async fn stand(&self, target: NodeId) -> Result<(), PeerError> {
        self.post(target, STAND_PATH, Bytes::new(), self.timing.question).await.map(drop)
    }

    /// Asks the replica in that seat, as the leader, to give `newcomer` its seat. Returns when that is committed.
    pub(crate) async fn join(&self, leader: Ordinal, newcomer: NodeId, patience: Duration) -> Result<(), PeerError> {
        let request = outgoing(JOIN_PATH, Payload::Whole(encode(&newcomer)), Some(patience));
        self.send(leader, request).await.map(drop)
    }

    pub(crate) async fn post(
        &self,
        target: NodeId,
        path: &'static str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, PeerError> {
        self.send(target.ordinal(), aimed(target, outgoing(path, Payload::Whole(body), Some(timeout)))).await
    }

    /// To whatever address the seat has now. If that changes meanwhile the request is given up and its connection closed: nobody may
    /// listen there any more, or somebody else.
    pub(crate) async fn send(&self, ordinal: Ordinal, request: Outgoing<'_>) -> Result<Bytes, PeerError> {
        let address: Address = self.addresses.borrow().get(&ordinal).cloned().ok_or(PeerError::NoAddress(ordinal))?;
        let unreachable = |what: String| PeerError::Unreachable { ordinal, what };
        let answer = tokio::select! {
            biased;
            answer = self.client.send(&address, request) => answer.map_err(|error| unreachable(error.to_string())),
            () = self.moved(ordinal, &address) => Err(unreachable(format!("it is at {address} no more"))),
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

impl Peers {
    /// Completes when the seat has another address than this one, or none.
    async fn moved(&self, ordinal: Ordinal, address: &Address) {
        let mut addresses = self.addresses.clone();
        if addresses.wait_for(|now| now.get(&ordinal) != Some(address)).await.is_err() {
            // A list that never changes.
            std::future::pending::<()>().await;
        }
    }
}

pub(crate) fn outgoing(path: &'static str, body: Payload, timeout: Option<Duration>) -> Outgoing<'static> {
    let (method, headers) = (Method::POST, HeaderMap::new());
    Outgoing { method, path, route: path, headers, body, timeout, answer_max: ANSWER_BYTES_MAX }
}

/// For one node alone, not for whoever sits in its seat now.
pub(crate) fn aimed(target: NodeId, mut request: Outgoing<'_>) -> Outgoing<'_> {
    request.headers.insert(TARGET_HEADER, HeaderValue::from(target.0));
    request
}

pub(crate) fn encode<T: Serialize>(message: &T) -> Bytes {
    record::encode(message).expect("a message to a peer can be encoded: it is plain data").into()
}

pub(crate) fn decode<T: DeserializeOwned>(ordinal: Ordinal, answer: &[u8]) -> Result<T, PeerError> {
    record::decode(answer)
        .map_err(|what| PeerError::Unreachable { ordinal, what: format!("its answer cannot be understood: {what}") })
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::metrics::Instruments;
    use crate::peer_routes::STATE_PATH;

    /// As when a node is lost with its pod: the old address takes connections, or packets, for ever and never answers.
    #[tokio::test]
    async fn a_request_to_an_address_that_a_seat_has_no_more_is_given_up() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::new("127.0.0.1", silent.local_addr().unwrap().port());
        let addresses = watch::Sender::new(Replicas::from([(Ordinal(2), address)]));
        let config = ReplicaConfig::new("test", Ordinal(1), "nowhere".into(), 3, addresses.subscribe());
        let appends = Instruments::register(&config.registry, &config.group).unwrap().appends;
        let peers = Peers::new(&config, Durable::of_everything(), appends).unwrap();
        // A state transfer has no time-out at all.
        let request = outgoing(STATE_PATH, Payload::Empty, None);
        let asked = async { peers.send(Ordinal(2), request).await };
        let moved = async {
            let (mut connection, _) = silent.accept().await.unwrap();
            assert!(connection.read_u8().await.is_ok(), "the request comes");
            addresses.send_modify(|addresses| _ = addresses.insert(Ordinal(2), Address::new("127.0.0.1", 1)));
            let mut rest = Vec::new();
            // Closed, in order or not.
            let _ = connection.read_to_end(&mut rest).await;
        };
        let (asked, ()) = tokio::join!(asked, moved);
        let error = asked.unwrap_err().to_string();
        assert!(error.contains("no more"), "{error}");
    }
}
