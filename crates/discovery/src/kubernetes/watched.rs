//! A Kubernetes service whose endpoints are a group's replicas.

use std::sync::Arc;

use api::replica::Replicas;
use tokio::sync::watch;

use super::metrics::WatchMetrics;
use super::slices::Slices;

/// The name that the ports have on which replicas are asked …
const ASKED_PORT: &str = "internal";
/// … and on which they replicate.
const REPLICATION_PORT: &str = "replication";

/// One service, and the lists that come out of it. Clones share the lists.
#[derive(Clone, Debug)]
pub(crate) struct WatchedService(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    group: &'static str,
    namespace: String,
    name: String,
    asked: watch::Sender<Replicas>,
    replication: watch::Sender<Replicas>,
    /// Whether a full list was seen.
    known: watch::Sender<bool>,
    metrics: WatchMetrics,
}

impl WatchedService {
    /// Nothing is known of it yet.
    pub(crate) fn new(group: &'static str, namespace: String, name: String) -> Self {
        let (asked, replication) = (watch::Sender::default(), watch::Sender::default());
        let (known, metrics) = (watch::Sender::new(false), WatchMetrics::new(group));
        Self(Arc::new(Shared { group, namespace, name, asked, replication, known, metrics }))
    }

    pub(crate) fn group(&self) -> &'static str {
        self.0.group
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.0.namespace
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn metrics(&self) -> &WatchMetrics {
        &self.0.metrics
    }

    /// Where the replicas are asked.
    pub(crate) fn asked(&self) -> watch::Receiver<Replicas> {
        self.0.asked.subscribe()
    }

    /// Where they replicate.
    pub(crate) fn replication(&self) -> watch::Receiver<Replicas> {
        self.0.replication.subscribe()
    }

    /// Waits for the first full list.
    pub(crate) async fn known(&self) {
        self.0.known.subscribe().wait_for(|known| *known).await.expect("the sender is in `self`");
    }

    /// Tells what the slices say now, if that is news.
    pub(crate) fn publish(&self, slices: &Slices) {
        let asked = slices.replicas(ASKED_PORT);
        self.metrics().replicas.set(i64::try_from(asked.len()).unwrap_or(i64::MAX));
        let changed = set(&self.0.replication, slices.replicas(REPLICATION_PORT));
        if set(&self.0.asked, asked) || changed {
            self.metrics().updates.inc();
            let replicas: Vec<_> = self.0.asked.borrow().iter().map(|(seat, at)| format!("{seat}={at}")).collect();
            tracing::info!(group = self.group(), replicas = replicas.join(" "), "addresses");
        }
        self.0.known.send_if_modified(|known| !std::mem::replace(known, true));
    }
}

fn set(list: &watch::Sender<Replicas>, now: Replicas) -> bool {
    list.send_if_modified(|list| {
        let changed = *list != now;
        *list = now;
        changed
    })
}
