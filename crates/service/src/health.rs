//! The health paths: `/healthz`, `/readyz` and `/metrics`.
//!
//! Liveness is the process itself: an answer is proof enough, because a failed disk, a broken
//! invariant or a panic ends the process. Readiness is that of one replica alone. It never depends
//! on peers, otherwise one dead peer would take all of them out of service.
//!
//! Rendering the metrics takes a millisecond or more. Requests at the same time share one
//! rendering, and so do requests beyond four per second: they get metrics that may be a quarter of
//! a second old.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Registry, TextEncoder};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::lifecycle::Task;

/// The path that shows whether the process is alive.
pub const HEALTH: &str = "/healthz";

/// The path that shows whether the process is ready.
pub const READY: &str = "/readyz";

/// The path of the metrics.
pub const METRICS: &str = "/metrics";

/// The time between two renderings under many requests, and so the greatest age of the metrics.
const RENDER_EVERY: Duration = Duration::from_millis(250);

/// How many requests at once each get a fresh rendering: those of a few Prometheus servers and a
/// person.
const RENDER_BURST: u32 = 8;

/// Whether a process is ready for work, and if not, why not.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<Result<(), String>>>);

impl Readiness {
    /// Not ready yet, for this reason.
    pub fn not_yet(reason: impl Into<String>) -> Self {
        Self(Arc::new(watch::Sender::new(Err(reason.into()))))
    }

    /// Sets the process ready.
    pub fn ready(&self) {
        self.set(Ok(()));
    }

    /// Sets the process not ready, for this reason.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(Err(reason.into()));
    }

    /// Lets `update` keep this up to date until the task is stopped. From then on the process is
    /// not ready, because it stops.
    pub fn keep(&self, update: impl Future<Output = ()> + Send + 'static) -> Task {
        let readiness = self.clone();
        Task::spawn(async move |stop| {
            stop.run_until_cancelled(update).await;
            stop.cancelled().await;
            readiness.not_ready("stopping");
        })
    }

    /// Whether the process is ready, or why not.
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

/// The routes of the three paths.
pub fn routes(readiness: Readiness, registry: Registry) -> Router {
    let metrics = Arc::new(MetricsEndpoint::new(registry));
    Router::new()
        .route(HEALTH, get(async || healthz()))
        .route(READY, get(async |State(readiness): State<Readiness>| readyz(&readiness)).with_state(readiness))
        .route(
            METRICS,
            get(async |State(metrics): State<Arc<MetricsEndpoint>>| metrics.response().await).with_state(metrics),
        )
}

/// The response of [`HEALTH`].
pub fn healthz() -> Response {
    "ok\n".into_response()
}

/// The response of [`READY`].
pub fn readyz(readiness: &Readiness) -> Response {
    match readiness.state() {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")).into_response(),
    }
}

/// The metrics, and their last rendering.
#[derive(Debug)]
pub struct MetricsEndpoint {
    registry: Registry,
    last: Mutex<Option<Rendering>>,
}

#[derive(Debug)]
struct Rendering {
    text: Bytes,
    /// When the burst is available again (the generic cell rate algorithm, as in
    /// `http::refusal_throttle`).
    spent_until: Instant,
}

impl MetricsEndpoint {
    /// The metrics of `registry`.
    pub fn new(registry: Registry) -> Self {
        Self { registry, last: Mutex::default() }
    }

    /// The response of [`METRICS`].
    pub async fn response(&self) -> Response {
        match self.text().await {
            Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
            Err(error) => {
                tracing::error!(%error, "cannot encode the metrics");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }

    /// The current metrics, or those of up to [`RENDER_EVERY`] ago under many requests.
    async fn text(&self) -> prometheus::Result<Bytes> {
        let mut last = self.last.lock().await;
        let now = Instant::now();
        let burst = now + RENDER_EVERY * (RENDER_BURST - 1);
        if let Some(last) = last.as_ref().filter(|last| last.spent_until > burst) {
            return Ok(last.text.clone());
        }
        let text = Bytes::from(TextEncoder::new().encode_to_string(&self.registry.gather())?);
        let spent_until = last.as_ref().map_or(now, |last| last.spent_until.max(now)) + RENDER_EVERY;
        *last = Some(Rendering { text: text.clone(), spent_until });
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use prometheus::IntCounter;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_scrapes_share_renderings_that_are_at_most_a_quarter_of_a_second_old() {
        let (registry, scrapes) = (Registry::new(), IntCounter::new("scrapes", "help").unwrap());
        registry.register(Box::new(scrapes.clone())).unwrap();
        let metrics = MetricsEndpoint::new(registry);
        let mut renderings = std::collections::BTreeSet::new();
        for n in 0..1000 {
            scrapes.inc();
            let text = metrics.text().await.unwrap();
            let rendered =
                String::from_utf8_lossy(&text).lines().find_map(|line| line.strip_prefix("scrapes ")?.parse().ok());
            let rendered: u64 = rendered.expect("the counter is rendered");
            // One scrape every 10 ms.
            assert!(scrapes.get() - rendered <= 25, "{rendered} at {}", scrapes.get());
            assert!(n >= RENDER_BURST || rendered == scrapes.get(), "the first are fresh");
            renderings.insert(rendered);
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        let most = 1 + RENDER_BURST as usize + 40;
        assert!(renderings.len() <= most, "{} renderings in 10 s", renderings.len());
    }
}
