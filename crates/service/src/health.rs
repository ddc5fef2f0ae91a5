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
use prometheus::core::Collector;
use prometheus::{IntGauge, Opts, Registry, TextEncoder};
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

/// A registry with what every process tells: its build, and the operating system's view of it.
///
/// # Panics
/// Never: a fresh registry has no name twice.
pub fn registry(component: &str) -> Registry {
    let registry = Registry::new();
    let build = Opts::new("toystore_build_info", "Constant 1; the labels say which build and component this is")
        .const_label("version", env!("CARGO_PKG_VERSION"))
        .const_label("component", component);
    let build = registered(&registry, IntGauge::with_opts(build));
    build.set(1);
    #[cfg(target_os = "linux")]
    registered(&registry, Ok(Process(Arc::new(prometheus::process_collector::ProcessCollector::for_self()))));
    registry
}

/// The operating system's view of the process; cloned like every other metric.
#[derive(Clone)]
struct Process(Arc<prometheus::process_collector::ProcessCollector>);

impl Collector for Process {
    fn desc(&self) -> Vec<&prometheus::core::Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.0.collect()
    }
}

/// Registers a metric that was just made.
///
/// # Panics
/// If its name or labels are malformed or registered already: a bug, seen at start.
pub fn registered<M: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<M>) -> M {
    let metric = metric.expect("a metric is well-formed");
    registry.register(Box::new(metric.clone())).expect("a metric is registered once");
    metric
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
