//! Replicas discover each other through the Kubernetes API: the processes only know the address of
//! the API server, while pods come and go.
//!
//! A "pod" is a process of the real binary, whose endpoint this test publishes as a cluster would.
//! Each pod has an `EndpointSlice` of its own, because its ports differ.

#[path = "../../../discovery/tests/api_server/mod.rs"]
mod api_server;

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use api::replica::{ReplicaStatus, STATUS_PATH};
use api::{Address, Ordinal};
use api_server::{ApiServer, Pod, slice};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use toystore::local::{ChildProcess, LogSink, PortBase, StoreLayout, StoreMember};

use crate::harness::{Audit, BINARY, OrderWriters, Rest, TIMEOUT, TOYS, TestStore, eventually};

const ORDERS: &str = "toystore-order-peers";
const CATALOG: &str = "toystore-catalog-peers";
const LOOPBACK: &str = "127.0.0.1";
/// The address of a pod after it was replaced: another address of this machine, with the same
/// ports.
const ELSEWHERE: &str = "127.0.0.2";

/// A store whose members discover each other through an API server.
struct KubernetesCluster {
    store: TestStore,
    server: ApiServer,
    kubeconfig: tempfile::NamedTempFile,
}

impl KubernetesCluster {
    /// No process runs yet, and no pod is known.
    fn prepare() -> Self {
        let server = ApiServer::start();
        let kubeconfig = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(kubeconfig.path(), server.kubeconfig()).unwrap();
        let path = kubeconfig.path().to_str().unwrap().to_owned();
        let store = TestStore::prepare_well_stocked(|layout| {
            (1..=5).map(Ordinal).fold(in_kubernetes(layout.with_order_addresses(5), &path), as_pod)
        });
        Self { store, server, kubeconfig }
    }

    /// Starts the frontend first, which finds no other process; then the others.
    async fn start(&mut self) {
        self.store.store.start(StoreMember::Frontend(1)).unwrap();
        let frontend = Rest::new(&self.store.store.layout().internal(StoreMember::Frontend(1)));
        eventually("it is alive and not ready", || async {
            let answer = frontend.request(reqwest::Method::GET, "/readyz").send().await;
            answer.is_ok_and(|answer| answer.status() == 503)
        })
        .await;
        self.store.store.start(StoreMember::Catalog).unwrap();
        self.publish_catalog();
        for ordinal in (1..=3).map(Ordinal) {
            self.store.store.start(StoreMember::Order(ordinal)).unwrap();
            self.publish(ordinal, 1, LOOPBACK);
        }
        self.store.stock_up().await;
    }

    fn publish_catalog(&self) {
        let layout = self.store.store.layout();
        let port = port(&layout.internal(StoreMember::Catalog));
        self.server.apply(slice(
            CATALOG,
            "catalog",
            (port, port + 1),
            &[Pod::new("toystore-catalog-0", "c", LOOPBACK)],
        ));
    }

    /// Publishes a replica's pod; `life` counts its pods.
    fn publish(&self, ordinal: Ordinal, life: u8, address: &str) {
        let pod = Pod::new(&pod_name(ordinal), &format!("{ordinal}-{life}"), address);
        self.server.apply(slice(ORDERS, &slice_name(ordinal), self.ports(ordinal), &[pod]));
    }

    /// Removes a replica's pod.
    fn withdraw(&self, ordinal: Ordinal) {
        self.server.apply(slice(ORDERS, &slice_name(ordinal), self.ports(ordinal), &[]));
    }

    fn ports(&self, ordinal: Ordinal) -> (u16, u16) {
        order_ports(self.store.store.layout(), ordinal)
    }

    async fn leader(&self) -> Ordinal {
        self.store.store.leader_other_than(None, TIMEOUT).await.unwrap()
    }

    /// Starts a replica at another address, with its old disk.
    fn start_elsewhere(&self, ordinal: Ordinal) -> ChildProcess {
        let member = StoreMember::Order(ordinal);
        let layout = self.store.store.layout().clone().with_member_variable(member, "BIND_HOST", ELSEWHERE);
        let log: LogSink = Arc::new(|member, line| eprintln!("{member} elsewhere | {line}"));
        ChildProcess::start(Path::new(BINARY), &layout, member, &log).unwrap()
    }

    async fn status(&self, ordinal: Ordinal, host: &str) -> Option<ReplicaStatus> {
        let address = Address::new(host, self.ports(ordinal).0);
        self.store.store.json_client().get(&address, STATUS_PATH, TIMEOUT).await.ok()
    }
}

fn in_kubernetes(layout: StoreLayout, kubeconfig: &str) -> StoreLayout {
    layout
        .with_variable("DISCOVERY", "kubernetes")
        .with_variable("POD_NAMESPACE", "toys")
        .with_variable("ORDER_SERVICE", ORDERS)
        .with_variable("CATALOG_SERVICE", CATALOG)
        .with_variable("KUBECONFIG", kubeconfig)
        .with_member_variable(StoreMember::Catalog, "POD_NAME", "toystore-catalog-0")
}

/// The variables that a StatefulSet gives to a pod, without the addresses of the others.
fn as_pod(layout: StoreLayout, ordinal: Ordinal) -> StoreLayout {
    let member = StoreMember::Order(ordinal);
    let (port, replication) = order_ports(&layout, ordinal);
    let layout = layout
        .with_member_variable(member, "COMPONENT_ID", "")
        .with_member_variable(member, "POD_NAME", pod_name(ordinal))
        .with_member_variable(member, "ORDER_PORT", port)
        .with_member_variable(member, "ORDER2_PORT", replication);
    (1..=5).fold(layout, |layout, n| {
        layout.with_member_variable(member, &format!("ORDER_HOST_{n}"), "nobody.invalid").with_member_variable(
            StoreMember::Frontend(1),
            &format!("ORDER_HOST_{n}"),
            "nobody.invalid",
        )
    })
}

/// The offsets of the well-known ports: first three order replicas, then those beyond.
fn order_ports(layout: &StoreLayout, ordinal: Ordinal) -> (u16, u16) {
    let port = port(&layout.internal(StoreMember::Order(ordinal)));
    (port, if ordinal.0 <= 3 { port + 3 } else { port + 1 })
}

fn port(address: &Address) -> u16 {
    address.as_str().rsplit_once(':').expect("host and port").1.parse().expect("a port")
}

fn pod_name(ordinal: Ordinal) -> String {
    format!("toystore-order-{}", ordinal.0 - 1)
}

fn slice_name(ordinal: Ordinal) -> String {
    format!("toystore-order-peers-{ordinal}")
}

#[tokio::test]
async fn a_frontend_finds_three_elects_loses_a_pod_and_goes_on() {
    let mut cluster = KubernetesCluster::prepare();
    cluster.start().await;
    let mut writers = OrderWriters::start(&cluster.store, &[1], 4, TOYS);
    writers.acknowledge_more(50).await;

    // The leader's pod dies while the API server restarts, so discovery does not report it: an
    // election only needs the last known addresses.
    let lost = cluster.leader().await;
    cluster.server.go_down();
    cluster.store.store.process(StoreMember::Order(lost)).kill().await.unwrap();
    cluster.store.store.forget(StoreMember::Order(lost));
    writers.acknowledge_more(50).await;

    // It is replaced, at another address.
    cluster.withdraw(lost);
    cluster.server.come_up();
    let mut replaced = cluster.start_elsewhere(lost);
    cluster.publish(lost, 2, ELSEWHERE);
    eventually("the replaced pod follows", || async {
        cluster.status(lost, ELSEWHERE).await.is_some_and(|status| status.leader.is_some())
    })
    .await;

    // The replacement is a full voter: without another replica it is needed for the majority.
    let other = cluster.store.store.layout().ordinals().find(|ordinal| *ordinal != lost).unwrap();
    cluster.store.store.process(StoreMember::Order(other)).kill().await.unwrap();
    cluster.withdraw(other);
    writers.acknowledge_more(50).await;
    cluster.store.store.start(StoreMember::Order(other)).unwrap();
    cluster.publish(other, 2, LOOPBACK);

    // Move it back to where the audit expects it, in a rolling restart that no client notices.
    replaced.terminate().unwrap();
    assert!(tokio::time::timeout(TIMEOUT, replaced.wait()).await.unwrap().unwrap().success());
    cluster.withdraw(lost);
    cluster.store.store.start(StoreMember::Order(lost)).unwrap();
    cluster.publish(lost, 3, LOOPBACK);
    cluster.store.ready().await;
    writers.acknowledge_more(50).await;
    let (acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "clients saw errors: {errors:#?}");
    Audit::check(&mut cluster.store, &acknowledged).await;
    let metrics = cluster.store.internal_text(StoreMember::Frontend(1), "/metrics").await;
    assert!(metrics.contains("toystore_discovery_replicas{group=\"order\"} 3"), "{metrics}");
}

#[tokio::test]
async fn replicas_beyond_the_initial_ones_join_and_leave() {
    let mut cluster = KubernetesCluster::prepare();
    cluster.start().await;
    for ordinal in [4, 5].map(Ordinal) {
        cluster.store.store.start(StoreMember::Order(ordinal)).unwrap();
        cluster.publish(ordinal, 1, LOOPBACK);
    }
    let voters = async |cluster: &KubernetesCluster| {
        let leader = cluster.leader().await;
        cluster.status(leader, LOOPBACK).await.map_or(0, |status| status.voters.len())
    };
    eventually("five have a vote", || async { voters(&cluster).await == 5 }).await;

    let kubeconfig = cluster.server.kubeconfig();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), kubeconfig).unwrap();
    let mut scale = Command::new(BINARY);
    scale.args([
        "scale",
        "--to",
        "3",
        "--discovery",
        "kubernetes",
        "--pod-namespace",
        "toys",
        "--order-service",
        ORDERS,
    ]);
    let output = scale.env("KUBECONFIG", file.path()).kill_on_drop(true).output().await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("have a vote: 1, 2, 3"), "{stdout}{stderr}");
    for ordinal in [4, 5].map(Ordinal) {
        cluster.store.store.process(StoreMember::Order(ordinal)).stop(TIMEOUT).await.unwrap();
        cluster.store.store.forget(StoreMember::Order(ordinal));
        cluster.withdraw(ordinal);
    }
    eventually("three have a vote", || async { voters(&cluster).await == 3 }).await;
    cluster.store.rest().buy("Tux", 1).await;
}

/// Catalog replicas in addition to the store's own, as pods.
struct MoreCatalogs {
    kubeconfig: String,
    files: tempfile::TempDir,
    /// A block of ports of their own.
    ports: StoreLayout,
}

impl MoreCatalogs {
    fn of(cluster: &KubernetesCluster) -> Self {
        let files = tempfile::tempdir().unwrap();
        let ports = StoreLayout::new(files.path(), PortBase::ephemeral().unwrap()).with_frontends(5);
        Self { kubeconfig: cluster.kubeconfig.path().to_str().unwrap().to_owned(), files, ports }
    }

    fn ports(&self, ordinal: u8) -> (u16, u16) {
        (self.ports.public_port(ordinal - 1), self.ports.public_port(ordinal + 1))
    }

    /// Starts a replica, and publishes its address.
    fn start(&self, cluster: &KubernetesCluster, ordinal: u8, life: u8) -> Child {
        let ((port, replication), pod) = (self.ports(ordinal), format!("toystore-catalog-{}", ordinal - 1));
        let name = format!("catalog-{ordinal}");
        cluster.server.apply(slice(
            CATALOG,
            &name,
            (port, replication),
            &[Pod::new(&pod, &format!("c{ordinal}-{life}"), LOOPBACK)],
        ));
        let mut command = Command::new(BINARY);
        command.arg("catalog").env("DISCOVERY", "kubernetes").env("POD_NAMESPACE", "toys").env("POD_NAME", pod);
        command.env("ORDER_SERVICE", ORDERS).env("CATALOG_SERVICE", CATALOG);
        command.env("KUBECONFIG", &self.kubeconfig).env("CATALOG_REPLICAS", "3");
        command.env("CATALOG_PORT", port.to_string()).env("CATALOG2_PORT", replication.to_string());
        command.env("RESTOCK_INTERVAL_MS", "50").env("RESTOCK_LEVEL", "10000000").env("BIND_HOST", LOOPBACK);
        command.env("CATALOG_FILE", self.files.path().join("catalog.csv"));
        command.env("CATALOG_DATA_DIR", self.files.path().join(ordinal.to_string()));
        command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap()
    }

    async fn is_ready(&self, ordinal: u8) {
        let rest = Rest::new(&Address::new(LOOPBACK, self.ports(ordinal).0));
        eventually("the catalog replica is ready", || async {
            let answer = rest.request(reqwest::Method::GET, "/readyz").send().await;
            answer.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
    }
}

/// As in an upgrade from a chart with one catalog to a chart with three: the two new ones start
/// first, then each is replaced, the highest ordinal first.
#[tokio::test]
async fn one_catalog_becomes_three_that_are_restarted_while_orders_flow() {
    let mut cluster = KubernetesCluster::prepare();
    cluster.start().await;
    let mut writers = OrderWriters::start(&cluster.store, &[1], 4, TOYS);
    writers.acknowledge_more(50).await;
    let more = MoreCatalogs::of(&cluster);
    let mut others = [2, 3].map(|ordinal| more.start(&cluster, ordinal, 1));
    for ordinal in [2, 3] {
        more.is_ready(ordinal).await;
    }
    writers.acknowledge_more(50).await;

    for ordinal in [3, 2] {
        let other = &mut others[usize::from(ordinal) - 2];
        let pid = Pid::from_raw(i32::try_from(other.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert!(tokio::time::timeout(TIMEOUT, other.wait()).await.unwrap().unwrap().success());
        *other = more.start(&cluster, ordinal, 2);
        more.is_ready(ordinal).await;
        writers.acknowledge_more(50).await;
    }
    let own = cluster.store.store.process(StoreMember::Catalog);
    own.terminate().unwrap();
    assert!(tokio::time::timeout(TIMEOUT, own.wait()).await.unwrap().unwrap().success());
    cluster.store.store.start(StoreMember::Catalog).unwrap();
    cluster.store.ready().await;
    writers.acknowledge_more(50).await;

    // The audit queries the first replica.
    let mut scale = Command::new(BINARY);
    scale.args(["scale", "--catalog-to", "1", "--discovery", "kubernetes", "--pod-namespace", "toys"]);
    scale.args(["--catalog-service", CATALOG]).env("KUBECONFIG", &more.kubeconfig);
    let output = scale.kill_on_drop(true).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let (acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "clients saw errors: {errors:#?}");
    Audit::check(&mut cluster.store, &acknowledged).await;
}
