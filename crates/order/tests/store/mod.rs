//! Order replicas and a catalog in one process, talking HTTP over loopback ports that the OS picks.

// Each test file is a crate that uses its own part of this module.
#![allow(dead_code)]

pub(crate) mod shelf;

use std::path::Path;
use std::time::Duration;

use api::order::PlaceOrder;
use api::replica::Replicas;
use api::{Address, OrderId, Ordinal, ProductName, Quantity};
use order::{Config, Listeners};
use replication::StorageConfig;
use service::http::Listener;

/// Far longer than anything here takes on a busy machine; what has not happened by then never will.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) fn bind() -> Listeners {
    let listener = || Listener::bind([127, 0, 0, 1].into(), 0).unwrap();
    Listeners { service: listener(), replication: listener() }
}

/// Addresses of `which` of the listeners, by seat.
pub(crate) fn addresses(listeners: &[Listeners], which: impl Fn(&Listeners) -> &Listener) -> Replicas {
    let address = |listener: &Listener| Address::new("127.0.0.1", listener.local_addr().unwrap().port());
    (1..).map(Ordinal).zip(listeners.iter().map(|both| address(which(both)))).collect()
}

/// With a disk that is as `faults.txt` in `dir` says.
pub(crate) fn storage(dir: &Path) -> StorageConfig {
    StorageConfig { disk_faults_file: Some(dir.join("faults.txt")), ..StorageConfig::default() }
}

/// Replica `ordinal` of those that listen there; its files are in `dir`.
pub(crate) fn config(dir: &Path, catalog: &Address, ordinal: u8, listeners: &[Listeners]) -> Config {
    Config {
        ordinal: Ordinal(ordinal),
        founders: listeners.len(),
        replicas: discovery::fixed(addresses(listeners, |both| &both.service)),
        peers: discovery::fixed(addresses(listeners, |both| &both.replication)),
        catalog: discovery::fixed([(Ordinal(1), catalog.clone())].into()),
        discovery: discovery::Discovery::default(),
        bind_host: [127, 0, 0, 1].into(),
        port: 0,
        replication_port: 0,
        ledger_file: dir.join(format!("log{ordinal}.csv")),
        data_dir: dir.join(format!("order{ordinal}")),
        storage: storage(&dir.join(format!("order{ordinal}"))),
        queue_max: 64,
        batch_orders_max: 8,
        token: None,
    }
}

pub(crate) fn id(n: u128) -> OrderId {
    OrderId(uuid::Uuid::from_u128(n))
}

pub(crate) fn order(order_id: OrderId, name: &str, quantity: u64) -> PlaceOrder {
    PlaceOrder { order_id, name: ProductName::new(name).unwrap(), quantity: Quantity::new(quantity).unwrap() }
}
