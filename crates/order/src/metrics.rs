//! The metrics of the order service, `toystore_order_…`.

use api::ErrorCode;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use service::metrics::{LATENCY_BUCKETS_S, registered};
use tokio::time::Instant;

/// The error codes with which orders are refused, apart from internal errors.
const REFUSALS: [ErrorCode; 9] = [
    ErrorCode::NoSuchProduct,
    ErrorCode::OutOfStock,
    ErrorCode::IdempotencyKeyReused,
    ErrorCode::NotLeader,
    ErrorCode::Overloaded,
    ErrorCode::Unavailable,
    ErrorCode::InsufficientStorage,
    ErrorCode::StaleAttempt,
    ErrorCode::DataMismatch,
];

/// How long orders spend in each phase.
#[derive(Clone, Debug)]
pub(crate) struct Phases {
    /// Until the order's batch is formed.
    pub(crate) queue: Histogram,
    /// Until the catalog has answered.
    pub(crate) reserve: Histogram,
    /// Until the batch is committed and applied.
    pub(crate) place: Histogram,
    /// A settlement that was sent by itself.
    pub(crate) settle: Histogram,
}

/// The metrics of the service. Clones share their counts.
#[derive(Clone, Debug)]
pub(crate) struct OrderMetrics {
    pub(crate) placed: IntCounter,
    pub(crate) repeated: IntCounter,
    pub(crate) refused: IntCounterVec,
    pub(crate) queue_length: IntGauge,
    pub(crate) batch_size: Histogram,
    pub(crate) take_over: Histogram,
    pub(crate) phases: Phases,
}

impl OrderMetrics {
    /// Registers the metrics; call it once per registry.
    pub(crate) fn new(registry: &Registry) -> Self {
        let counter = |name, help| registered(registry, IntCounter::new(name, help));
        let histogram = |name, help, buckets: &[f64]| HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let batch_size = histogram(
            "toystore_order_batch_size_orders",
            "Orders per batch sent to the catalog",
            &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0],
        );
        let take_over = histogram(
            "toystore_order_takeover_duration_seconds",
            "Time from winning an election until this replica accepts orders",
            LATENCY_BUCKETS_S,
        );
        let phases = histogram(
            "toystore_order_phase_duration_seconds",
            "Time that orders spend in each phase: queue, reserve, place; and the duration of settlements",
            LATENCY_BUCKETS_S,
        );
        let phases = registered(registry, HistogramVec::new(phases, &["phase"]));
        let phase = |label| phases.with_label_values(&[label]);
        let refused = Opts::new("toystore_order_refused_total", "Order requests answered with an error, by error code");
        let refused = registered(registry, IntCounterVec::new(refused, &["reason"]));
        for code in REFUSALS {
            refused.with_label_values(&[code.as_str()]);
        }
        Self {
            placed: counter("toystore_order_placed_total", "Orders that this replica has placed as leader"),
            repeated: counter("toystore_order_repeated_total", "Order requests whose id already had a final answer"),
            refused,
            queue_length: registered(
                registry,
                IntGauge::new("toystore_order_queue_length_orders", "Orders waiting for a batch"),
            ),
            batch_size: registered(registry, Histogram::with_opts(batch_size)),
            take_over: registered(registry, Histogram::with_opts(take_over)),
            phases: Phases {
                queue: phase("queue"),
                reserve: phase("reserve"),
                place: phase("place"),
                settle: phase("settle"),
            },
        }
    }
}

/// Records the time since `begun`.
pub(crate) fn observe_since(histogram: &Histogram, begun: Instant) {
    histogram.observe(begun.elapsed().as_secs_f64());
}
