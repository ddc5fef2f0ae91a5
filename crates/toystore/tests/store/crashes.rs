//! All processes are killed at once; the catalog is killed under load; a frontend is killed.

use toystore::local::{ChildProcess, StoreMember};

use crate::harness::{Audit, OrderWriters, TestStore};

const TOYS: &[&str] = &["Tux", "Fox", "Whale", "Elephant", "Python", "Dolphin", "Bear", "Lion"];

#[tokio::test]
async fn everything_is_killed_at_once_and_nothing_is_lost() {
    let mut store = TestStore::start().await;
    let mut writers = OrderWriters::start(&store, &[1], 8, TOYS);
    writers.acknowledge_more(200).await;
    futures::future::join_all(store.store.processes().map(ChildProcess::kill)).await;
    // Each client repeats the order that it was placing, until the store is back.
    writers.stop();
    store.store.start_all().unwrap();
    store.ready().await;
    let (acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "clients saw errors: {errors:#?}");
    let before = Audit::check(&mut store, &acknowledged).await;
    assert_eq!(before.orders.len(), acknowledged.len(), "every order got its answer");
    // The store accepts orders again.
    let name = before.accounts.values().find(|account| account.stock.0 > 0).unwrap().name.to_string();
    let number = store.rest().buy(&name, 1).await;
    assert_eq!(number, before.orders.len() as u64 + 1);
}

#[tokio::test]
async fn a_catalog_that_is_killed_under_load_leaks_no_stock() {
    let mut store = TestStore::start_with(|layout| {
        layout.with_variable("RESTOCK_INTERVAL_MS", 50).with_variable("RESTOCK_LEVEL", 10_000_000)
    })
    .await;
    let mut writers = OrderWriters::start(&store, &[1], 8, TOYS);
    for _ in 0..5 {
        writers.acknowledge_more(100).await;
        store.store.process(StoreMember::Catalog).kill().await.unwrap();
        store.store.start(StoreMember::Catalog).unwrap();
        store.ready().await;
    }
    writers.acknowledge_more(100).await;
    let (acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "clients saw errors: {errors:#?}");
    let audit = Audit::check(&mut store, &acknowledged).await;
    assert_eq!(audit.orders.len(), acknowledged.len());
}

#[tokio::test]
async fn a_killed_frontend_delays_orders_no_longer_than_its_lease() {
    let mut store = TestStore::start_with(|layout| layout.with_frontends(2)).await;
    assert_eq!(store.rest_of(2).stock("Tux").await, 100);
    store.store.process(StoreMember::Frontend(2)).kill().await.unwrap();
    // The order waits until the dead frontend's lease expires, and succeeds within its deadline.
    store.rest().buy("Tux", 1).await;
    assert_eq!(store.rest().stock("Tux").await, 99);
    store.store.start(StoreMember::Frontend(2)).unwrap();
    store.ready().await;
    assert_eq!(store.rest_of(2).stock("Tux").await, 99);
    Audit::check(&mut store, &[]).await;
}
