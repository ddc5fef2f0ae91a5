//! What a replica answers on its service's port: who it is, that it may stand for election, and that a seat is to go.

use std::sync::Arc;
use std::time::Duration;

use api::replica::{ELECTION_PATH, ReplicaStatus, SEAT_ROUTE, STATUS_PATH, StandForElection};
use api::{ErrorCode, Ordinal};
use axum::Router;
use axum::extract::State;
use axum::routing::{delete, get, post};
use service::http::{Body, Failure, PathParam, Reply, data};

use crate::core::Core;

/// An engine that does not answer within this is stuck on its disk: it can neither lead nor vote.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) fn routes(core: Arc<Core>) -> Router {
    Router::new()
        .route(STATUS_PATH, get(status))
        .route(ELECTION_PATH, post(election))
        .route(SEAT_ROUTE, delete(remove))
        .with_state(core)
}

/// Goes through the engine, since what it last published outlives it.
async fn status(State(core): State<Arc<Core>>) -> Reply<ReplicaStatus> {
    match tokio::time::timeout(PROBE_TIMEOUT, core.probe()).await {
        Ok(Ok(())) => data(core.status()),
        Ok(Err(error)) => Err(Failure::new(ErrorCode::Unavailable, error.to_string())),
        Err(_) => Err(Failure::new(ErrorCode::Unavailable, "the consensus engine does not answer")),
    }
}

async fn election(State(core): State<Arc<Core>>, Body(request): Body<StandForElection>) -> Reply<ReplicaStatus> {
    core.stand(Some(request.surveyed))
        .await
        .map_err(|error| Failure::new(ErrorCode::Unavailable, error.to_string()))?;
    data(core.status())
}

async fn remove(State(core): State<Arc<Core>>, PathParam(seat): PathParam<Ordinal>) -> Reply<ReplicaStatus> {
    core.remove_seat(seat).await.map_err(api::ApiError::from)?;
    data(core.status())
}
