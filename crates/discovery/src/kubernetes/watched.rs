//! A Kubernetes service whose endpoints are the replicas of a group.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Address;
use api::replica::Replicas;
use tokio::sync::watch;

use super::metrics::WatchMetrics;
use super::slices::Slices;

/// The name of the port of the internal API.
const INTERNAL_PORT: &str = "internal";
/// The name of the port for replication.
const REPLICATION_PORT: &str = "replication";

/// The addresses of pods, by their names.
pub type Pods = BTreeMap<String, Address>;

/// One service, and the lists of its replicas' addresses. Clones share the lists.
#[derive(Clone, Debug)]
pub(crate) struct WatchedService(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    group: &'static str,
    namespace: String,
    name: String,
    internal: watch::Sender<Replicas>,
    replication: watch::Sender<Replicas>,
    /// The addresses of the internal ports of all pods, replicas or not, by the pods' names.
    pods: watch::Sender<Pods>,
    /// Whether a complete list has been received.
    synced: watch::Sender<bool>,
    metrics: WatchMetrics,
}

impl WatchedService {
    /// A service that is not known yet: both lists are empty.
    pub(crate) fn new(group: &'static str, namespace: String, name: String) -> Self {
        let (internal, replication) = (watch::Sender::default(), watch::Sender::default());
        let (pods, synced, metrics) = (watch::Sender::default(), watch::Sender::new(false), WatchMetrics::new(group));
        Self(Arc::new(Shared { group, namespace, name, internal, replication, pods, synced, metrics }))
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

    /// The addresses of the replicas' internal APIs.
    pub(crate) fn internal(&self) -> watch::Receiver<Replicas> {
        self.0.internal.subscribe()
    }

    /// The addresses of the internal ports of all pods.
    pub(crate) fn pods(&self) -> watch::Receiver<Pods> {
        self.0.pods.subscribe()
    }

    /// The addresses on which the replicas replicate.
    pub(crate) fn replication(&self) -> watch::Receiver<Replicas> {
        self.0.replication.subscribe()
    }

    /// Waits for the first complete list.
    pub(crate) async fn synced(&self) {
        self.0.synced.subscribe().wait_for(|synced| *synced).await.expect("`self` holds the sender");
    }

    /// Publishes the addresses in these slices, if they have changed.
    pub(crate) fn publish(&self, slices: &Slices) {
        let internal = slices.replicas(INTERNAL_PORT);
        self.metrics().replicas.set(i64::try_from(internal.len()).unwrap_or(i64::MAX));
        let changed = set(&self.0.replication, slices.replicas(REPLICATION_PORT));
        if set(&self.0.internal, internal) || changed {
            self.metrics().updates.inc();
            let replicas: Vec<_> =
                self.0.internal.borrow().iter().map(|(ordinal, address)| format!("{ordinal}={address}")).collect();
            tracing::info!(group = self.group(), replicas = replicas.join(" "), "replica addresses changed");
        }
        set(&self.0.pods, slices.pods(INTERNAL_PORT));
        self.0.synced.send_if_modified(|synced| !std::mem::replace(synced, true));
    }
}

/// Replaces a list. Returns whether it has changed.
fn set<T: PartialEq>(list: &watch::Sender<T>, now: T) -> bool {
    list.send_if_modified(|list| {
        let changed = *list != now;
        *list = now;
        changed
    })
}
