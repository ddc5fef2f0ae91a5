//! `/healthz`, `/readyz` and `/metrics`.
//!
//! Liveness is the process itself: the answer is proof enough, since a failed disk, a broken invariant or a panic ends the
//! process. Readiness is one replica's own: it never asks whether peers are up, else one dead peer would take all of them out of service.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Registry, TextEncoder};
use tokio::sync::watch;

/// Whether a process may be sent work, and if not, why not.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<Result<(), String>>>);

impl Readiness {
    /// Not ready yet, for that reason.
    pub fn not_yet(reason: impl Into<String>) -> Self {
        Self(Arc::new(watch::Sender::new(Err(reason.into()))))
    }

    /// Ready from now on.
    pub fn ready(&self) {
        self.set(Ok(()));
    }

    /// Not ready from now on, for that reason.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(Err(reason.into()));
    }

    /// Whether it is ready, or why not.
    pub fn state(&self) -> Result<(), String> {
        self.0.borrow().clone()
    }

    fn set(&self, state: Result<(), String>) {
        self.0.send_if_modified(|old| {
            let changed = *old != state;
            *old = state;
            changed
        });
    }
}

/// The three paths.
pub fn routes(readiness: Readiness, registry: Registry) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(metrics).with_state(registry))
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    match readiness.state() {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")).into_response(),
    }
}

async fn metrics(State(registry): State<Registry>) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
