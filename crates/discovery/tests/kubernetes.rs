//! Replicas found through the Kubernetes API, and what may go wrong with it.

mod api_server;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use api::replica::Replicas;
use api_server::{ApiServer, Asked, Pod, slice};
use discovery::{Discovery, Watching, settings};
use prometheus::{Registry, TextEncoder};
use service::settings::{Values, command};
use tokio::sync::watch;
use tokio::time::timeout;

/// Far longer than anything takes; pauses between tries are 5 s at most.
const PATIENCE: Duration = Duration::from_secs(30);

const ORDERS: &str = "toystore-order-peers";
const PORTS: (u16, u16) = (1121, 1124);

/// A process that looks for the order replicas.
struct Process {
    discovery: Discovery,
    asked: watch::Receiver<Replicas>,
    replication: watch::Receiver<Replicas>,
    registry: Registry,
    _watching: Watching,
    _kubeconfig: tempfile::NamedTempFile,
}

impl Process {
    fn start(server: &ApiServer) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), server.kubeconfig()).unwrap();
        let (discovery, asked, replication) = read(file.path());
        let registry = Registry::new();
        discovery.register(&registry);
        let watching = discovery.start();
        Self { discovery, asked, replication, registry, _watching: watching, _kubeconfig: file }
    }

    /// Waits until the replicas are exactly these.
    async fn finds<const N: usize>(&mut self, expected: [(u8, &str); N]) {
        let is_so = |replicas: &Replicas| listed(replicas).iter().map(|(seat, at)| (*seat, at.as_str())).eq(expected);
        let found = timeout(PATIENCE, self.asked.wait_for(is_so)).await.is_ok();
        assert!(found, "found {:?} instead of {expected:?}", listed(&self.asked.borrow()));
    }

    /// A metric's value, by its name and labels, all as they are written.
    fn metric(&self, what: &str) -> String {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(' '));
        line.map_or_else(|| panic!("no {what} in {text}"), str::to_owned)
    }
}

fn read(kubeconfig: &Path) -> (Discovery, watch::Receiver<Replicas>, watch::Receiver<Replicas>) {
    let table = [settings::discovery(), settings::order(), settings::order_replication()].concat();
    let matches = command("x", "y", &table).try_get_matches_from(["x"]).unwrap();
    let variables = BTreeMap::from([
        ("DISCOVERY", "kubernetes"),
        ("POD_NAMESPACE", "toys"),
        ("ORDER_SERVICE", ORDERS),
        ("KUBECONFIG", kubeconfig.to_str().unwrap()),
    ]);
    let mut values = Values::read(&table, &matches, &variables);
    let mut discovery = Discovery::read(&mut values);
    let lists = discovery.order_replicas(&mut values).zip(discovery.order_peers(&mut values));
    let (asked, replication) = values.finish(lists).unwrap();
    (discovery, asked, replication)
}

fn listed(replicas: &Replicas) -> Vec<(u8, String)> {
    replicas.iter().map(|(seat, address)| (seat.0, address.to_string())).collect()
}

fn pod(number: u8, life: u8) -> Pod {
    Pod::new(&format!("toystore-order-{number}"), &format!("{number}-{life}"), &format!("10.0.{life}.{number}"))
}

fn orders(name: &str, pods: &[Pod]) -> serde_json::Value {
    slice(ORDERS, name, PORTS, pods)
}

async fn seen(server: &ApiServer, what: &str, is_so: impl FnMut(&Asked) -> bool) -> Asked {
    let mut asked = server.asked();
    let seen = timeout(PATIENCE, asked.wait_for(is_so)).await;
    seen.unwrap_or_else(|_| panic!("{what}: {:?}", server.asked().borrow())).expect("the server is there").clone()
}

#[tokio::test]
async fn a_slow_first_list_is_waited_for_and_changes_follow() {
    let server = ApiServer::start();
    server.hold_lists(true);
    server.apply(orders("a", &[pod(0, 1), pod(1, 1)]));
    server.apply(slice("toystore-catalog-peers", "c", (1130, 1131), &[pod(2, 1)]));
    let mut process = Process::start(&server);
    seen(&server, "it asks", |asked| asked.lists == 1).await;
    assert!(futures::poll!(std::pin::pin!(process.discovery.known())).is_pending(), "nothing is known yet");
    assert_eq!(process.metric("toystore_discovery_connected{group=\"order\"}"), "0");

    server.hold_lists(false);
    timeout(PATIENCE, process.discovery.known()).await.unwrap();
    process.finds([(1, "10.0.1.0:1121"), (2, "10.0.1.1:1121")]).await;
    assert_eq!(listed(&process.replication.borrow()), [(1, "10.0.1.0:1124".into()), (2, "10.0.1.1:1124".into())]);

    server.apply(orders("a", &[pod(0, 1), pod(1, 1), pod(2, 1)]));
    process.finds([(1, "10.0.1.0:1121"), (2, "10.0.1.1:1121"), (3, "10.0.1.2:1121")]).await;
    assert_eq!(process.metric("toystore_discovery_replicas{group=\"order\"}"), "3");
    assert_eq!(process.metric("toystore_discovery_updates_total{group=\"order\"}"), "2");
    assert_eq!(process.metric("toystore_discovery_connected{group=\"order\"}"), "1");
    let age = process.metric("toystore_discovery_age_seconds{group=\"order\"}");
    assert!(age.parse::<f64>().unwrap() < PATIENCE.as_secs_f64(), "{age}");
}

#[tokio::test]
async fn no_pods_are_an_answer_too() {
    let server = ApiServer::start();
    let mut process = Process::start(&server);
    timeout(PATIENCE, process.discovery.known()).await.unwrap();
    process.finds([]).await;
    server.apply(orders("a", &[pod(0, 1)]));
    process.finds([(1, "10.0.1.0:1121")]).await;
}

#[tokio::test]
async fn a_pod_that_is_replaced_is_found_at_its_new_address_and_the_old_one_never_comes_back() {
    let server = ApiServer::start();
    server.apply(orders("a", &[pod(0, 1), pod(1, 1)]));
    let mut process = Process::start(&server);
    process.finds([(1, "10.0.1.0:1121"), (2, "10.0.1.1:1121")]).await;
    // It stops: its address stays until it is gone.
    server.apply(orders("a", &[pod(0, 1), pod(1, 1).terminating()]));
    // Its successor is in another slice, and the old slice is late.
    server.apply(orders("b", &[pod(1, 2)]));
    process.finds([(1, "10.0.1.0:1121"), (2, "10.0.2.1:1121")]).await;
    server.apply(orders("a", &[pod(0, 1)]));
    server.cut_watches();
    server.forget(false);
    server.apply(orders("a", &[pod(0, 3)]));
    process.finds([(1, "10.0.3.0:1121"), (2, "10.0.2.1:1121")]).await;
    server.delete("b");
    process.finds([(1, "10.0.3.0:1121")]).await;
}

#[tokio::test]
async fn slices_that_are_split_and_merged_change_nothing() {
    let server = ApiServer::start();
    server.apply(orders("a", &[pod(0, 1), pod(1, 1), pod(2, 1)]));
    let mut process = Process::start(&server);
    let all = [(1, "10.0.1.0:1121"), (2, "10.0.1.1:1121"), (3, "10.0.1.2:1121")];
    process.finds(all).await;
    server.apply(orders("b", &[pod(1, 1), pod(2, 1)]));
    server.apply(orders("a", &[pod(0, 1)]));
    server.apply(orders("a", &[pod(0, 1), pod(1, 1), pod(2, 1)]));
    server.delete("b");
    // Something that is seen, after all of that.
    server.apply(orders("c", &[pod(3, 1)]));
    process.finds([all[0], all[1], all[2], (4, "10.0.1.3:1121")]).await;
    assert_eq!(
        process.metric("toystore_discovery_updates_total{group=\"order\"}"),
        "2",
        "the first list and the last pod"
    );
}

#[tokio::test]
async fn a_watch_goes_on_from_the_last_bookmark() {
    let server = ApiServer::start();
    server.apply(orders("a", &[pod(0, 1)]));
    let mut process = Process::start(&server);
    process.finds([(1, "10.0.1.0:1121")]).await;
    seen(&server, "a watch", |asked| asked.watches.len() == 1).await;
    let version = server.bookmark();
    server.end_watches();
    let asked = seen(&server, "another watch", |asked| asked.watches.len() == 2).await;
    assert_eq!(asked, Asked { lists: 1, watches: vec![1, version], refused: 0 });
    server.apply(orders("a", &[pod(0, 2)]));
    process.finds([(1, "10.0.2.0:1121")]).await;
}

#[tokio::test]
async fn a_line_that_is_cut_in_the_middle_is_asked_for_again() {
    let server = ApiServer::start();
    server.apply(orders("a", &[pod(0, 1)]));
    let mut process = Process::start(&server);
    process.finds([(1, "10.0.1.0:1121")]).await;
    seen(&server, "a watch", |asked| asked.watches.len() == 1).await;
    server.cut_watches();
    server.apply(orders("a", &[pod(0, 2)]));
    process.finds([(1, "10.0.2.0:1121")]).await;
    assert_eq!(server.asked().borrow().lists, 1, "it went on from where it was");
}

#[tokio::test]
async fn a_version_that_is_gone_means_a_new_list_that_replaces_the_old_one() {
    for by_status in [true, false] {
        let server = ApiServer::start();
        server.apply(orders("a", &[pod(0, 1)]));
        server.apply(orders("b", &[pod(1, 1)]));
        let mut process = Process::start(&server);
        process.finds([(1, "10.0.1.0:1121"), (2, "10.0.1.1:1121")]).await;
        seen(&server, "a watch", |asked| asked.watches.len() == 1).await;
        server.refuse(Some(503));
        server.delete("b");
        server.apply(orders("a", &[pod(0, 2)]));
        server.forget(by_status);
        server.refuse(None);
        process.finds([(1, "10.0.2.0:1121")]).await;
        assert_eq!(server.asked().borrow().lists, 2);
        assert_eq!(process.metric("toystore_discovery_errors_total{group=\"order\",reason=\"expired\"}"), "1");
    }
}

#[tokio::test]
async fn while_the_server_is_down_the_last_addresses_stay() {
    let mut server = ApiServer::start();
    server.apply(orders("a", &[pod(0, 1), pod(1, 1)]));
    let mut process = Process::start(&server);
    let both = [(1, "10.0.1.0:1121"), (2, "10.0.1.1:1121")];
    process.finds(both).await;
    server.go_down();
    // Metrics have no channel of their own.
    let noticed = async {
        while process.metric("toystore_discovery_connected{group=\"order\"}") != "0" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, noticed).await.unwrap();
    process.finds(both).await;
    server.apply(orders("a", &[pod(0, 1), pod(1, 2)]));
    server.come_up();
    process.finds([(1, "10.0.1.0:1121"), (2, "10.0.2.1:1121")]).await;
    assert_eq!(process.metric("toystore_discovery_connected{group=\"order\"}"), "1");
}

#[tokio::test]
async fn a_server_that_refuses_is_asked_again_and_the_reason_is_counted() {
    for (status, reason) in [(403, "forbidden"), (401, "unauthorized"), (500, "refused")] {
        let server = ApiServer::start();
        server.apply(orders("a", &[pod(0, 1)]));
        server.refuse(Some(status));
        let mut process = Process::start(&server);
        seen(&server, "two tries", |asked| asked.refused >= 2).await;
        let errors = format!("toystore_discovery_errors_total{{group=\"order\",reason=\"{reason}\"}}");
        assert_ne!(process.metric(&errors), "0");
        assert_eq!(process.metric("toystore_discovery_connected{group=\"order\"}"), "0");
        server.refuse(None);
        process.finds([(1, "10.0.1.0:1121")]).await;
    }
}
