//! What every process measures, and how the services add to it.
//!
//! A process has one [`registry`], served under `/metrics`. Names are `toystore_<subsystem>_<what>_<unit>`; what the operating system
//! tells keeps the names that Prometheus's own client libraries give it (`process_…`).
//!
//! Rules that keep it cheap and small:
//! * A label has as many values as the code has words for it: route templates, error codes, phases. Nothing that a client sends becomes
//!   a label. The one exception is the product in `toystore_catalog_stock_pieces`, and the catalog bounds the number of products.
//! * Whatever can be read at a scrape (positions, queues, the runtime) is read at a scrape, and costs nothing in between.
//! * A series that stands for an event is there with 0 before the first one: `increase()` would not see an event that makes its series.

mod process;
mod runtime;

use prometheus::core::Collector;
use prometheus::{IntGauge, Opts, Registry};

/// Buckets for everything that a shopper waits for. The lowest is a cached product; the highest is the longest that anybody is kept
/// waiting before the answer is an error. Two to three per decade: `histogram_quantile` is wrong by the width of one bucket at most,
/// and a histogram stays at 16 series.
pub const LATENCY_BUCKETS_S: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// A registry with what every process tells: its build, the operating system's view of it, and the async runtime's.
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
    process::register(&registry);
    runtime::register(&registry);
    registry
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
