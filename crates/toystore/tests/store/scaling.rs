//! Groups are scaled while clients place orders: three order replicas become five, and three again;
//! three catalogs become one.

use std::process::{Output, Stdio};

use api::Ordinal;
use api::replica::ReplicaStatus;
use tokio::process::{Child, Command};
use toystore::local::{PortBase, StoreLayout, StoreMember};

use crate::harness::{Audit, BINARY, OrderWriters, Rest, TIMEOUT, TOYS, TestStore, awaited, eventually};

/// The status of the order leader.
async fn leader(store: &TestStore) -> ReplicaStatus {
    awaited("there is a leader", || async {
        let statuses = (1..=5).map(|n| store.store.status(Ordinal(n)));
        futures::future::join_all(statuses).await.into_iter().flatten().find(ReplicaStatus::leads)
    })
    .await
}

/// The ordinals of the voters, as the leader reports them.
async fn voters(store: &TestStore) -> Vec<u8> {
    let mut ordinals: Vec<u8> = leader(store).await.voters.iter().map(|id| id.ordinal().0).collect();
    ordinals.sort_unstable();
    ordinals
}

/// Runs `toystore scale --to …`.
async fn scale(store: &TestStore, to: u8) -> Output {
    let layout = store.store.layout();
    let mut command = Command::new(BINARY);
    command.args(["scale", "--to", &to.to_string()]).env("ORDER_SEATS", "5").kill_on_drop(true);
    for n in (1..=5).map(Ordinal) {
        let address = layout.internal(StoreMember::Order(n));
        let (_, port) = address.as_str().rsplit_once(':').expect("host and port");
        command.env(format!("ORDER_HOST_{n}"), "127.0.0.1").env(format!("ORDER_PORT_{n}"), port);
    }
    command.output().await.unwrap()
}

fn assert_left(scaled: &Output, voters: &str) {
    let (stdout, stderr) = (String::from_utf8_lossy(&scaled.stdout), String::from_utf8_lossy(&scaled.stderr));
    assert!(scaled.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains(&format!("have a vote: {voters}\n")), "{stdout}\n{stderr}");
}

#[tokio::test]
async fn three_become_five_and_three_again_while_orders_flow() {
    let mut store = TestStore::well_stocked(|layout| layout.with_order_addresses(5)).await;
    let mut writers = OrderWriters::start(&store, &[1], 4, TOYS);
    writers.acknowledge_more(50).await;
    for ordinal in [4, 5] {
        store.store.start(StoreMember::Order(Ordinal(ordinal))).unwrap();
    }
    eventually("five have a vote", || async { voters(&store).await == [1, 2, 3, 4, 5] }).await;
    writers.acknowledge_more(50).await;

    // Five replicas survive two failures: the leader's and another one's.
    let leader = leader(&store).await.ordinal;
    let other = (1..=3).map(Ordinal).find(|n| *n != leader).unwrap();
    for dead in [leader, other] {
        store.store.process(StoreMember::Order(dead)).kill().await.unwrap();
    }
    writers.acknowledge_more(50).await;
    for dead in [leader, other] {
        store.store.start(StoreMember::Order(dead)).unwrap();
    }
    store.ready().await;

    assert_left(&scale(&store, 3).await, "1, 2, 3");
    for ordinal in [4, 5] {
        let process = store.store.process(StoreMember::Order(Ordinal(ordinal)));
        process.stop(TIMEOUT).await.unwrap();
        store.store.forget(StoreMember::Order(Ordinal(ordinal)));
    }
    writers.acknowledge_more(50).await;
    // Three replicas survive one failure.
    store.store.process(StoreMember::Order(Ordinal(1))).kill().await.unwrap();
    writers.acknowledge_more(50).await;
    store.store.start(StoreMember::Order(Ordinal(1))).unwrap();
    store.ready().await;

    // A removed replica joins again, with its old disk.
    store.store.start(StoreMember::Order(Ordinal(4))).unwrap();
    eventually("four have a vote", || async { voters(&store).await == [1, 2, 3, 4] }).await;
    writers.acknowledge_more(50).await;
    let (acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "{errors:#?}");
    Audit::check(&mut store, &acknowledged).await;
    let ledger = |n| std::fs::read(store.store.layout().ledger(Ordinal(n))).unwrap();
    let whole = ledger(1);
    eventually("the new replica has caught up", || async { ledger(4) == whole }).await;
    assert!(whole.starts_with(&ledger(5)), "a removed replica has the same orders");
}

/// Three catalogs: the store's own with ordinal 1, and two more.
struct Catalogs {
    /// The variables with the addresses of all catalogs.
    variables: Vec<(String, String)>,
    /// Their files, and a block of ports of their own.
    files: tempfile::TempDir,
    _ports: StoreLayout,
}

impl Catalogs {
    /// Prepares two more catalogs for a store with that layout.
    fn for_store(layout: &StoreLayout) -> Self {
        let files = tempfile::tempdir().unwrap();
        let ports = StoreLayout::new(files.path(), PortBase::ephemeral().unwrap()).with_frontends(5);
        let own = layout.internal(StoreMember::Catalog);
        let (_, own) = own.as_str().rsplit_once(':').expect("host and port");
        let asked = [own.to_owned(), ports.public_port(1).to_string(), ports.public_port(2).to_string()];
        let replicating = [3, 4, 5].map(|n| ports.public_port(n).to_string());
        let mut variables = vec![("CATALOG_REPLICAS".to_owned(), "3".to_owned())];
        for (n, (asked, replicating)) in (1..).zip(asked.into_iter().zip(replicating)) {
            variables.push((format!("CATALOG_HOST_{n}"), "127.0.0.1".to_owned()));
            variables.push((format!("CATALOG_PORT_{n}"), asked));
            variables.push((format!("CATALOG2_PORT_{n}"), replicating));
        }
        Self { variables, files, _ports: ports }
    }

    fn configure(&self, layout: StoreLayout) -> StoreLayout {
        let own = layout.with_member_variable(StoreMember::Catalog, "COMPONENT_ID", 1);
        self.variables.iter().fold(own, |layout, (name, value)| layout.with_variable(name, value))
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(BINARY);
        command.arg(subcommand).envs(self.variables.iter().cloned()).kill_on_drop(true);
        command
    }

    /// Starts one of the two additional catalogs.
    fn start(&self, ordinal: u8) -> Child {
        let mut command = self.command("catalog");
        command.env("COMPONENT_ID", ordinal.to_string()).env("BIND_HOST", "127.0.0.1");
        command.env("RESTOCK_INTERVAL_MS", "50").env("RESTOCK_LEVEL", "10000000");
        command.env("CATALOG_FILE", self.files.path().join("catalog.csv"));
        command.env("CATALOG_DATA_DIR", self.files.path().join(ordinal.to_string()));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

#[tokio::test]
async fn three_catalogs_become_one_while_orders_flow() {
    let mut catalogs = None;
    let mut store = TestStore::prepare_well_stocked(|layout| {
        let prepared = Catalogs::for_store(&layout);
        let layout = prepared.configure(layout);
        catalogs = Some(prepared);
        layout
    });
    let catalogs = catalogs.expect("it was prepared");
    let mut others = [2, 3].map(|ordinal| catalogs.start(ordinal));
    store.store.start_all().unwrap();
    store.stock_up().await;
    let mut writers = OrderWriters::start(&store, &[1], 4, TOYS);
    writers.acknowledge_more(50).await;

    let scaled = catalogs.command("scale").args(["--catalog-to", "1"]).output().await.unwrap();
    assert_left(&scaled, "1");
    for other in &mut others {
        other.kill().await.unwrap();
    }
    writers.acknowledge_more(50).await;
    // A single replica elects itself.
    store.store.process(StoreMember::Catalog).kill().await.unwrap();
    store.store.start(StoreMember::Catalog).unwrap();
    writers.acknowledge_more(50).await;
    let (acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "{errors:#?}");
    Audit::check(&mut store, &acknowledged).await;
}

#[tokio::test]
async fn a_group_that_is_down_is_left_alone_if_requested() {
    let nowhere = TestStore::prepare(|layout| layout);
    let layout = nowhere.store.layout();
    let port = layout.public_port(1).to_string();
    let scale = async |more: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(["scale", "--catalog-to", "1", "--catalog-port", &port, "--timeout-ms", "1000"]).args(more);
        command.kill_on_drop(true).output().await.unwrap()
    };
    let left = scale(&["--unless-down"]).await;
    let stdout = String::from_utf8_lossy(&left.stdout);
    assert!(left.status.success() && stdout.contains("no catalog replica answers"), "{stdout}");
    assert_eq!(scale(&[]).await.status.code(), Some(1));
}

/// Runs `toystore scale` for three order replicas. Those in `without_address` get a host name that
/// does not resolve.
async fn scale_three(store: &TestStore, without_address: &[u8], more: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    // Longer than all replicas must have empty disks.
    command.args(["scale", "--timeout-ms", "7000"]).args(more).env("ORDER_REPLICAS", "3").kill_on_drop(true);
    for n in (1..=3).map(Ordinal) {
        let address = store.store.layout().internal(StoreMember::Order(n));
        let (_, port) = address.as_str().rsplit_once(':').expect("host and port");
        let host = if without_address.contains(&n.0) { "nobody.invalid" } else { "127.0.0.1" };
        command.env(format!("ORDER_HOST_{n}"), host).env(format!("ORDER_PORT_{n}"), port);
    }
    command.output().await.unwrap()
}

#[tokio::test]
async fn a_group_that_was_never_bootstrapped_has_nothing_to_remove() {
    let mut store = TestStore::prepare(|layout| layout);
    store.store.start(StoreMember::Order(Ordinal(1))).unwrap();
    let first = Rest::new(&store.store.layout().internal(StoreMember::Order(Ordinal(1))));
    eventually("it reports which replica it waits for", || async {
        let answer = first.request(reqwest::Method::GET, "/readyz").send().await;
        let Ok(answer) = answer else { return false };
        answer.text().await.is_ok_and(|text| text.contains("bootstrap member 2 does not answer"))
    })
    .await;
    // As after an installation with too few nodes: the other replicas have never run.
    let never_run = scale_three(&store, &[2, 3], &["--to", "1"]).await;
    let stdout = String::from_utf8_lossy(&never_run.stdout);
    assert!(never_run.status.success() && stdout.contains("never bootstrapped"), "{never_run:?}");

    // A replica that has an address but does not answer may know of a group.
    let silent = scale_three(&store, &[3], &["--to", "1"]).await;
    let stderr = String::from_utf8_lossy(&silent.stderr);
    assert_eq!(silent.status.code(), Some(1), "{silent:?}");
    for word in ["replica 1 has an empty disk", "replica 2 does not answer", "replica 3 has no address", "--no-hooks"] {
        assert!(stderr.contains(word), "{word:?} is missing in {stderr}");
    }
    assert!(!stderr.contains("replica 5"), "{stderr}");
}

#[tokio::test]
async fn a_group_without_a_leader_is_fine_if_there_is_nothing_to_remove() {
    let mut store = TestStore::start().await;
    for dead in [2, 3] {
        store.store.process(StoreMember::Order(Ordinal(dead))).kill().await.unwrap();
    }
    let (nothing, one) = tokio::join!(
        scale_three(&store, &[], &["--to", "3", "--unless-down"]),
        scale_three(&store, &[], &["--to", "1"])
    );
    assert!(nothing.status.success(), "a rollback that may repair it continues: {nothing:?}");
    assert_eq!(one.status.code(), Some(1), "{one:?}");
    assert!(String::from_utf8_lossy(&one.stderr).contains("replica 1 is waiting for a leader"), "{one:?}");
}
