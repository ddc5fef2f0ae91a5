//! A real catalog of one replica.

use std::path::Path;
use std::time::Duration;

use api::catalog::StockAccount;
use api::replica::Replicas;
use api::{Address, Ordinal, Price, Product, ProductName, Stock};
use catalog::{Config, Restock, Seed, Server};
use service::access::Access;
use service::json_client::JsonClient;
use service::lifecycle::Process;
use tokio::time::timeout;

use super::{LOCALHOST, LONG, bind, storage};

/// Starts the catalog whose files are in `dir`; a new one has these products.
pub(crate) async fn start(dir: &Path, products: &[(&str, u64)]) -> (Server, Address) {
    let listeners = bind();
    let peer = Address::new("127.0.0.1", listeners.side.address().port());
    let product = |(name, quantity): &(&str, u64)| Product {
        name: ProductName::new(name).unwrap(),
        price: Price::from_cents(2599).unwrap(),
        quantity: Stock(*quantity),
    };
    let config = Config {
        ordinal: Ordinal(1),
        bootstrap_size: 1,
        peers: discovery::static_replicas([(Ordinal(1), peer)].into()),
        orders: discovery::static_replicas(Replicas::new()),
        discovery: discovery::Discovery::default(),
        access: Access { token: None, bind_host: LOCALHOST },
        port: 0,
        replication_port: 0,
        data_dir: dir.join("catalog1"),
        seed: Seed::Products(products.iter().map(product).collect()),
        restock: Restock { interval: Duration::ZERO, level: Stock(100) },
        // Short, because a restarted catalog waits for one lease.
        lease: Duration::from_millis(200),
        storage: storage(dir),
    };
    let server = Server::start(config, listeners).await.unwrap();
    let address = Address::new("127.0.0.1", server.address().port());
    (server, address)
}

/// Waits until nothing is reserved; returns (stock, sold).
pub(crate) async fn settled(catalog: &Address, name: &str) -> (u64, u64) {
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

async fn account(catalog: &Address, name: &str) -> Option<StockAccount> {
    let accounts: Vec<StockAccount> = JsonClient::new(None).get(catalog, "/accounts", LONG).await.ok()?;
    accounts.into_iter().find(|account| account.name.as_str() == name)
}
