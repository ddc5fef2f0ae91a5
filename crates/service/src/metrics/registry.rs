//! The registry of a process, and how metrics get into it.

use prometheus::core::Collector;
use prometheus::{IntGauge, Opts, Registry};

use super::{process, runtime};

/// Histogram buckets, in seconds, for everything that a client waits for. The lowest is the time of
/// a cached product, the highest the time after which a request fails. With two to three buckets
/// per decade, `histogram_quantile` is wrong by the width of one bucket at most, and a histogram
/// has 16 series.
pub const LATENCY_BUCKETS_S: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// A registry with the metrics of every process: its build, what the operating system reports about
/// it, and its async runtime.
pub fn registry(component: &str) -> Registry {
    let registry = Registry::new();
    let build = Opts::new("toystore_build_info", "Constant 1, with the version and component as labels")
        .const_label("version", env!("CARGO_PKG_VERSION"))
        .const_label("component", component);
    let build = registered(&registry, IntGauge::with_opts(build));
    build.set(1);
    process::register(&registry);
    runtime::register(&registry);
    registry
}

/// Registers a new metric.
///
/// # Panics
/// If its name or labels are malformed or already registered, which is a bug that shows at the
/// start.
pub fn registered<M: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<M>) -> M {
    let metric = metric.expect("a metric is well-formed");
    registry.register(Box::new(metric.clone())).expect("a metric is registered only once");
    metric
}
