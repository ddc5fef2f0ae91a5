//! `POST /api/control`: does what a person clicked.

use api::{Data, Empty, ErrorCode};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use service::http::{ErrorResponse, read_json};

use super::desk::WAITING_MAX;
use super::security;
use super::state::ConsoleServer;
use crate::control::{Control, ControlError};

/// The longest control, in bytes.
const CONTROL_BYTES_MAX: usize = 4096;

/// Handles `POST /api/control`.
pub(super) async fn control(State(server): State<ConsoleServer>, request: Request) -> Response {
    let Some(desk) = server.controls else {
        let what = "this console only shows the store: `toystore up` on this machine also controls it";
        return security::failure(StatusCode::NOT_FOUND, "not_found", what);
    };
    if let Some(refusal) = security::refuse_control(request.headers()) {
        return refusal;
    }
    let control: Control = match read_json(request, CONTROL_BYTES_MAX).await {
        Ok(control) => control,
        Err(failure) => return failure.into_response(),
    };
    let Some(permit) = desk.queue() else {
        let what = format!("{WAITING_MAX} controls wait already; wait until they are done");
        return ErrorResponse::new(ErrorCode::Overloaded, what).into_response();
    };
    // In a task: a page that is closed must not leave a fault half injected.
    let done = tokio::spawn(async move {
        let _permit = permit;
        desk.perform(control).await
    });
    match done.await {
        Ok(Ok(())) => Json(Data::new(Empty {})).into_response(),
        Ok(Err(ControlError::Invalid(what))) => security::failure(StatusCode::BAD_REQUEST, "bad_request", &what),
        Ok(Err(ControlError::Failed(what))) => {
            security::failure(StatusCode::INTERNAL_SERVER_ERROR, "control_failed", &what)
        }
        Err(error) => {
            security::failure(StatusCode::INTERNAL_SERVER_ERROR, "control_failed", &format!("it was ended: {error}"))
        }
    }
}
