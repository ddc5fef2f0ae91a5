//! Replicas found through the Kubernetes API: processes that know no address but the API server's, while pods come and go.
//!
//! A "pod" is a process of the real binary, whose endpoint this test publishes as the cluster would. Each has a slice of its own, since
//! its ports are its own.

#[path = "../../../discovery/tests/api_server/mod.rs"]
mod api_server;

use std::path::Path;
use std::sync::Arc;

use api::replica::{ReplicaStatus, STATUS_PATH};
use api::{Address, Ordinal};
use api_server::{ApiServer, Pod, slice};
use tokio::process::Command;
use toystore::local::{Layout, LogSink, Member, Process};

use crate::harness::{Audit, BINARY, PATIENCE, Rest, TOYS, TestStore, Writers, eventually};

const ORDERS: &str = "toystore-order-peers";
const CATALOG: &str = "toystore-catalog-peers";
const LOOPBACK: &str = "127.0.0.1";
/// Where a pod is after it was replaced: another address of this machine, with the same ports.
const ELSEWHERE: &str = "127.0.0.2";

/// A store whose members find each other through an API server.
struct Cluster {
    store: TestStore,
    server: ApiServer,
    _kubeconfig: tempfile::NamedTempFile,
}

impl Cluster {
    /// Nothing runs yet, and no pod is known.
    fn prepare() -> Self {
        let server = ApiServer::start();
        let kubeconfig = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(kubeconfig.path(), server.kubeconfig()).unwrap();
        let path = kubeconfig.path().to_str().unwrap().to_owned();
        let store = TestStore::prepare_plenty(|layout| {
            (1..=5).map(Ordinal).fold(in_kubernetes(layout.with_seats(5), &path), as_pod)
        });
        Self { store, server, _kubeconfig: kubeconfig }
    }

    /// The frontend is first, and finds nobody; then the others come.
    async fn start(&mut self) {
        self.store.store.start(Member::Frontend(1)).unwrap();
        let frontend = Rest::new(&self.store.store.layout().internal(Member::Frontend(1)));
        eventually("it lives and is not ready", || async {
            let answer = frontend.request(reqwest::Method::GET, "/readyz").send().await;
            answer.is_ok_and(|answer| answer.status() == 503)
        })
        .await;
        self.store.store.start(Member::Catalog).unwrap();
        self.publish_catalog();
        for seat in (1..=3).map(Ordinal) {
            self.store.store.start(Member::Order(seat)).unwrap();
            self.publish(seat, 1, LOOPBACK);
        }
        self.store.stock_up().await;
    }

    fn publish_catalog(&self) {
        let layout = self.store.store.layout();
        let port = port(&layout.internal(Member::Catalog));
        self.server.apply(slice(
            CATALOG,
            "catalog",
            (port, port + 1),
            &[Pod::new("toystore-catalog-0", "c", LOOPBACK)],
        ));
    }

    /// The `life`-th pod of that seat is there.
    fn publish(&self, seat: Ordinal, life: u8, address: &str) {
        let pod = Pod::new(&pod_name(seat), &format!("{seat}-{life}"), address);
        self.server.apply(slice(ORDERS, &slice_name(seat), self.ports(seat), &[pod]));
    }

    /// No pod of that seat is there.
    fn withdraw(&self, seat: Ordinal) {
        self.server.apply(slice(ORDERS, &slice_name(seat), self.ports(seat), &[]));
    }

    fn ports(&self, seat: Ordinal) -> (u16, u16) {
        order_ports(self.store.store.layout(), seat)
    }

    async fn leader(&self) -> Ordinal {
        self.store.store.leader_other_than(None, PATIENCE).await.unwrap()
    }

    /// A replica of that seat at another address, with the disk that it had.
    fn start_elsewhere(&self, seat: Ordinal) -> Process {
        let member = Member::Order(seat);
        let layout = self.store.store.layout().clone().with_member_variable(member, "BIND_HOST", ELSEWHERE);
        let log: LogSink = Arc::new(|member, line| eprintln!("{member} elsewhere | {line}"));
        Process::start(Path::new(BINARY), &layout, member, &log).unwrap()
    }

    async fn status(&self, seat: Ordinal, host: &str) -> Option<ReplicaStatus> {
        let address = Address::new(host, self.ports(seat).0);
        self.store.store.caller().get(&address, STATUS_PATH, PATIENCE).await.ok()
    }
}

fn in_kubernetes(layout: Layout, kubeconfig: &str) -> Layout {
    layout
        .with_variable("DISCOVERY", "kubernetes")
        .with_variable("POD_NAMESPACE", "toys")
        .with_variable("ORDER_SERVICE", ORDERS)
        .with_variable("CATALOG_SERVICE", CATALOG)
        .with_variable("KUBECONFIG", kubeconfig)
        .with_member_variable(Member::Catalog, "POD_NAME", "toystore-catalog-0")
}

/// What a StatefulSet tells a pod, and nothing of where the others are.
fn as_pod(layout: Layout, seat: Ordinal) -> Layout {
    let member = Member::Order(seat);
    let (port, replication) = order_ports(&layout, seat);
    let layout = layout
        .with_member_variable(member, "COMPONENT_ID", "")
        .with_member_variable(member, "POD_NAME", pod_name(seat))
        .with_member_variable(member, "ORDER_PORT", port)
        .with_member_variable(member, "ORDER2_PORT", replication);
    (1..=5).fold(layout, |layout, n| {
        layout.with_member_variable(member, &format!("ORDER_HOST_{n}"), "nobody.invalid").with_member_variable(
            Member::Frontend(1),
            &format!("ORDER_HOST_{n}"),
            "nobody.invalid",
        )
    })
}

/// As the well-known ones are spaced: three orders, then the seats beyond.
fn order_ports(layout: &Layout, seat: Ordinal) -> (u16, u16) {
    let port = port(&layout.internal(Member::Order(seat)));
    (port, if seat.0 <= 3 { port + 3 } else { port + 1 })
}

fn port(address: &Address) -> u16 {
    address.as_str().rsplit_once(':').expect("host and port").1.parse().expect("a port")
}

fn pod_name(seat: Ordinal) -> String {
    format!("toystore-order-{}", seat.0 - 1)
}

fn slice_name(seat: Ordinal) -> String {
    format!("toystore-order-peers-{seat}")
}

#[tokio::test]
async fn a_frontend_finds_three_elects_loses_a_pod_and_goes_on() {
    let mut cluster = Cluster::prepare();
    cluster.start().await;
    let mut writers = Writers::start(&cluster.store.rest(), 4, TOYS);
    writers.acknowledge_more(50).await;

    // The leader's pod dies. The API server is restarting, so nobody hears of it: an election needs only the last addresses.
    let lost = cluster.leader().await;
    cluster.server.go_down();
    cluster.store.store.process(Member::Order(lost)).kill().await.unwrap();
    cluster.store.store.forget(Member::Order(lost));
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

    // It counts: with another one gone it is needed for the majority.
    let other = cluster.store.store.layout().ordinals().find(|seat| *seat != lost).unwrap();
    cluster.store.store.process(Member::Order(other)).kill().await.unwrap();
    cluster.withdraw(other);
    writers.acknowledge_more(50).await;
    cluster.store.store.start(Member::Order(other)).unwrap();
    cluster.publish(other, 2, LOOPBACK);

    // Back where the audit looks, in good order: a rolling restart, which no client notices.
    replaced.terminate().unwrap();
    assert!(tokio::time::timeout(PATIENCE, replaced.wait()).await.unwrap().unwrap().success());
    cluster.withdraw(lost);
    cluster.store.store.start(Member::Order(lost)).unwrap();
    cluster.publish(lost, 3, LOOPBACK);
    cluster.store.ready().await;
    writers.acknowledge_more(50).await;
    let (acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "clients saw errors: {errors:#?}");
    Audit::check(&mut cluster.store, &acknowledged).await;
    let metrics = cluster.store.internal_text(Member::Frontend(1), "/metrics").await;
    assert!(metrics.contains("toystore_discovery_replicas{group=\"order\"} 3"), "{metrics}");
}

#[tokio::test]
async fn seats_beyond_the_founders_come_and_go() {
    let mut cluster = Cluster::prepare();
    cluster.start().await;
    for seat in [4, 5].map(Ordinal) {
        cluster.store.store.start(Member::Order(seat)).unwrap();
        cluster.publish(seat, 1, LOOPBACK);
    }
    let voters = async |cluster: &Cluster| {
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
    for seat in [4, 5].map(Ordinal) {
        cluster.store.store.process(Member::Order(seat)).stop(PATIENCE).await.unwrap();
        cluster.store.store.forget(Member::Order(seat));
        cluster.withdraw(seat);
    }
    assert_eq!(voters(&cluster).await, 3);
    cluster.store.rest().buy("Tux", 1).await;
}
