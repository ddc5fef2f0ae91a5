//! An older copy of the catalog's data, or of the orders', is restored: the two no longer belong
//! together.

mod store;

use std::time::Duration;

use api::replica::Replicas;
use api::{Address, ErrorCode, Ordinal};
use order::Config;
use service::json_client::{CallError, JsonClient};
use service::lifecycle::Process;
use store::only_replica::OnlyReplica;
use store::real_catalog::{self, settled};
use store::{LONG, id, order, place};
use test_support::{copy, replace};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// The pause between two polls.
const POLL_PAUSE: Duration = Duration::from_millis(5);
const PIECES: u64 = 1000;

/// One catalog and one order replica, whose directories can be exchanged while they are stopped.
struct Store {
    dir: tempfile::TempDir,
    catalog_at: watch::Sender<Replicas>,
    catalog: Option<catalog::Server>,
    order: Option<OnlyReplica>,
    accepted_difference: i64,
}

impl Store {
    async fn start() -> Self {
        let mut store = Self {
            dir: tempfile::tempdir().unwrap(),
            catalog_at: watch::Sender::new(Replicas::new()),
            catalog: None,
            order: None,
            accepted_difference: 0,
        };
        store.start_catalog().await;
        store.start_order().await;
        store
    }

    /// A store with `orders` orders, and the catalog's data from when there was only the first.
    /// Everything is settled, and the catalog is stopped.
    async fn with_older_catalog(orders: u64) -> (Self, tempfile::TempDir) {
        let mut store = Self::start().await;
        assert_eq!(store.place(1).await.unwrap(), 1);
        store.sold(1).await;
        store.stop_catalog().await;
        let older = store.copy_of(CATALOG);
        store.start_catalog().await;
        for n in 2..=orders {
            assert_eq!(store.place(n.into()).await.unwrap(), n);
        }
        store.sold(orders).await;
        store.stop_catalog().await;
        (store, older)
    }

    async fn start_catalog(&mut self) {
        let (server, address) = real_catalog::start(self.dir.path(), &[("Tux", PIECES)]).await;
        self.catalog_at.send_replace([(Ordinal(1), address)].into());
        self.catalog = Some(server);
    }

    async fn start_order(&mut self) {
        let adjust = |config: &mut Config| {
            config.catalog = self.catalog_at.subscribe();
            config.accepted_difference = self.accepted_difference;
        };
        self.order = Some(OnlyReplica::start(self.dir.path(), &self.catalog_address(), adjust).await.unwrap());
    }

    async fn stop_catalog(&mut self) {
        self.catalog.take().unwrap().stop().await;
    }

    async fn stop_order(&mut self) {
        self.order.take().unwrap().server.stop().await;
    }

    fn catalog_address(&self) -> Address {
        self.catalog_at.borrow()[&Ordinal(1)].clone()
    }

    fn order(&self) -> &OnlyReplica {
        self.order.as_ref().unwrap()
    }

    async fn place(&self, n: u128) -> Result<u64, CallError> {
        place(&self.order().group, &order(id(n), "Tux", 1)).await
    }

    /// Waits until this many pieces are sold and none is reserved.
    async fn sold(&self, pieces: u64) {
        let sold = async {
            while settled(&self.catalog_address(), "Tux").await.1 != pieces {
                sleep(POLL_PAUSE).await;
            }
        };
        timeout(LONG, sold).await.expect("a settlement");
    }

    /// Waits until `/readyz` of the order replica gives this reason; returns all of it.
    async fn not_ready_because(&self, what: &str) -> String {
        let not_ready = async {
            loop {
                if let Err(why) = JsonClient::new(None).probe(&self.order().address, "/readyz", LONG).await
                    && why.contains(what)
                {
                    return why;
                }
                sleep(POLL_PAUSE).await;
            }
        };
        timeout(LONG, not_ready).await.expect("it is not ready")
    }

    async fn ready(&self) {
        let ready = async {
            while JsonClient::new(None).probe(&self.order().address, "/readyz", LONG).await.is_err() {
                sleep(POLL_PAUSE).await;
            }
        };
        timeout(LONG, ready).await.expect("it is ready");
    }

    fn copy_of(&self, names: &[&str]) -> tempfile::TempDir {
        let copied = tempfile::tempdir().unwrap();
        for name in names {
            copy(&self.dir.path().join(name), &copied.path().join(name));
        }
        copied
    }

    fn put_back(&self, copied: &tempfile::TempDir, names: &[&str]) {
        for name in names {
            replace(&copied.path().join(name), &self.dir.path().join(name));
        }
    }
}

const CATALOG: &[&str] = &["catalog1"];
const ORDERS: &[&str] = &["order1", "log1.csv"];

fn mismatch(answer: Result<u64, CallError>, older: &str) {
    match answer {
        Err(CallError::Refused(refusal)) if refusal.code == ErrorCode::DataMismatch => {
            assert!(refusal.message.contains(older), "{refusal}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_catalog_under_the_orders_is_refused_until_the_newest_is_back() {
    let (mut store, older) = Store::with_older_catalog(4).await;
    store.stop_order().await;
    let newest = store.copy_of(CATALOG);

    store.put_back(&older, CATALOG);
    store.start_catalog().await;
    store.start_order().await;
    let why = store.not_ready_because("older").await;
    mismatch(store.place(5).await, "the catalog's data are older");
    for figure in ["sold 1 pieces", "up to number 4", "are for 4", "ACCEPTED_DIFFERENCE=3"] {
        assert!(why.contains(figure), "{why}");
    }
    assert_eq!(store.place(1).await.unwrap(), 1, "an order that is placed is known");

    store.stop_catalog().await;
    store.put_back(&newest, CATALOG);
    store.start_catalog().await;
    store.ready().await;
    assert_eq!(store.place(5).await.unwrap(), 5);
    store.sold(5).await;
    store.stop_order().await;
    store.stop_catalog().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_catalog_under_a_leader_that_works_is_refused_too() {
    // The next request carries no settlement that could reveal the mismatch.
    let (mut store, older) = Store::with_older_catalog(2).await;
    let newest = store.copy_of(CATALOG);
    store.put_back(&older, CATALOG);
    store.start_catalog().await;
    // The first order reveals the mismatch: its outcome is unknown.
    let first = store.place(3).await.expect_err("it is not placed");
    assert!(first.code().is_none_or(|code| code == ErrorCode::DataMismatch), "{first}");
    mismatch(store.place(4).await, "the catalog's data are older");
    let why = store.not_ready_because("older").await;
    assert!(why.contains("its last batch is 1/1") && why.contains("batch 1/2"), "{why}");

    store.stop_catalog().await;
    store.put_back(&newest, CATALOG);
    store.start_catalog().await;
    store.ready().await;
    let third = store.place(3).await.unwrap();
    assert_eq!(store.place(3).await.unwrap(), third, "it is placed once");
    assert_eq!(third, 3);
    store.sold(3).await;
    store.stop_order().await;
    store.stop_catalog().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_orders_over_the_catalog_are_refused_until_the_newest_are_back() {
    let mut store = Store::start().await;
    assert_eq!(store.place(1).await.unwrap(), 1);
    store.sold(1).await;
    store.stop_order().await;
    let older = store.copy_of(ORDERS);
    store.start_order().await;
    for n in 2..=3 {
        store.place(n).await.unwrap();
    }
    store.sold(3).await;
    store.stop_order().await;
    let newest = store.copy_of(ORDERS);

    store.put_back(&older, ORDERS);
    store.start_order().await;
    let why = store.not_ready_because("older").await;
    assert!(why.contains("the orders' data are older") && why.contains("sold 3 pieces"), "{why}");
    mismatch(store.place(4).await, "the orders' data are older");
    store.stop_order().await;

    store.put_back(&newest, ORDERS);
    store.start_order().await;
    assert_eq!(store.place(4).await.unwrap(), 4);
    store.sold(4).await;
    store.stop_order().await;
    store.stop_catalog().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_can_go_on_with_an_older_catalog() {
    let (mut store, older) = Store::with_older_catalog(2).await;
    store.stop_order().await;
    store.put_back(&older, CATALOG);
    store.start_catalog().await;
    store.accepted_difference = 1;
    store.start_order().await;
    assert_eq!(store.place(3).await.unwrap(), 3);
    store.sold(2).await;
    store.stop_order().await;
    store.stop_catalog().await;
}
