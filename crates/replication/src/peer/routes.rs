//! What a replica answers to its peers, on the replication port: the calls of
//! [`messages`](super::messages).
//!
//! Failures are the store's JSON error. A request for another group or another node id is refused,
//! and so is any message that openraft would never send: see [`validation`](super::validation).

use std::io;
use std::sync::Arc;

use api::{ApiError, ErrorCode, NodeId, Term};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::TryStreamExt;
use openraft::error::RaftError;
use openraft::storage::Snapshot;
use serde::Serialize;
use service::http::{ErrorResponse, RawBody, body_limit, guard};
use service::mutation::{self, Mutation};
use tokio::time::Instant;
use tokio_util::io::StreamReader;

use super::messages::{
    APPEND_PATH, GROUP_HEADER, JOIN_PATH, PROGRESS_PATH, STAND_PATH, STATE_PATH, STATUS_PATH, TARGET_HEADER, VOTE_PATH,
};
use super::state_transfer::{self, TransferError};
use super::validation;
use crate::codec;
use crate::consensus::checkpoint::CheckpointData;
use crate::consensus::types::Vote;
use crate::core::Core;
use crate::leadership::leader_contact::ReportedAges;
use crate::log::APPEND_BYTES_MAX;
use crate::machine::COMMAND_BYTES_MAX;
use crate::membership::error::JoinError;
use crate::membership::progress::ReplicaProgress;

/// The body of an append: entries up to the reader's bound, the one that exceeds it, and what is
/// around them.
const APPEND_BODY_BYTES_MAX: usize = APPEND_BYTES_MAX + COMMAND_BYTES_MAX + 64 * 1024;

pub(crate) fn routes(core: Arc<Core>) -> Router {
    let token = core.config.token.clone();
    let routes = Router::new()
        .route(APPEND_PATH, post(append).layer(body_limit(APPEND_BODY_BYTES_MAX)))
        .route(VOTE_PATH, post(vote))
        .route(STATE_PATH, post(state))
        .route(JOIN_PATH, post(join))
        .route(STAND_PATH, post(stand_for_election))
        .route(STATUS_PATH, get(status))
        .route(PROGRESS_PATH, get(progress))
        .layer(middleware::from_fn_with_state(Arc::clone(&core), only_for_this_node))
        .with_state(core);
    guard(routes, token)
}

async fn only_for_this_node(State(core): State<Arc<Core>>, request: Request, next: Next) -> Response {
    match check_target(&core, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

fn check_target(core: &Core, headers: &HeaderMap) -> Result<(), ErrorResponse> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let group = &core.config.group;
    if text(GROUP_HEADER) != Some(group) {
        return Err(ErrorResponse::new(ErrorCode::BadRequest, format!("this is a replica of the group {group}")));
    }
    match text(TARGET_HEADER) {
        Some(target) if target != core.node_id.0.to_string() => Err(ErrorResponse::new(
            ErrorCode::NotFound,
            format!("there is no node {target} here; this is {}", core.node_id),
        )),
        _ => Ok(()),
    }
}

fn disk_full() -> ErrorResponse {
    ErrorResponse::new(ErrorCode::InsufficientStorage, "this replica's disk is full")
}

async fn append(
    State(core): State<Arc<Core>>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Vec<u8>, ErrorResponse> {
    let request = valid(validation::append(&body))?;
    check_term(&core, &request.vote)?;
    let (leader, arrived) = (request.vote, Instant::now());
    core.note_leader_message(leader, ReportedAges::read(&headers));
    let answer = core.append_entries(request).await.map_err(|e| stopped(&e))?;
    // The leader may have given a slower one up.
    if arrived.elapsed() < core.config.timing.heartbeat / 2 {
        core.peers.contact.answered(leader, arrived);
    }
    encode(&answer.ok_or_else(disk_full)?)
}

async fn vote(State(core): State<Arc<Core>>, RawBody(body): RawBody) -> Result<Vec<u8>, ErrorResponse> {
    let mut request = valid(validation::vote(&body))?;
    check_term(&core, &request.vote)?;
    if mutation::active(Mutation::ElectShorterLog) {
        request.last_log_id = request.last_log_id.max(core.log.metadata().last);
    }
    let (candidate, last_log) = (request.vote.leader_id, request.last_log_id);
    // At the same time, since both may take most of the vote's timeout. A vote that is not sent is
    // as good as one that is lost on its way.
    let (answer, may_elect) = tokio::join!(core.raft.vote(request), core.may_elect(last_log));
    let answer = answer.map_err(|e| stopped(&e))?;
    if answer.vote_granted && !may_elect {
        return Err(ErrorResponse::new(ErrorCode::Unavailable, "another replica that answers has a longer log"));
    }
    if let (true, Some(node_id)) = (answer.vote_granted, candidate.voted_for) {
        core.peers.progress.learn(&ReplicaProgress::voted(node_id, candidate.term));
    }
    encode(&answer)
}

async fn state(State(core): State<Arc<Core>>, body: Body) -> Result<Vec<u8>, ErrorResponse> {
    // One at a time. A second one can only be from a new leader, which tries again.
    let Ok(_permit) = core.receiving.try_acquire() else {
        return Err(ErrorResponse::new(ErrorCode::Overloaded, "this replica is receiving a state already"));
    };
    let body = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    let received = tokio::select! {
        biased;
        () = core.disk_space.exhausted() => {
            return Err(disk_full());
        }
        received = state_transfer::receive(body, &core.config.data_dir, core.config.timing.transfer_idle) => received,
    };
    let (header, file) = received.map_err(|error| {
        let reason = match error {
            TransferError::Disk(_) => ErrorCode::Unavailable,
            TransferError::Idle(_) | TransferError::Cut(_) | TransferError::Garbled(_) => ErrorCode::BadRequest,
        };
        tracing::warn!(%error, "receiving a state failed");
        ErrorResponse::new(reason, error.to_string())
    })?;
    check_term(&core, &header.vote)?;
    let snapshot = Snapshot { meta: header.meta, snapshot: Box::new(CheckpointData::Received(file)) };
    let response = core.raft.install_full_snapshot(header.vote, snapshot).await;
    encode(&response.map_err(|error| ErrorResponse::new(ErrorCode::Unavailable, error.to_string()))?.vote)
}

async fn join(State(core): State<Arc<Core>>, RawBody(body): RawBody) -> Result<(), ErrorResponse> {
    let joining: NodeId = valid(codec::decode(&body))?;
    core.join(joining).await.map_err(|error| match error {
        JoinError::NotLeader { leader } => ErrorResponse(ApiError::not_leader(leader.map(NodeId::ordinal))),
        JoinError::OrdinalTaken { .. } => ErrorResponse::new(ErrorCode::OrdinalTaken, error.to_string()),
        JoinError::Busy
        | JoinError::Absent(_)
        | JoinError::Behind { .. }
        | JoinError::NoLivingMajority { .. }
        | JoinError::MajorityLost { .. }
        | JoinError::Engine(_) => ErrorResponse::new(ErrorCode::Unavailable, error.to_string()),
    })
}

async fn stand_for_election(State(core): State<Arc<Core>>) -> Result<(), ErrorResponse> {
    Ok(core.campaign_limit.run(|| core.term(), core.stand_for_election(None)).await?)
}

async fn status(State(core): State<Arc<Core>>) -> Result<Vec<u8>, ErrorResponse> {
    encode(&core.peer_status())
}

async fn progress(State(core): State<Arc<Core>>) -> Result<Vec<u8>, ErrorResponse> {
    encode(&core.peers.progress.all())
}

fn check_term(core: &Core, vote: &Vote) -> Result<(), ErrorResponse> {
    valid(validation::check_plausible_term(core.term(), Term(vote.leader_id.term)))
}

fn valid<T>(message: Result<T, String>) -> Result<T, ErrorResponse> {
    message
        .map_err(|what| ErrorResponse::new(ErrorCode::BadRequest, format!("not a valid message to a replica: {what}")))
}

fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, ErrorResponse> {
    codec::encode(message).map_err(|what| ErrorResponse::new(ErrorCode::Internal, format!("the answer {what}")))
}

fn stopped(error: &RaftError<NodeId>) -> ErrorResponse {
    ErrorResponse::new(ErrorCode::Unavailable, error.to_string())
}
