//! Latency of requests to other processes as the client sees it: with the network, the queue of the
//! other side, and the outcome.
//!
//! The other side's `toystore_http_request_duration_seconds` shows its own share of this time. The
//! difference was spent in between.

use axum::http::StatusCode;
use prometheus::{HistogramOpts, HistogramVec, Registry};
use tokio::time::Instant;

use super::client_request::SendError;
use crate::metrics::{LATENCY_BUCKETS_S, registered};

/// The metrics of all requests that this process sends.
#[derive(Clone, Debug)]
pub struct ClientMetrics(HistogramVec);

impl ClientMetrics {
    /// Registers `toystore_http_client_request_duration_seconds`.
    pub fn new(registry: &Registry) -> Self {
        let opts = HistogramOpts::new(
            "toystore_http_client_request_duration_seconds",
            "Time until a request to another process was answered, failed, or was abandoned by its caller",
        );
        let opts = opts.buckets(LATENCY_BUCKETS_S.to_vec());
        Self(registered(registry, HistogramVec::new(opts, &["target", "route", "outcome"])))
    }

    /// Starts the timer of one request.
    pub(super) fn begin<'a>(&'a self, target: &'a str, route: &'static str) -> ClientRequestTimer<'a> {
        ClientRequestTimer { metrics: self, target, route, begun: Instant::now(), outcome: "abandoned" }
    }
}

/// One request in flight. If it is dropped before it ends, it counts as abandoned: for a new
/// leader, or at the caller's deadline.
#[derive(Debug)]
pub(super) struct ClientRequestTimer<'a> {
    metrics: &'a ClientMetrics,
    target: &'a str,
    route: &'static str,
    begun: Instant,
    outcome: &'static str,
}

impl ClientRequestTimer<'_> {
    /// Records the outcome.
    pub(super) fn ended<T>(mut self, response: Result<&(StatusCode, T), &SendError>) {
        self.outcome = match response {
            Ok((status, _)) => class(*status),
            Err(SendError::Unreachable(_) | SendError::NotListening(_)) => "unreachable",
            Err(SendError::TimedOut) => "timeout",
            Err(SendError::Broken(_)) => "broken",
        };
    }
}

impl Drop for ClientRequestTimer<'_> {
    fn drop(&mut self) {
        let Self { metrics, target, route, begun, outcome } = self;
        metrics.0.with_label_values(&[*target, *route, *outcome]).observe(begun.elapsed().as_secs_f64());
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn counted(metrics: &ClientMetrics, outcome: &str) -> (u64, f64) {
        let histogram = metrics.0.with_label_values(&["order", "/orders/{number}", outcome]);
        (histogram.get_sample_count(), histogram.get_sample_sum())
    }

    #[tokio::test(start_paused = true)]
    async fn each_outcome_is_counted_separately() {
        let metrics = ClientMetrics::new(&Registry::new());
        let begin = || metrics.begin("order", "/orders/{number}");
        begin().ended(Ok(&(StatusCode::NOT_FOUND, ())));
        begin().ended::<()>(Err(&SendError::TimedOut));
        let abandoned = begin();
        tokio::time::advance(Duration::from_millis(250)).await;
        drop(abandoned);
        for (outcome, known) in [("2xx", (0, 0.0)), ("4xx", (1, 0.0)), ("timeout", (1, 0.0)), ("abandoned", (1, 0.25))]
        {
            assert_eq!(counted(&metrics, outcome), known, "{outcome}");
        }
    }
}
