//! What the watches tell Prometheus.

use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use service::metrics::registered;
use tokio::sync::watch;
use tokio::time::Instant;

/// About the watch of one group.
#[derive(Clone, Debug)]
pub(crate) struct WatchMetrics {
    /// Replicas that have an address.
    pub(crate) replicas: IntGauge,
    /// Changes of the list.
    pub(crate) updates: IntCounter,
    /// Requests that failed and watches that broke, by reason.
    pub(crate) errors: IntCounterVec,
    /// 1 while the API server answers.
    pub(crate) connected: IntGauge,
    age: Gauge,
    heard: watch::Sender<Instant>,
}

impl WatchMetrics {
    /// For the group of that name.
    ///
    /// # Panics
    /// Never: names and labels are well-formed.
    pub(crate) fn new(group: &str) -> Self {
        let options = |name: &str, help: &str| Opts::new(name, help).const_label("group", group);
        let gauge = |name, help| IntGauge::with_opts(options(name, help)).expect("well-formed");
        let counter = |name, help| IntCounter::with_opts(options(name, help)).expect("well-formed");
        let errors = options(
            "toystore_discovery_errors_total",
            "Requests to the Kubernetes API that failed and watches that broke, by reason",
        );
        let age = options(
            "toystore_discovery_age_seconds",
            "Time since the Kubernetes API last confirmed the list; since the start, if it never did",
        );
        Self {
            replicas: gauge("toystore_discovery_replicas", "Replicas of the group that have an address"),
            updates: counter("toystore_discovery_updates_total", "Changes of the group's list of addresses"),
            errors: IntCounterVec::new(errors, &["reason"]).expect("well-formed"),
            connected: gauge("toystore_discovery_connected", "1 while the Kubernetes API answers, else 0"),
            age: Gauge::with_opts(age).expect("well-formed"),
            heard: watch::Sender::new(Instant::now()),
        }
    }

    /// # Panics
    /// If they are registered already.
    pub(crate) fn register(&self, registry: &Registry) {
        registered(registry, Ok(self.replicas.clone()));
        registered(registry, Ok(self.updates.clone()));
        registered(registry, Ok(self.errors.clone()));
        registered(registry, Ok(self.connected.clone()));
        registered(registry, Ok(Age { gauge: self.age.clone(), heard: self.heard.subscribe() }));
    }

    /// The API server was heard just now.
    pub(crate) fn heard(&self) {
        self.connected.set(1);
        self.heard.send_replace(Instant::now());
    }

    /// How long ago that was.
    pub(crate) fn age(&self) -> Duration {
        self.heard.borrow().elapsed()
    }
}

/// An age is as of the moment when somebody asks for it.
#[derive(Clone)]
struct Age {
    gauge: Gauge,
    heard: watch::Receiver<Instant>,
}

impl Collector for Age {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gauge.set(self.heard.borrow().elapsed().as_secs_f64());
        self.gauge.collect()
    }
}
