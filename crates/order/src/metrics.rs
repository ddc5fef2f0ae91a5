//! What the order service tells about itself, as `toystore_order_…`.

use api::ErrorCode;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use service::metrics::{LATENCY_BUCKETS_S, registered};
use tokio::time::Instant;

/// What an order is refused with, apart from mistakes of ours.
const REFUSALS: [ErrorCode; 7] = [
    ErrorCode::NoSuchProduct,
    ErrorCode::OutOfStock,
    ErrorCode::IdempotencyKeyReused,
    ErrorCode::NotLeader,
    ErrorCode::Overloaded,
    ErrorCode::Unavailable,
    ErrorCode::InsufficientStorage,
];

/// How long orders spend in each stage.
#[derive(Clone, Debug)]
pub(crate) struct Phases {
    /// Until its batch is formed.
    pub(crate) queue: Histogram,
    /// Until the catalog has answered.
    pub(crate) reserve: Histogram,
    /// Until its batch is committed and applied.
    pub(crate) place: Histogram,
    /// A settlement that was sent alone.
    pub(crate) settle: Histogram,
}

/// The service's own metrics; clones count together.
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
    /// Registers them; once per registry.
    pub(crate) fn new(registry: &Registry) -> Self {
        let counter = |name, help| registered(registry, IntCounter::new(name, help));
        let histogram = |name, help, buckets: &[f64]| HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let batch_size = histogram(
            "toystore_order_batch_size_orders",
            "Orders in a batch that was sent to the catalog",
            &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0],
        );
        let take_over = histogram(
            "toystore_order_takeover_duration_seconds",
            "Time from leadership until this replica takes orders",
            LATENCY_BUCKETS_S,
        );
        let phases = histogram(
            "toystore_order_phase_duration_seconds",
            "Time that orders spend waiting for a batch, being reserved, being placed; and that settlements take",
            LATENCY_BUCKETS_S,
        );
        let phases = registered(registry, HistogramVec::new(phases, &["phase"]));
        let phase = |label| phases.with_label_values(&[label]);
        let refused = Opts::new("toystore_order_refused_total", "Orders that were answered with an error, by its code");
        let refused = registered(registry, IntCounterVec::new(refused, &["reason"]));
        for code in REFUSALS {
            refused.with_label_values(&[code.as_str()]);
        }
        Self {
            placed: counter("toystore_order_placed_total", "Orders that this replica has numbered as leader"),
            repeated: counter("toystore_order_repeated_total", "Orders that had their number already"),
            refused,
            queue_length: registered(
                registry,
                IntGauge::new("toystore_order_queue_length_orders", "Orders that wait for a batch"),
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

/// Counts what began at `begun` and ends now.
pub(crate) fn took(histogram: &Histogram, begun: Instant) {
    histogram.observe(begun.elapsed().as_secs_f64());
}
