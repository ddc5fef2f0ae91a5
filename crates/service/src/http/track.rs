//! Latency per route, method and status.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use prometheus::{HistogramOpts, HistogramVec, Registry};

use crate::health::registered;

/// 100 µs (a cached product) to 5 s (the longest that a client ever waits), two to three per decade.
const BUCKETS_S: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Where requests are counted; one per process, however many ports it has.
#[derive(Clone, Debug)]
pub struct RequestMetrics(HistogramVec);

impl RequestMetrics {
    /// Registers `toystore_http_request_duration_seconds`.
    pub fn new(registry: &Registry) -> Self {
        let opts = HistogramOpts::new("toystore_http_request_duration_seconds", "Time to answer a request")
            .buckets(BUCKETS_S.to_vec());
        Self(registered(registry, HistogramVec::new(opts, &["route", "method", "status"])))
    }
}

/// Counts a request under its route's template: a label's values stay as few as the routes are.
pub(super) async fn track(State(metrics): State<RequestMetrics>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    metrics
        .0
        .with_label_values(&[route, known(method.as_str()), response.status().as_str()])
        .observe(begun.elapsed().as_secs_f64());
    response
}

/// A client may send any word as its method; it becomes no label.
fn known(method: &str) -> &str {
    match method {
        "GET" | "POST" | "DELETE" | "HEAD" | "PUT" | "PATCH" | "OPTIONS" => method,
        _ => "other",
    }
}
