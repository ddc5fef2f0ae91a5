//! What the load test tells while it runs, as `toystore_load_…`.

use std::io;
use std::net::{IpAddr, Ipv6Addr};

use prometheus::{Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};
use service::health::{self, Readiness};
use service::http::{Limits, Listener, serve};
use service::metrics::{LATENCY_BUCKETS_S, registered, registry};
use tokio_util::sync::CancellationToken;

use crate::load::{Kind, KindOutcome, Second};

/// What can become of a request; the label `outcome`.
const OUTCOMES: [&str; 6] = ["done", "sold_out", "refused", "other", "silent", "broken"];

/// Its metrics, brought up to date each second.
pub(super) struct LoadMetrics {
    registry: Registry,
    wanted: Gauge,
    kinds: Vec<(Kind, Histogram, [IntCounter; OUTCOMES.len()])>,
}

impl LoadMetrics {
    pub(super) fn new() -> Self {
        let registry = registry("load");
        let name = "toystore_load_request_duration_seconds";
        let help = "From when a request was due until its answer, or until it was given up";
        let latency =
            HistogramVec::new(HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS_S.to_vec()), &["request"]);
        let latency = registered(&registry, latency);
        let requests = Opts::new("toystore_load_requests_total", "Requests that are over, by what became of them");
        let requests = registered(&registry, IntCounterVec::new(requests, &["request", "outcome"]));
        let wanted = Gauge::new("toystore_load_wanted_visits_per_second", "The open loop's rate; 0 in a closed loop");
        let kinds = Kind::ALL.map(|kind| {
            let counter = |outcome| requests.with_label_values(&[kind.as_str(), outcome]);
            (kind, latency.with_label_values(&[kind.as_str()]), OUTCOMES.map(counter))
        });
        Self { wanted: registered(&registry, wanted), registry, kinds: kinds.to_vec() }
    }

    /// Answers `/metrics` on a port until `stop` is cancelled.
    pub(super) fn serve(&self, port: u16, stop: CancellationToken) -> io::Result<()> {
        let listener = Listener::bind(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)?;
        let readiness = Readiness::not_yet("a load test takes no work");
        readiness.ready();
        let routes = health::routes(readiness, self.registry.clone());
        tokio::spawn(serve(listener, routes, Limits::side_port(), stop));
        Ok(())
    }

    pub(super) fn second(&self, second: &Second) {
        self.wanted.set(second.wanted_per_s.unwrap_or(0.0));
        for (kind, latency, outcomes) in &self.kinds {
            let of_kind = second.outcome.of(*kind);
            observe(latency, of_kind);
            let KindOutcome { done, sold_out, refused, other, silent, broken, .. } = of_kind;
            let counts = [done.count() - sold_out, *sold_out, refused.count(), *other, *silent, *broken];
            outcomes.iter().zip(counts).for_each(|(outcome, count)| outcome.inc_by(count));
        }
    }
}

/// A second's latencies, to the three digits that they are known to.
#[expect(clippy::cast_precision_loss, reason = "microseconds are far below 2^53")]
fn observe(latency: &Histogram, of_kind: &KindOutcome) {
    let local = latency.local();
    for value in of_kind.waited.histogram().iter_recorded() {
        let seconds = value.value_iterated_to() as f64 / 1e6;
        (0..value.count_at_value()).for_each(|_| local.observe(seconds));
    }
    local.flush();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::testing::outcome;

    #[tokio::test]
    async fn seconds_add_up() {
        let metrics = LoadMetrics::new();
        let ms = Duration::from_millis;
        let outcome = outcome(Kind::Order, &[(3, ms(20))], &[(1, ms(6000))], 0, ms(1000));
        let second = Second { begin: ms(0), stage: 0, wanted_per_s: Some(4.0), outcome };
        (0..2).for_each(|_| metrics.second(&second));
        let text = prometheus::TextEncoder::new().encode_to_string(&metrics.registry.gather()).unwrap();
        for line in [
            "toystore_load_request_duration_seconds_bucket{request=\"order\",le=\"0.025\"} 6",
            "toystore_load_request_duration_seconds_count{request=\"order\"} 8",
            "toystore_load_requests_total{outcome=\"silent\",request=\"order\"} 2",
            "toystore_load_requests_total{outcome=\"done\",request=\"query\"} 0",
            "toystore_load_wanted_visits_per_second 4",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
