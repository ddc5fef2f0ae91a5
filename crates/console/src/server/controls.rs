//! `POST /api/control`: does what a person clicked.

use std::sync::Arc;

use api::{Data, Empty, ErrorCode};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use service::http::{ErrorResponse, read_json};
use tokio::sync::{Mutex, Semaphore, mpsc};

use super::{ConsoleServer, security};
use crate::control::{Control, ControlError, StoreControls};
use crate::hub::now_us;

/// The longest control, in bytes.
const CONTROL_BYTES_MAX: usize = 4096;

/// The most controls that wait for their turn.
const WAITING_MAX: usize = 16;

/// Carries controls out, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct ControlDesk {
    controls: Arc<dyn StoreControls>,
    /// Where clicks are shown, with their times.
    clicked: mpsc::Sender<(Control, u64)>,
    turn: Arc<Mutex<()>>,
    waiting: Arc<Semaphore>,
}

impl ControlDesk {
    pub(crate) fn new(controls: Arc<dyn StoreControls>, clicked: mpsc::Sender<(Control, u64)>) -> Self {
        Self { controls, clicked, turn: Arc::default(), waiting: Arc::new(Semaphore::new(WAITING_MAX)) }
    }

    /// Waits for its turn, and carries a control out.
    async fn perform(self, control: Control) -> Result<(), ControlError> {
        let _turn = self.turn.lock().await;
        // A full queue of clicks only means that this one is not shown.
        let _ = self.clicked.try_send((control.clone(), now_us()));
        self.controls.perform(control).await
    }
}

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
    let Ok(permit) = Arc::clone(&desk.waiting).try_acquire_owned() else {
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
