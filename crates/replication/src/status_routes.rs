//! What a replica answers on its service's internal port: its status, requests to stand for
//! election, and requests to remove a member.

use std::sync::Arc;
use std::time::Duration;

use api::replica::{ELECTION_PATH, MEMBER_ROUTE, MEMBERS_MAX, ReplicaStatus, STATUS_PATH, StandForElection};
use api::{ErrorCode, Ordinal};
use axum::Router;
use axum::extract::State;
use axum::routing::{delete, get, post};
use serde::Deserialize;
use service::events;
use service::http::{ErrorResponse, HandlerResult, JsonBody, PathParam, QueryParams, data};

use crate::core::Core;
use crate::peer::validation::check_plausible_term;

/// The time within which openraft must answer. If it does not, it is stuck on its disk and can
/// neither lead nor vote.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) fn routes(core: Arc<Core>) -> Router {
    Router::new()
        .route(STATUS_PATH, get(status))
        .route(ELECTION_PATH, post(election))
        .route(MEMBER_ROUTE, delete(remove))
        .with_state(core)
        .merge(events::routes())
}

/// The query of a status request.
#[derive(Debug, Deserialize)]
struct StatusQuery {
    /// A frontend that watches the leader sets this; see
    /// [`LeaderContact::asked_ms`](api::replica::LeaderContact::asked_ms).
    #[serde(default)]
    watching: bool,
}

/// Asks openraft first: what it last published outlives it.
async fn status(
    State(core): State<Arc<Core>>,
    QueryParams(query): QueryParams<StatusQuery>,
) -> HandlerResult<ReplicaStatus> {
    if query.watching {
        core.peers.contact.asked();
    }
    match tokio::time::timeout(PROBE_TIMEOUT, core.probe()).await {
        Ok(Ok(())) => data(core.status()),
        Ok(Err(error)) => Err(ErrorResponse::new(ErrorCode::Unavailable, error.to_string())),
        Err(_) => Err(ErrorResponse::new(ErrorCode::Unavailable, "the consensus engine does not answer")),
    }
}

async fn election(
    State(core): State<Arc<Core>>,
    JsonBody(request): JsonBody<StandForElection>,
) -> HandlerResult<ReplicaStatus> {
    check_plausible_term(core.term(), request.polled_term)
        .map_err(|what| ErrorResponse::new(ErrorCode::BadRequest, what))?;
    core.campaign_limit.run(|| core.term(), core.stand_for_election(Some(request))).await?;
    data(core.status())
}

async fn remove(State(core): State<Arc<Core>>, PathParam(ordinal): PathParam<Ordinal>) -> HandlerResult<ReplicaStatus> {
    if !(1..=MEMBERS_MAX).contains(&ordinal.0) {
        return Err(ErrorResponse::new(
            ErrorCode::BadRequest,
            format!("there is no replica {ordinal}: replicas are numbered 1 to {MEMBERS_MAX}"),
        ));
    }
    core.remove_member(ordinal).await.map_err(api::ApiError::from)?;
    data(core.status())
}
