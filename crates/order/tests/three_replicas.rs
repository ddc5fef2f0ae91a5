//! Three order replicas over HTTP: what each of them answers. How leaders change is shown by the
//! simulation's scripts.

mod store;

use std::collections::BTreeMap;

use api::public::{Order, OrderPlaced};
use api::{ErrorCode, OrderId, Ordinal};
use discovery::{Group, Leader};
use futures::future::join_all;
use order::Server;
use service::json_client::{CallError, JsonClient, RequestPath};
use service::lifecycle::Process;
use store::fake_catalog::FakeCatalog;
use store::{LONG, addresses, bind, config, id, order, place};
use tempfile::TempDir;
use tokio::time::timeout;

struct Store {
    servers: BTreeMap<Ordinal, Server>,
    group: Group,
    _catalog: FakeCatalog,
    _dir: TempDir,
}

impl Store {
    async fn bootstrap(stock: u32) -> Self {
        let (dir, catalog) = (tempfile::tempdir().unwrap(), FakeCatalog::start(&[("Tux", stock)]));
        let listeners = [bind(), bind(), bind()];
        let group = Group::new(
            "order",
            discovery::static_replicas(addresses(&listeners, |both| &both.main)),
            JsonClient::new(None),
        );
        let configs: Vec<_> =
            (1..=3).map(|ordinal| config(dir.path(), &catalog.address, ordinal, &listeners)).collect();
        let started = configs
            .into_iter()
            .zip(listeners)
            .map(|(config, listeners)| async { (config.ordinal, Server::start(config, listeners).await.unwrap()) });
        let servers = join_all(started).await.into_iter().collect();
        let store = Self { servers, group, _catalog: catalog, _dir: dir };
        // The replica with the lowest ordinal bootstraps the group and leads it.
        store.place(id(0)).await.unwrap();
        store
    }

    async fn place(&self, order_id: OrderId) -> Result<u64, CallError> {
        place(&self.group, &order(order_id, "Tux", 1)).await
    }

    /// Waits for a leader that a majority confirms.
    async fn leader(&self) -> Leader {
        let led = async {
            loop {
                if let Some(leader) = self.group.find_leader(LONG).await {
                    return leader;
                }
            }
        };
        timeout(LONG, led).await.unwrap()
    }

    async fn get(&self, from: Ordinal, number: u64) -> Result<Order, CallError> {
        let address = self.group.address(from).unwrap();
        let path = format!("/orders/{number}");
        JsonClient::new(None).get(&address, RequestPath::filled("/orders/{number}", &path), LONG).await
    }

    /// Waits until every replica has the order.
    async fn all_have(&self, number: u64) {
        let have = self.servers.keys().map(|ordinal| async { while self.get(*ordinal, number).await.is_err() {} });
        timeout(LONG, join_all(have)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_replica_serves_its_orders_but_only_the_leader_says_not_found() {
    let store = Store::bootstrap(100).await;
    assert_eq!(store.place(id(1)).await.unwrap(), 2);
    store.all_have(2).await;
    let leader = store.leader().await.ordinal;
    let missing = async |ordinal| {
        loop {
            let Err(CallError::Refused(missing)) = store.get(ordinal, 3).await else { panic!("there is no order 3") };
            // It waits a second for its engine, and for a majority.
            if missing.code != ErrorCode::Unavailable {
                return missing;
            }
        }
    };
    for ordinal in store.servers.keys() {
        if *ordinal == leader {
            // It says so once a majority has confirmed its leadership, which a slow majority may
            // not do in time.
            let confirmed = async { while missing(*ordinal).await.code != ErrorCode::NoSuchOrder {} };
            timeout(LONG, confirmed).await.unwrap();
            continue;
        }
        let missing = timeout(LONG, missing(*ordinal)).await.unwrap();
        assert_eq!((missing.code, missing.leader), (ErrorCode::NotLeader, Some(leader)));
        let (address, other) = (store.group.address(*ordinal).unwrap(), order(id(9), "Tux", 1));
        let placed = JsonClient::new(None).post::<_, OrderPlaced>(&address, "/orders", &other, LONG).await;
        let Err(CallError::Refused(refused)) = placed else { panic!("a follower must not place orders") };
        assert_eq!((refused.code, refused.leader), (ErrorCode::NotLeader, Some(leader)));
    }
    join_all(store.servers.into_values().map(Server::stop)).await;
}
