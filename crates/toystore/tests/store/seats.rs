//! Groups grow and shrink while clients order: three order replicas become five, and three again; three catalogs become one.

use std::process::{Output, Stdio};
use std::time::Duration;

use api::Ordinal;
use api::replica::ReplicaStatus;
use tokio::process::{Child, Command};
use toystore::local::{Layout, Member, PortBase};

use crate::harness::{Audit, BINARY, PATIENCE, TOYS, TestStore, Writers, eventually};

/// What whoever leads says of itself.
async fn leader(store: &TestStore) -> ReplicaStatus {
    let led = async {
        loop {
            for seat in (1..=5).map(Ordinal) {
                if let Some(status) = store.store.status(seat).await
                    && status.leads()
                {
                    return status;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, led).await.expect("someone leads")
}

/// The seats that have a vote, as the leader tells.
async fn voters(store: &TestStore) -> Vec<u8> {
    let mut seats: Vec<u8> = leader(store).await.voters.iter().map(|id| id.ordinal().0).collect();
    seats.sort_unstable();
    seats
}

/// `toystore scale --to …`, as a person runs it.
async fn scale(store: &TestStore, to: u8) -> Output {
    let layout = store.store.layout();
    let mut command = Command::new(BINARY);
    command.args(["scale", "--to", &to.to_string()]).env("ORDER_SEATS", "5").kill_on_drop(true);
    for n in (1..=5).map(Ordinal) {
        let address = layout.internal(Member::Order(n));
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
    let mut store = TestStore::plenty(|layout| layout.with_seats(5)).await;
    let mut writers = Writers::start(&store.rest(), 4, TOYS);
    writers.acknowledge_more(50).await;
    for seat in [4, 5] {
        store.store.start(Member::Order(Ordinal(seat))).unwrap();
    }
    eventually("five have a vote", || async { voters(&store).await == [1, 2, 3, 4, 5] }).await;
    writers.acknowledge_more(50).await;

    // Five survive two: the leader dies, and so does another.
    let leader = leader(&store).await.ordinal;
    let other = (1..=3).map(Ordinal).find(|n| *n != leader).unwrap();
    for dead in [leader, other] {
        store.store.process(Member::Order(dead)).kill().await.unwrap();
    }
    writers.acknowledge_more(50).await;
    for dead in [leader, other] {
        store.store.start(Member::Order(dead)).unwrap();
    }
    store.ready().await;

    assert_left(&scale(&store, 3).await, "1, 2, 3");
    for seat in [4, 5] {
        let process = store.store.process(Member::Order(Ordinal(seat)));
        process.stop(PATIENCE).await.unwrap();
        store.store.forget(Member::Order(Ordinal(seat)));
    }
    writers.acknowledge_more(50).await;
    // Three survive one.
    store.store.process(Member::Order(Ordinal(1))).kill().await.unwrap();
    writers.acknowledge_more(50).await;
    store.store.start(Member::Order(Ordinal(1))).unwrap();
    store.ready().await;

    // A seat that is wanted again is taken again, with the disk that it had.
    store.store.start(Member::Order(Ordinal(4))).unwrap();
    eventually("four have a vote", || async { voters(&store).await == [1, 2, 3, 4] }).await;
    writers.acknowledge_more(50).await;
    let (acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "{errors:#?}");
    Audit::check(&mut store, &acknowledged).await;
    let ledger = |n| std::fs::read(store.store.layout().ledger(Ordinal(n))).unwrap();
    let whole = ledger(1);
    eventually("the newcomer has everything", || async { ledger(4) == whole }).await;
    assert!(whole.starts_with(&ledger(5)), "what was removed had the same orders");
}

/// Three catalogs: the store's own one in seat 1, and two more.
struct Catalogs {
    /// What tells any process where they are.
    variables: Vec<(String, String)>,
    /// Their files, and their ports, which are those of nobody else.
    files: tempfile::TempDir,
    _ports: Layout,
}

impl Catalogs {
    /// Beside a store with that layout.
    fn beside(layout: &Layout) -> Self {
        let files = tempfile::tempdir().unwrap();
        let ports = Layout::new(files.path(), PortBase::ephemeral().unwrap()).with_frontends(5);
        let own = layout.internal(Member::Catalog);
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

    fn told_to(&self, layout: Layout) -> Layout {
        let own = layout.with_member_variable(Member::Catalog, "COMPONENT_ID", 1);
        self.variables.iter().fold(own, |layout, (name, value)| layout.with_variable(name, value))
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(BINARY);
        command.arg(subcommand).envs(self.variables.iter().cloned()).kill_on_drop(true);
        command
    }

    /// One of those that are not the store's own.
    fn start(&self, seat: u8) -> Child {
        let mut command = self.command("catalog");
        command.env("COMPONENT_ID", seat.to_string()).env("BIND_HOST", "127.0.0.1");
        command.env("RESTOCK_INTERVAL_MS", "50").env("RESTOCK_LEVEL", "10000000");
        command.env("CATALOG_FILE", self.files.path().join("catalog.csv"));
        command.env("CATALOG_DATA_DIR", self.files.path().join(seat.to_string()));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

#[tokio::test]
async fn three_catalogs_become_one_while_orders_flow() {
    let mut catalogs = None;
    let mut store = TestStore::prepare_plenty(|layout| {
        let beside = Catalogs::beside(&layout);
        let layout = beside.told_to(layout);
        catalogs = Some(beside);
        layout
    });
    let catalogs = catalogs.expect("it was prepared");
    let mut others = [2, 3].map(|seat| catalogs.start(seat));
    store.store.start_all().unwrap();
    store.stock_up().await;
    let mut writers = Writers::start(&store.rest(), 4, TOYS);
    writers.acknowledge_more(50).await;

    let scaled = catalogs.command("scale").args(["--catalog-to", "1"]).output().await.unwrap();
    assert_left(&scaled, "1");
    for other in &mut others {
        other.kill().await.unwrap();
    }
    writers.acknowledge_more(50).await;
    // Who is alone elects itself.
    store.store.process(Member::Catalog).kill().await.unwrap();
    store.store.start(Member::Catalog).unwrap();
    writers.acknowledge_more(50).await;
    let (acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "{errors:#?}");
    Audit::check(&mut store, &acknowledged).await;
}

#[tokio::test]
async fn a_group_that_is_down_is_left_as_it_is_if_that_is_said() {
    let nowhere = TestStore::prepare(|layout| layout);
    let layout = nowhere.store.layout();
    let port = layout.public_port(1).to_string();
    let scale = async |more: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(["scale", "--catalog-to", "1", "--catalog-port", &port]).args(more);
        command.kill_on_drop(true).output().await.unwrap()
    };
    let left = scale(&["--unless-down"]).await;
    let stdout = String::from_utf8_lossy(&left.stdout);
    assert!(left.status.success() && stdout.contains("no catalog replica answers"), "{stdout}");
    assert_eq!(scale(&[]).await.status.code(), Some(1));
}
