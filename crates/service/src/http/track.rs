//! Latency per port, route, method and status, as the server sees it.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use prometheus::{Histogram, HistogramOpts, HistogramVec, Registry};

use crate::metrics::{LATENCY_BUCKETS_S, registered};
use crate::trace;

/// The port that shoppers use.
const PUBLIC: &str = "public";

/// Where requests are counted; one per process, however many ports it has.
#[derive(Clone, Debug)]
pub struct RequestMetrics(HistogramVec);

/// The same for one port.
#[derive(Clone, Debug)]
pub struct PortMetrics {
    requests: HistogramVec,
    port: &'static str,
}

impl RequestMetrics {
    /// Registers `toystore_http_request_duration_seconds`.
    pub fn new(registry: &Registry) -> Self {
        let opts = HistogramOpts::new("toystore_http_request_duration_seconds", "Time to answer a request");
        let opts = opts.buckets(LATENCY_BUCKETS_S.to_vec());
        Self(registered(registry, HistogramVec::new(opts, &["port", "route", "method", "status"])))
    }

    /// For the port that people know as `port`, such as `order-replication`. Two services may have the same route; what shoppers feel is
    /// told by `public` alone.
    pub fn port(&self, port: &'static str) -> PortMetrics {
        PortMetrics { requests: self.0.clone(), port }
    }
}

impl PortMetrics {
    /// Where requests are observed that have that answer, in seconds; for those that do not go through the router.
    pub fn answered(&self, route: &str, method: &str, status: StatusCode) -> Histogram {
        self.requests.with_label_values(&[self.port, route, known(method), status.as_str()])
    }
}

/// Counts a request under its route's template: a label's values stay as few as the routes are.
///
/// Costs 0.1 µs, two thirds of it for finding the series (`with_label_values`, measured in a loop); an answer from the cache takes about
/// a hundred times that.
pub(super) async fn track(State(metrics): State<PortMetrics>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let template = route.as_ref().map_or("none", MatchedPath::as_str);
    let response = if trace::is_on() {
        Box::pin(traced(metrics.port == PUBLIC, template, request, next)).await
    } else {
        next.run(request).await
    };
    metrics.answered(template, method.as_str(), response.status()).observe(begun.elapsed().as_secs_f64());
    response
}

/// Shoppers' requests begin a trace; others go on with theirs.
async fn traced(begins: bool, route: &str, request: Request, next: Next) -> Response {
    let span = trace::serve(request.headers(), request.method(), route, begins);
    let response = trace::within(span.as_ref(), next.run(request)).await;
    if let Some(span) = span {
        span.answered(response.status().as_u16());
    }
    response
}

/// A client may send any word as its method; it becomes no label.
fn known(method: &str) -> &str {
    match method {
        "GET" | "POST" | "DELETE" | "HEAD" | "PUT" | "PATCH" | "OPTIONS" => method,
        _ => "other",
    }
}
