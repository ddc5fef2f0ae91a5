//! The metrics of the watches.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use service::metrics::registered;
use tokio::sync::watch;
use tokio::time::Instant;

/// The metrics of the watch of one group.
#[derive(Clone, Debug)]
pub(crate) struct WatchMetrics {
    /// How many replicas have an address.
    pub(crate) replicas: IntGauge,
    /// How often the list has changed.
    pub(crate) updates: IntCounter,
    /// Failed requests and broken watches, by reason.
    pub(crate) errors: IntCounterVec,
    /// 1 while the watch works.
    pub(crate) connected: IntGauge,
    age: Gauge,
    confirmed: watch::Sender<Instant>,
}

impl WatchMetrics {
    /// The metrics for `group`.
    ///
    /// # Panics
    /// Never: names and labels are well-formed.
    pub(crate) fn new(group: &str) -> Self {
        let options = |name: &str, help: &str| Opts::new(name, help).const_label("group", group);
        let gauge = |name, help| IntGauge::with_opts(options(name, help)).expect("well-formed");
        let counter = |name, help| IntCounter::with_opts(options(name, help)).expect("well-formed");
        let errors = options(
            "toystore_discovery_errors_total",
            "Failed requests to the Kubernetes API and broken watches, by reason",
        );
        let age = options(
            "toystore_discovery_age_seconds",
            "Time since the Kubernetes API last confirmed the list, or since the start if it never did",
        );
        Self {
            replicas: gauge("toystore_discovery_replicas", "Replicas of the group that have an address"),
            updates: counter("toystore_discovery_updates_total", "Changes of the group's list of addresses"),
            errors: IntCounterVec::new(errors, &["reason"]).expect("well-formed"),
            connected: gauge("toystore_discovery_connected", "1 while the watch of the Kubernetes API works, else 0"),
            age: Gauge::with_opts(age).expect("well-formed"),
            confirmed: watch::Sender::new(Instant::now()),
        }
    }

    /// # Panics
    /// If they are already registered.
    pub(crate) fn register(&self, registry: &Registry) {
        registered(registry, Ok(self.replicas.clone()));
        registered(registry, Ok(self.updates.clone()));
        registered(registry, Ok(self.errors.clone()));
        registered(registry, Ok(self.connected.clone()));
        registered(registry, Ok(Age { gauge: self.age.clone(), confirmed: self.confirmed.subscribe() }));
    }

    /// The API server has just confirmed the list.
    pub(crate) fn confirm(&self) {
        self.confirmed.send_replace(Instant::now());
    }
}

/// Computes the age when the metrics are collected.
#[derive(Clone)]
struct Age {
    gauge: Gauge,
    confirmed: watch::Receiver<Instant>,
}

impl Collector for Age {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gauge.set(self.confirmed.borrow().elapsed().as_secs_f64());
        self.gauge.collect()
    }
}
