//! What a replica answers to its peers, on the replication port.
//!
//! | call | body → answer (a [`record`] each) |
//! |---|---|
//! | `POST /replication/append` | entries or a heartbeat → success, conflict, or a higher vote |
//! | `POST /replication/vote` | a candidate's vote → granted or not |
//! | `POST /replication/state` | a [`transfer`] → this replica's vote, when it is installed |
//! | `POST /replication/join` | a node id → nothing, when it has its seat. Leader only, else 421; 409 if the seat's replica is alive |
//! | `POST /replication/stand` | nothing → nothing, when this replica has begun to stand for election |
//! | `GET /replication/status` | [`PeerStatus`] |
//!
//! Failures are the store's JSON error. A request for another group, or for a node id that is not this one, is refused. So is what no
//! engine would send: see [`peer_message`](crate::peer_message).

use std::io;
use std::sync::Arc;

use api::replica::ReplicaStatus;
use api::{ApiError, ErrorCode, NodeId};
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::HeaderMap;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::TryStreamExt;
use openraft::error::RaftError;
use openraft::storage::Snapshot;
use serde::{Deserialize, Serialize};
use service::http::{Failure, RawBody, guard};
use service::mutation::{self, Mutation};
use tokio_util::io::StreamReader;

use crate::checkpoint::Checkpoint;
use crate::core::Core;
use crate::membership::JoinError;
use crate::transfer::{self, TransferError};
use crate::{COMMAND_BYTES_MAX, log, peer_message, record};

pub(crate) const APPEND_PATH: &str = "/replication/append";
pub(crate) const VOTE_PATH: &str = "/replication/vote";
pub(crate) const STATE_PATH: &str = "/replication/state";
pub(crate) const JOIN_PATH: &str = "/replication/join";
pub(crate) const STAND_PATH: &str = "/replication/stand";
pub(crate) const STATUS_PATH: &str = "/replication/status";

/// Which group a request is meant for.
pub(crate) const GROUP_HEADER: &str = "x-replication-group";
/// Which node it is meant for, where that matters.
pub(crate) const TARGET_HEADER: &str = "x-replication-target";

/// An append: entries up to the reader's bound, the one that went over it, and what is around them.
const APPEND_BODY_BYTES_MAX: usize = log::APPEND_BYTES_MAX + COMMAND_BYTES_MAX + 64 * 1024;

/// What a replica tells its peers about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerStatus {
    pub(crate) status: ReplicaStatus,
    /// It had a log once and lost it: it may join, but not found.
    pub(crate) lost_a_log: bool,
    /// Who receives the log without a vote: those who are being seated, if it leads.
    pub(crate) learners: Vec<NodeId>,
    /// It receives a state, or installs it.
    pub(crate) receiving: bool,
}

pub(crate) fn routes(core: Arc<Core>) -> Router {
    let token = core.config.token.clone();
    let routes = Router::new()
        .route(APPEND_PATH, post(append).layer(DefaultBodyLimit::max(APPEND_BODY_BYTES_MAX)))
        .route(VOTE_PATH, post(vote))
        .route(STATE_PATH, post(state).layer(DefaultBodyLimit::disable()))
        .route(JOIN_PATH, post(join))
        .route(STAND_PATH, post(stand))
        .route(STATUS_PATH, get(status))
        .layer(middleware::from_fn_with_state(Arc::clone(&core), meant_for_us))
        .with_state(core);
    guard(routes, token)
}

async fn meant_for_us(State(core): State<Arc<Core>>, request: Request, next: Next) -> Response {
    match check_target(&core, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

fn check_target(core: &Core, headers: &HeaderMap) -> Result<(), Failure> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let group = &core.config.group;
    if text(GROUP_HEADER) != Some(group) {
        return Err(Failure::new(ErrorCode::BadRequest, format!("this is a replica of the group {group}")));
    }
    match text(TARGET_HEADER) {
        Some(target) if target != core.node_id.0.to_string() => {
            Err(Failure::new(ErrorCode::NotFound, format!("there is no node {target} here; this is {}", core.node_id)))
        }
        _ => Ok(()),
    }
}

fn disk_full() -> Failure {
    Failure::new(ErrorCode::InsufficientStorage, "this replica's disk is full")
}

async fn append(State(core): State<Arc<Core>>, RawBody(body): RawBody) -> Result<Vec<u8>, Failure> {
    let request = understand(peer_message::append(&body))?;
    let taken = core.append_entries(request).await.map_err(|e| stopped(&e))?;
    answer(&taken.ok_or_else(disk_full)?)
}

async fn vote(State(core): State<Arc<Core>>, RawBody(body): RawBody) -> Result<Vec<u8>, Failure> {
    let mut request = understand(peer_message::vote(&body))?;
    if mutation::active(Mutation::ElectShorterLog) {
        request.last_log_id = request.last_log_id.max(core.log.head().last);
    }
    answer(&core.raft.vote(request).await.map_err(|e| stopped(&e))?)
}

async fn state(State(core): State<Arc<Core>>, body: Body) -> Result<Vec<u8>, Failure> {
    // One at a time: a second one could only be a new leader's, which tries again.
    let Ok(_turn) = core.receiving.try_acquire() else {
        return Err(Failure::new(ErrorCode::Overloaded, "this replica is receiving a state already"));
    };
    let body = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    let received = tokio::select! {
        biased;
        () = core.room.runs_out() => {
            return Err(disk_full());
        }
        received = transfer::receive(body, &core.config.data_dir, core.config.timing.transfer_idle) => received,
    };
    let (header, file) = received.map_err(|error| {
        let kind = match error {
            TransferError::Disk(_) => ErrorCode::Unavailable,
            TransferError::Idle(_) | TransferError::Cut(_) | TransferError::Garbled(_) => ErrorCode::BadRequest,
        };
        tracing::warn!(%error, "a state was not received");
        Failure::new(kind, error.to_string())
    })?;
    let snapshot = Snapshot { meta: header.meta, snapshot: Box::new(Checkpoint::Received(file)) };
    let response = core.raft.install_full_snapshot(header.vote, snapshot).await;
    answer(&response.map_err(|error| Failure::new(ErrorCode::Unavailable, error.to_string()))?.vote)
}

async fn join(State(core): State<Arc<Core>>, RawBody(body): RawBody) -> Result<(), Failure> {
    let newcomer: NodeId = understand(record::decode(&body))?;
    core.seat(newcomer).await.map_err(|error| match error {
        JoinError::NotLeader { leader } => Failure(ApiError::not_leader(leader.map(NodeId::ordinal))),
        JoinError::Taken { .. } => Failure::new(ErrorCode::SeatTaken, error.to_string()),
        JoinError::Busy | JoinError::Behind { .. } | JoinError::Engine(_) => {
            Failure::new(ErrorCode::Unavailable, error.to_string())
        }
    })
}

async fn stand(State(core): State<Arc<Core>>) -> Result<(), Failure> {
    core.stand(None).await.map_err(|error| Failure::new(ErrorCode::Unavailable, error.to_string()))
}

async fn status(State(core): State<Arc<Core>>) -> Result<Vec<u8>, Failure> {
    answer(&core.peer_status())
}

fn understand<T>(message: Result<T, String>) -> Result<T, Failure> {
    message.map_err(|what| Failure::new(ErrorCode::BadRequest, format!("this is no message to a replica: {what}")))
}

fn answer<T: Serialize>(message: &T) -> Result<Vec<u8>, Failure> {
    record::encode(message).map_err(|what| Failure::new(ErrorCode::Internal, format!("the answer {what}")))
}

fn stopped(error: &RaftError<NodeId>) -> Failure {
    Failure::new(ErrorCode::Unavailable, error.to_string())
}
