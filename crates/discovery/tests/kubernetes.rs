//! Finding replicas through the Kubernetes API, and its failures.

mod api_server;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use api::replica::Replicas;
use api_server::{ApiServer, Pod, Requests, slice};
use discovery::{Discovery, WatchGuard, settings};
use prometheus::{Registry, TextEncoder};
use service::settings::{Values, command};
use tokio::sync::watch;
use tokio::time::timeout;

/// Far longer than anything here takes. Pauses between attempts are at most 5 s.
const TIMEOUT: Duration = Duration::from_secs(30);

const CONNECTED: &str = "toystore_discovery_connected{group=\"order\"}";
const ORDERS: &str = "toystore-order-peers";
const PORTS: (u16, u16) = (1121, 1124);

/// A process that needs the addresses of the order replicas.
struct Process {
    discovery: Discovery,
    internal: watch::Receiver<Replicas>,
    replication: watch::Receiver<Replicas>,
    registry: Registry,
    _watching: WatchGuard,
    _kubeconfig: tempfile::NamedTempFile,
}

impl Process {
    fn start(server: &ApiServer) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), server.kubeconfig()).unwrap();
        let (discovery, internal, replication) = read(file.path());
        let registry = Registry::new();
        discovery.register(&registry);
        let watching = discovery.start();
        Self { discovery, internal, replication, registry, _watching: watching, _kubeconfig: file }
    }

    /// Waits until exactly these replicas are known.
    async fn finds<const N: usize>(&mut self, expected: [(u8, &str); N]) {
        let is_so =
            |replicas: &Replicas| listed(replicas).iter().map(|(ordinal, at)| (*ordinal, at.as_str())).eq(expected);
        let found = timeout(TIMEOUT, self.internal.wait_for(is_so)).await.is_ok();
        assert!(found, "found {:?} instead of {expected:?}", listed(&self.internal.borrow()));
    }

    /// Waits until a metric has this value. (A metric cannot be awaited.)
    async fn becomes(&self, what: &str, value: &str) {
        let becomes = async {
            while self.metric(what) != value {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(TIMEOUT, becomes).await.is_ok(), "{what} is {}", self.metric(what));
    }

    /// The value of a metric, identified by its name and labels as Prometheus writes them.
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
    let (internal, replication) = values.finish(lists).unwrap();
    (discovery, internal, replication)
}

fn listed(replicas: &Replicas) -> Vec<(u8, String)> {
    replicas.iter().map(|(ordinal, address)| (ordinal.0, address.to_string())).collect()
}

fn pod(number: u8, life: u8) -> Pod {
    Pod::new(&format!("toystore-order-{number}"), &format!("{number}-{life}"), &format!("10.0.{life}.{number}"))
}

fn orders(name: &str, pods: &[Pod]) -> serde_json::Value {
    slice(ORDERS, name, PORTS, pods)
}

async fn seen(server: &ApiServer, what: &str, is_so: impl FnMut(&Requests) -> bool) -> Requests {
    let mut requests = server.requests();
    let seen = timeout(TIMEOUT, requests.wait_for(is_so)).await;
    seen.unwrap_or_else(|_| panic!("{what}: {:?}", server.requests().borrow())).expect("the server is there").clone()
}

#[tokio::test]
async fn the_first_list_is_awaited_and_changes_follow() {
    let server = ApiServer::start();
    server.hold_lists(true);
    server.apply(orders("a", &[pod(0, 1), pod(1, 1)]));
    server.apply(slice("toystore-catalog-peers", "c", (1130, 1131), &[pod(2, 1)]));
    let mut process = Process::start(&server);
    seen(&server, "a list request", |requests| requests.lists == 1).await;
    assert!(futures::poll!(std::pin::pin!(process.discovery.synced())).is_pending(), "there is no list yet");
    assert_eq!(process.metric(CONNECTED), "0");

    server.hold_lists(false);
    timeout(TIMEOUT, process.discovery.synced()).await.unwrap();
    process.finds([(1, "10.0.1.0:1121"), (2, "10.0.1.1:1121")]).await;
    assert_eq!(listed(&process.replication.borrow()), [(1, "10.0.1.0:1124".into()), (2, "10.0.1.1:1124".into())]);

    server.apply(orders("a", &[pod(0, 1), pod(1, 1), pod(2, 1)]));
    process.finds([(1, "10.0.1.0:1121"), (2, "10.0.1.1:1121"), (3, "10.0.1.2:1121")]).await;
    assert_eq!(process.metric("toystore_discovery_replicas{group=\"order\"}"), "3");
    assert_eq!(process.metric("toystore_discovery_updates_total{group=\"order\"}"), "2");
    assert_eq!(process.metric(CONNECTED), "1");
    let age = process.metric("toystore_discovery_age_seconds{group=\"order\"}");
    assert!(age.parse::<f64>().unwrap() < TIMEOUT.as_secs_f64(), "{age}");
}

#[tokio::test]
async fn an_empty_list_is_a_valid_answer() {
    let server = ApiServer::start();
    let mut process = Process::start(&server);
    timeout(TIMEOUT, process.discovery.synced()).await.unwrap();
    process.finds([]).await;
    server.apply(orders("a", &[pod(0, 1)]));
    process.finds([(1, "10.0.1.0:1121")]).await;
}

#[tokio::test]
async fn a_replaced_pod_is_found_at_its_new_address_and_the_old_address_never_returns() {
    let server = ApiServer::start();
    server.apply(orders("a", &[pod(0, 1), pod(1, 1)]));
    let mut process = Process::start(&server);
    process.finds([(1, "10.0.1.0:1121"), (2, "10.0.1.1:1121")]).await;
    // A pod that stops keeps its address until it is gone.
    server.apply(orders("a", &[pod(0, 1), pod(1, 1).terminating()]));
    // Its successor appears in another slice before the old slice is updated.
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
async fn splitting_and_merging_slices_changes_nothing() {
    let server = ApiServer::start();
    server.apply(orders("a", &[pod(0, 1), pod(1, 1), pod(2, 1)]));
    let mut process = Process::start(&server);
    let all = [(1, "10.0.1.0:1121"), (2, "10.0.1.1:1121"), (3, "10.0.1.2:1121")];
    process.finds(all).await;
    server.apply(orders("b", &[pod(1, 1), pod(2, 1)]));
    server.apply(orders("a", &[pod(0, 1)]));
    server.apply(orders("a", &[pod(0, 1), pod(1, 1), pod(2, 1)]));
    server.delete("b");
    // A visible change after all of these.
    server.apply(orders("c", &[pod(3, 1)]));
    process.finds([all[0], all[1], all[2], (4, "10.0.1.3:1121")]).await;
    assert_eq!(
        process.metric("toystore_discovery_updates_total{group=\"order\"}"),
        "2",
        "the first list and the last pod"
    );
}

#[tokio::test]
async fn a_watch_continues_from_the_last_bookmark() {
    let server = ApiServer::start();
    server.apply(orders("a", &[pod(0, 1)]));
    let mut process = Process::start(&server);
    process.finds([(1, "10.0.1.0:1121")]).await;
    seen(&server, "a watch", |requests| requests.watches.len() == 1).await;
    let version = server.bookmark();
    server.end_watches();
    let requests = seen(&server, "another watch", |requests| requests.watches.len() == 2).await;
    assert_eq!(requests, Requests { lists: 1, watches: vec![1, version], refused: 0 });
    server.apply(orders("a", &[pod(0, 2)]));
    process.finds([(1, "10.0.2.0:1121")]).await;
}

#[tokio::test]
async fn a_line_that_is_cut_off_is_requested_again() {
    let server = ApiServer::start();
    server.apply(orders("a", &[pod(0, 1)]));
    let mut process = Process::start(&server);
    process.finds([(1, "10.0.1.0:1121")]).await;
    seen(&server, "a watch", |requests| requests.watches.len() == 1).await;
    server.cut_watches();
    server.apply(orders("a", &[pod(0, 2)]));
    process.finds([(1, "10.0.2.0:1121")]).await;
    assert_eq!(server.requests().borrow().lists, 1, "the watch continued from its last version");
}

#[tokio::test]
async fn after_a_forgotten_version_a_new_list_replaces_the_old_one() {
    for by_status in [true, false] {
        let server = ApiServer::start();
        server.apply(orders("a", &[pod(0, 1)]));
        server.apply(orders("b", &[pod(1, 1)]));
        let mut process = Process::start(&server);
        process.finds([(1, "10.0.1.0:1121"), (2, "10.0.1.1:1121")]).await;
        seen(&server, "a watch", |requests| requests.watches.len() == 1).await;
        server.refuse(Some(503));
        server.delete("b");
        server.apply(orders("a", &[pod(0, 2)]));
        server.forget(by_status);
        server.refuse(None);
        process.finds([(1, "10.0.2.0:1121")]).await;
        assert_eq!(server.requests().borrow().lists, 2);
        assert_eq!(process.metric("toystore_discovery_errors_total{group=\"order\",reason=\"expired\"}"), "1");
    }
}

#[tokio::test]
async fn the_last_addresses_stay_while_the_server_is_down() {
    let mut server = ApiServer::start();
    server.apply(orders("a", &[pod(0, 1), pod(1, 1)]));
    let mut process = Process::start(&server);
    let both = [(1, "10.0.1.0:1121"), (2, "10.0.1.1:1121")];
    process.finds(both).await;
    process.becomes(CONNECTED, "1").await;
    server.go_down();
    process.becomes(CONNECTED, "0").await;
    process.finds(both).await;
    server.apply(orders("a", &[pod(0, 1), pod(1, 2)]));
    server.come_up();
    process.finds([(1, "10.0.1.0:1121"), (2, "10.0.2.1:1121")]).await;
    process.becomes(CONNECTED, "1").await;
}

#[tokio::test]
async fn refused_requests_are_retried_and_counted_by_reason() {
    for (status, reason) in [(403, "forbidden"), (401, "unauthorized"), (500, "refused")] {
        let server = ApiServer::start();
        server.apply(orders("a", &[pod(0, 1)]));
        server.refuse(Some(status));
        let mut process = Process::start(&server);
        seen(&server, "two attempts", |requests| requests.refused >= 2).await;
        let errors = format!("toystore_discovery_errors_total{{group=\"order\",reason=\"{reason}\"}}");
        assert_ne!(process.metric(&errors), "0");
        assert_eq!(process.metric(CONNECTED), "0");
        server.refuse(None);
        process.finds([(1, "10.0.1.0:1121")]).await;
    }
}

#[tokio::test]
async fn after_any_refusal_of_a_watch_everything_is_listed_again() {
    for status in [400, 403, 404, 409, 410, 422, 429, 500, 503, 504] {
        let server = ApiServer::start();
        server.apply(orders("a", &[pod(0, 1)]));
        let mut process = Process::start(&server);
        process.finds([(1, "10.0.1.0:1121")]).await;
        seen(&server, "a watch", |requests| requests.watches.len() == 1).await;
        server.refuse_watches(Some(status));
        server.change_silently(orders("a", &[pod(0, 2)]));
        process.finds([(1, "10.0.2.0:1121")]).await;
        seen(&server, "another attempt", |requests| requests.refused >= 2).await;
        if status != 410 {
            assert_eq!(process.metric(CONNECTED), "0", "{status}: a list alone does not count as connected");
        }
        server.refuse_watches(None);
        process.becomes(CONNECTED, "1").await;
    }
}

#[tokio::test]
async fn the_state_of_a_server_restored_from_a_backup_is_adopted() {
    let server = ApiServer::start();
    for life in 1..=20 {
        server.apply(orders("a", &[pod(0, life)]));
    }
    let mut process = Process::start(&server);
    process.finds([(1, "10.0.20.0:1121")]).await;
    seen(&server, "a watch", |requests| requests.watches == [20]).await;
    // The server accepts a version that it has not reached yet, and has changes below it.
    server.restore(5, [orders("a", &[pod(0, 30)])]);
    seen(&server, "a watch from the old version", |requests| requests.watches == [20, 20]).await;
    server.bookmark();
    process.finds([(1, "10.0.30.0:1121")]).await;
    assert_eq!(process.metric("toystore_discovery_errors_total{group=\"order\",reason=\"went_back\"}"), "1");
}

#[tokio::test]
async fn a_change_that_no_watch_reports_is_listed_minutes_later() {
    let server = ApiServer::start();
    server.apply(orders("a", &[pod(0, 1)]));
    let mut process = Process::start(&server);
    process.finds([(1, "10.0.1.0:1121")]).await;
    process.becomes(CONNECTED, "1").await;
    server.change_silently(orders("a", &[pod(0, 2)]));
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(241)).await;
    tokio::time::resume();
    process.finds([(1, "10.0.2.0:1121")]).await;
}
