//! Order replicas and a catalog in one process, which talk HTTP over loopback ports that the OS
//! assigns.

// Each test file is a crate that uses a different part of this module.
#![allow(dead_code)]

pub(crate) mod fake_catalog;
pub(crate) mod only_replica;
pub(crate) mod real_catalog;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use api::order::PlaceOrder;
use api::public::OrderPlaced;
use api::replica::Replicas;
use api::{Address, ErrorCode, OrderId, Ordinal, ProductName, Quantity};
use discovery::Group;
use order::Config;
use replication::StorageConfig;
use service::access::Access;
use service::http::Listener;
use service::json_client::{CallError, JsonClient};
use service::lifecycle::Listeners;
use tokio::time::{Instant, sleep};

/// Far longer than anything here takes on a busy machine. What has not happened by then never will.
pub(crate) const LONG: Duration = Duration::from_mins(1);

pub(crate) const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(crate) fn bind() -> Listeners {
    Listeners::bind(LOCALHOST, (0, None), (0, None)).unwrap()
}

/// The addresses of `which` of the listeners, by ordinal.
pub(crate) fn addresses(listeners: &[Listeners], which: impl Fn(&Listeners) -> &Listener) -> Replicas {
    let address = |listener: &Listener| Address::new("127.0.0.1", listener.address().port());
    (1..).map(Ordinal).zip(listeners.iter().map(|both| address(which(both)))).collect()
}

/// A disk with the faults that `faults.txt` in `dir` lists.
pub(crate) fn storage(dir: &Path) -> StorageConfig {
    StorageConfig { disk_faults_file: Some(dir.join("faults.txt")), ..StorageConfig::default() }
}

/// The configuration of replica `ordinal` among those with these listeners; its files are in `dir`.
pub(crate) fn config(dir: &Path, catalog: &Address, ordinal: u8, listeners: &[Listeners]) -> Config {
    Config {
        ordinal: Ordinal(ordinal),
        bootstrap_size: listeners.len(),
        replicas: discovery::static_replicas(addresses(listeners, |both| &both.main)),
        peers: discovery::static_replicas(addresses(listeners, |both| &both.side)),
        catalog: discovery::static_replicas([(Ordinal(1), catalog.clone())].into()),
        discovery: discovery::Discovery::default(),
        access: Access { token: None, bind_host: LOCALHOST },
        port: 0,
        replication_port: 0,
        ledger_file: dir.join(format!("log{ordinal}.csv")),
        data_dir: dir.join(format!("order{ordinal}")),
        storage: storage(&dir.join(format!("order{ordinal}"))),
        queue_max: 64,
        batch_orders_max: 8,
        dedup_window: order::orders::DedupWindow::default(),
        accepted_difference: 0,
    }
}

pub(crate) fn id(n: u128) -> OrderId {
    OrderId(uuid::Uuid::from_u128(n))
}

pub(crate) fn order(order_id: OrderId, name: &str, quantity: u64) -> PlaceOrder {
    PlaceOrder::new(order_id, ProductName::new(name).unwrap(), Quantity::new(quantity).unwrap())
}

/// Places an order at the leader; returns its number. Repeats it with the same id while its outcome
/// is unknown, or while the leader is overloaded, as every client does.
pub(crate) async fn place(group: &Group, order: &PlaceOrder) -> Result<u64, CallError> {
    let post =
        async |client: JsonClient, address| client.post::<_, OrderPlaced>(&address, "/orders", order, LONG).await;
    let deadline = Instant::now() + LONG;
    loop {
        match group.call_leader(deadline, post).await {
            Err(error) if error.code() == Some(ErrorCode::Overloaded) && Instant::now() < deadline => {
                sleep(Duration::from_millis(10)).await;
            }
            answer => return answer.map(|placed| placed.order_number.get()),
        }
    }
}
