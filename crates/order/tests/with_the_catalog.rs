//! Both halves of the transaction, as they are: one order replica and one catalog.

mod store;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use api::catalog::StockAccount;
use api::public::OrderPlaced;
use api::{Address, ErrorCode, Ordinal, Price, Product, ProductName, Stock};
use discovery::Group;
use futures::future::join_all;
use order::Service;
use service::call::{CallError, Caller};
use service::http::Listener;
use store::{LONG, addresses, bind, config, id, order};
use tokio::time::{Instant, sleep, timeout};

async fn start_catalog(dir: &Path) -> (catalog::Service, Address) {
    let listener = || Listener::bind([127, 0, 0, 1].into(), 0).unwrap();
    let listeners = catalog::Listeners { service: listener(), replication: listener() };
    let peer = Address::new("127.0.0.1", listeners.replication.local_addr().unwrap().port());
    let product = |name, quantity| Product {
        name: ProductName::new(name).unwrap(),
        price: Price::from_cents(2599).unwrap(),
        quantity: Stock(quantity),
    };
    let config = catalog::Config {
        ordinal: Ordinal(1),
        founders: 1,
        peers: discovery::fixed([(Ordinal(1), peer)].into()),
        discovery: discovery::Discovery::default(),
        bind_host: [127, 0, 0, 1].into(),
        port: 0,
        replication_port: 0,
        data_dir: dir.join("catalog1"),
        seed: catalog::Seed::Products(vec![product("Tux", 100), product("Fox", 1000)]),
        restock: catalog::Restock { interval: Duration::ZERO, level: Stock(100) },
        // Short, since a catalog that comes back lets one lease pass first.
        lease: Duration::from_millis(200),
        storage: store::storage(dir),
        token: None,
    };
    let service = catalog::Service::start(config, listeners).await.unwrap();
    let address = Address::new("127.0.0.1", service.address().port());
    (service, address)
}

struct Store {
    order: Service,
    group: Group,
}

impl Store {
    async fn start(dir: &Path, catalog: &Address) -> Self {
        let listeners = bind();
        let config = config(dir, catalog, 1, std::slice::from_ref(&listeners));
        let replicas = addresses(std::slice::from_ref(&listeners), |both| &both.service);
        let order = Service::start(config, listeners).await.unwrap();
        Self { order, group: Group::new("order", discovery::fixed(replicas), Caller::new(None)) }
    }

    async fn place(&self, n: u128, name: &str) -> Result<u64, CallError> {
        let order = &order(id(n), name, 1);
        let post =
            async |caller: Caller, address| caller.post::<_, OrderPlaced>(&address, "/orders", order, LONG).await;
        self.group.ask_leader(Instant::now() + LONG, post).await.map(|placed| placed.order_number.get())
    }
}

async fn account(catalog: &Address, name: &str) -> Option<StockAccount> {
    let accounts: Vec<StockAccount> = Caller::new(None).get(catalog, "/accounts", LONG).await.ok()?;
    accounts.into_iter().find(|account| account.name.as_str() == name)
}

/// Waits until nothing is reserved; gives (stock, sold).
async fn settled(catalog: &Address, name: &str) -> (u64, u64) {
    let settled = async {
        loop {
            if let Some(account) = account(catalog, name).await
                && account.reserved == 0
            {
                assert_eq!(account.initial + account.restocked, account.stock.0 + account.sold);
                return (account.stock.0, account.sold);
            }
        }
    };
    timeout(LONG, settled).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_buyers_get_exactly_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let (catalog, address) = start_catalog(dir.path()).await;
    let store = Store::start(dir.path(), &address).await;
    // Where a batch takes long, fewer are let into the queue; the others come again.
    let place = async |n| {
        loop {
            match store.place(n, "Tux").await {
                Err(error) if error.code() == Some(ErrorCode::Overloaded) => sleep(Duration::from_millis(10)).await,
                answer => return answer,
            }
        }
    };
    let mut answers = Vec::new();
    for buyers in 0..5 {
        // As many as have room in the queue.
        let together = join_all((0..30).map(|n| place(buyers * 30 + n)));
        answers.extend(timeout(LONG, together).await.unwrap());
    }
    let placed: BTreeSet<u64> = answers.iter().flatten().copied().collect();
    assert_eq!(placed, (1..=100).collect());
    let refused = answers.iter().filter_map(|answer| answer.as_ref().err());
    assert!(refused.clone().all(|error| error.code() == Some(ErrorCode::OutOfStock)), "{answers:?}");
    assert_eq!(settled(&address, "Tux").await, (0, 100));
    store.order.stop().await;
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_either_disk_full_nothing_is_begun_and_later_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (catalog, address) = start_catalog(dir.path()).await;
    let store = Store::start(dir.path(), &address).await;
    assert_eq!(store.place(1, "Fox").await.unwrap(), 1);
    let mut next = 2;
    for disk in [dir.path().to_owned(), dir.path().join("order1")] {
        std::fs::write(disk.join("faults.txt"), "full=true").unwrap();
        let refused = async {
            loop {
                match store.place(u128::from(next), "Fox").await {
                    // It came before the look that found the disk full.
                    Ok(_) => next += 1,
                    Err(error) => return error,
                }
            }
        };
        let refused = timeout(LONG, refused).await.unwrap();
        assert_eq!(refused.code(), Some(ErrorCode::InsufficientStorage), "{refused:?}");
        assert_eq!(store.place(1, "Fox").await.unwrap(), 1, "what is placed is known");
        // Settling goes on, and nothing is held for the refused one.
        assert_eq!(settled(&address, "Fox").await, (1000 - (next - 1), next - 1));

        std::fs::write(disk.join("faults.txt"), "").unwrap();
        let placed = async {
            loop {
                match store.place(u128::from(next), "Fox").await {
                    Ok(number) => return number,
                    Err(error) => assert_eq!(error.code(), Some(ErrorCode::InsufficientStorage), "{error:?}"),
                }
            }
        };
        let number = timeout(LONG, placed).await.unwrap();
        assert_eq!(number, next, "no number is left out");
        next = number + 1;
    }
    store.order.stop().await;
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_half_may_go_away_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let (catalog, address) = start_catalog(dir.path()).await;
    let store = Store::start(dir.path(), &address).await;
    assert_eq!(store.place(1, "Fox").await.unwrap(), 1);
    store.order.stop().await;

    let store = Store::start(dir.path(), &address).await;
    assert_eq!(store.place(2, "Fox").await.unwrap(), 2);
    assert_eq!(store.place(1, "Fox").await.unwrap(), 1, "known from before");
    catalog.stop().await;

    let waits = store.place(3, "Fox");
    assert!(timeout(Duration::from_millis(300), waits).await.is_err(), "no order without a catalog");
    store.order.stop().await;
    let (catalog, address) = start_catalog(dir.path()).await;
    let store = Store::start(dir.path(), &address).await;
    let number = store.place(3, "Fox").await.unwrap();
    assert_eq!(number, 3);
    assert_eq!(settled(&address, "Fox").await, (997, 3));
    store.order.stop().await;
    catalog.stop().await;
}
