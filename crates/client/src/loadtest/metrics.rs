//! The metrics of a running load test, `toystore_load_…`.

use std::io;
use std::net::{IpAddr, Ipv6Addr};

use prometheus::{Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};
use service::health::{self, Readiness};
use service::http::{Limits, Listener, serve};
use service::lifecycle::Task;
use service::metrics::{LATENCY_BUCKETS_S, registered, registry};
use workload::load::LoadInterval;
use workload::{RequestKind, RequestStats};

/// The values of the label `outcome`.
const OUTCOMES: [&str; 6] = ["done", "sold_out", "refused", "other", "timed_out", "connection_error"];

/// The metrics, updated every second.
pub(super) struct LoadMetrics {
    registry: Registry,
    wanted: Gauge,
    kinds: Vec<(RequestKind, Histogram, [IntCounter; OUTCOMES.len()])>,
}

impl LoadMetrics {
    pub(super) fn new() -> Self {
        let registry = registry("load");
        let name = "toystore_load_request_duration_seconds";
        let help = "Time from when a request was due until its response, or until its timeout";
        let latency =
            HistogramVec::new(HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS_S.to_vec()), &["request"]);
        let latency = registered(&registry, latency);
        let requests = Opts::new("toystore_load_requests_total", "Finished requests, by outcome");
        let requests = registered(&registry, IntCounterVec::new(requests, &["request", "outcome"]));
        let help = "Rate of visits that the load test is to send; 0 in a closed loop";
        let wanted = Gauge::new("toystore_load_wanted_visits_per_second", help);
        let kinds = RequestKind::OF_A_VISIT.map(|kind| {
            let counter = |outcome| requests.with_label_values(&[kind.as_str(), outcome]);
            (kind, latency.with_label_values(&[kind.as_str()]), OUTCOMES.map(counter))
        });
        Self { wanted: registered(&registry, wanted), registry, kinds: kinds.to_vec() }
    }

    /// Serves `/metrics` on a port until the task is stopped.
    pub(super) fn serve(&self, port: u16) -> io::Result<Task> {
        let listener = Listener::bind(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)?;
        let readiness = Readiness::not_yet("a load test serves no requests");
        readiness.ready();
        let routes = health::routes(readiness, self.registry.clone());
        Ok(serve(listener, routes, Limits::side_port()))
    }

    pub(super) fn record(&self, interval: &LoadInterval) {
        self.wanted.set(interval.wanted_per_s.unwrap_or(0.0));
        for (kind, latency, counters) in &self.kinds {
            let request_stats = interval.stats.of(*kind);
            observe(latency, request_stats);
            let RequestStats { done, sold_out, refused, other, timed_out, connection_errors, .. } = request_stats;
            let counts = [done.count() - sold_out, *sold_out, refused.count(), *other, *timed_out, *connection_errors];
            counters.iter().zip(counts).for_each(|(counter, count)| counter.inc_by(count));
        }
    }
}

/// Adds the latencies of one interval, with their three significant digits.
#[expect(clippy::cast_precision_loss, reason = "microseconds are far below 2^53")]
fn observe(latency: &Histogram, request_stats: &RequestStats) {
    let local = latency.local();
    for value in request_stats.waited.histogram().iter_recorded() {
        let seconds = value.value_iterated_to() as f64 / 1e6;
        (0..value.count_at_value()).for_each(|_| local.observe(seconds));
    }
    local.flush();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::loadtest::testing::stats;

    #[tokio::test]
    async fn intervals_add_up() {
        let metrics = LoadMetrics::new();
        let ms = Duration::from_millis;
        let stats = stats(RequestKind::Order, &[(3, ms(20))], &[(1, ms(6000))], 0, ms(1000));
        let interval = LoadInterval { begin: ms(0), stage: 0, wanted_per_s: Some(4.0), stats };
        (0..2).for_each(|_| metrics.record(&interval));
        let text = prometheus::TextEncoder::new().encode_to_string(&metrics.registry.gather()).unwrap();
        for line in [
            "toystore_load_request_duration_seconds_bucket{request=\"order\",le=\"0.025\"} 6",
            "toystore_load_request_duration_seconds_count{request=\"order\"} 8",
            "toystore_load_requests_total{outcome=\"timed_out\",request=\"order\"} 2",
            "toystore_load_requests_total{outcome=\"done\",request=\"query\"} 0",
            "toystore_load_wanted_visits_per_second 4",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
