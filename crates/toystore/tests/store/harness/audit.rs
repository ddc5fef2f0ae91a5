//! The audit at the end of every test: I1–I4 of docs/architecture.md, checked from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use api::catalog::StockAccount;
use toystore::local::StoreMember;
use uuid::Uuid;

use super::{TIMEOUT, TestStore};

/// An order in a ledger, or one that was acknowledged to a client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientOrder {
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) quantity: u32,
    pub(crate) key: Uuid,
}

/// A ledger file.
#[derive(Debug)]
pub(crate) struct LedgerCopy {
    pub(crate) bytes: Vec<u8>,
    pub(crate) orders: Vec<ClientOrder>,
}

impl LedgerCopy {
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let text = String::from_utf8(bytes.clone()).expect("a ledger is text");
        let orders = text.lines().skip(1).map(|line| {
            // No product name in the tests has a comma or a quote.
            let fields: Vec<_> = line.split(',').collect();
            ClientOrder {
                number: fields[0].parse().expect("a number"),
                name: fields[1].to_owned(),
                quantity: fields[2].parse().expect("a quantity"),
                key: fields[3].parse().expect("an order id"),
            }
        });
        let orders = orders.collect();
        Self { bytes, orders }
    }
}

/// The state of a quiescent store.
pub(crate) struct Audit {
    pub(crate) orders: Vec<ClientOrder>,
    pub(crate) accounts: BTreeMap<String, StockAccount>,
}

impl Audit {
    /// Waits until all running replicas have caught up and every order is settled, then checks that
    ///
    /// * every acknowledged order is in the ledger under its number, and can be read (I1),
    /// * no order has two numbers (I2),
    /// * numbers are consecutive, and all ledgers are byte-identical (I3),
    /// * stock is conserved, and what was sold is what the ledger says (I4).
    pub(crate) async fn check(store: &mut TestStore, acknowledged: &[ClientOrder]) -> Self {
        // An order that a client gave up may arrive between the two: then both are read again.
        let (accounts, ledgers) = loop {
            let (accounts, ledgers) = (settled(store).await, level(store).await);
            let sold = |accounts: &BTreeMap<_, StockAccount>| accounts.values().map(|it| it.sold).collect::<Vec<_>>();
            if sold(&accounts) == sold(&settled(store).await) {
                break (accounts, ledgers);
            }
        };
        let orders = &ledgers[0].orders;
        for ledger in &ledgers[1..] {
            assert!(ledger.bytes == ledgers[0].bytes, "ledgers differ");
        }
        assert!(orders.iter().map(|order| order.number).eq(1..=orders.len() as u64), "numbers are not consecutive");
        let keys: BTreeSet<_> = orders.iter().map(|order| order.key).collect();
        assert_eq!(keys.len(), orders.len(), "an order has two numbers");
        for order in acknowledged {
            let index = usize::try_from(order.number - 1).unwrap();
            assert_eq!(orders.get(index), Some(order), "an acknowledged order is lost or changed");
        }
        let rest = store.rest();
        for order in acknowledged.iter().step_by(acknowledged.len() / 50 + 1) {
            let body = rest.read(&format!("/orders/{}", order.number)).await.body;
            let read = (body["data"]["name"].as_str(), body["data"]["quantity"].as_u64());
            assert_eq!(read, (Some(order.name.as_str()), Some(u64::from(order.quantity))), "order {}", order.number);
        }
        let mut sold = BTreeMap::<&str, u64>::new();
        for order in orders {
            *sold.entry(&order.name).or_default() += u64::from(order.quantity);
        }
        for (name, account) in &accounts {
            assert_eq!(
                account.initial + account.restocked,
                account.stock.0 + account.sold,
                "stock leaked: {account:?}"
            );
            assert_eq!(
                account.sold,
                sold.get(name.as_str()).copied().unwrap_or(0),
                "sold without an order: {account:?}"
            );
        }
        Self { orders: orders.clone(), accounts }
    }
}

/// The catalog's accounts, once nothing is reserved any more.
async fn settled(store: &TestStore) -> BTreeMap<String, StockAccount> {
    let (client, address) = (store.store.json_client().clone(), store.store.layout().internal(StoreMember::Catalog));
    let read = || async { client.get::<Vec<StockAccount>>(&address, "/accounts", TIMEOUT).await };
    let accounts = super::awaited("every order is settled", || async {
        read().await.ok().filter(|accounts| accounts.iter().all(|account| account.reserved == 0))
    })
    .await;
    accounts.into_iter().map(|account| (account.name.to_string(), account)).collect()
}

/// The ledgers, once all replicas have applied the same entries.
async fn level(store: &TestStore) -> Vec<LedgerCopy> {
    let store = &store.store;
    let ordinals: Vec<_> = store.layout().ordinals().collect();
    super::eventually("all replicas have applied the same", || async {
        let statuses = futures::future::join_all(ordinals.iter().map(|n| store.status(*n))).await;
        let applied: BTreeSet<_> = statuses.iter().map(|status| status.as_ref().and_then(|s| s.applied)).collect();
        let ends: BTreeSet<_> = statuses.iter().map(|status| status.as_ref().and_then(|s| s.last_log)).collect();
        applied.len() == 1 && applied == ends && !applied.contains(&None)
    })
    .await;
    ordinals.iter().map(|n| LedgerCopy::read(&store.layout().ledger(*n))).collect()
}
