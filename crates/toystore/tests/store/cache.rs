//! The cache is never stale.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use api::frontend::CacheContents;
use tokio::task::JoinSet;
use toystore::local::StoreMember;

use crate::harness::{Rest, TestStore, eventually};

fn internal(store: &TestStore, frontend: u8) -> Rest {
    Rest::new(&store.store.layout().internal(StoreMember::Frontend(frontend)))
}

/// The products in a frontend's cache, the most recently used first.
async fn cached(internal: &Rest) -> Vec<String> {
    let contents: CacheContents = serde_json::from_value(internal.get("/cache").await.body["data"].take()).unwrap();
    contents.products.into_iter().map(|product| product.name.to_string()).collect()
}

#[tokio::test]
async fn a_restock_is_visible_through_the_cache() {
    let store = TestStore::start_with(|layout| layout.with_variable("RESTOCK_INTERVAL_MS", 700)).await;
    let rest = store.rest();
    let internal = internal(&store, 1);
    // A frontend is ready before it has its lease.
    eventually("Fox is cached", || async { rest.stock("Fox").await == 100 && cached(&internal).await == ["Fox"] })
        .await;
    rest.buy("Fox", 99).await;
    assert_eq!(rest.stock("Fox").await, 1, "one left is not sold out");
    rest.buy("Fox", 1).await;
    // Reads keep the product cached, so that only an invalidation makes the new value visible.
    eventually("Fox is restocked", || async { rest.stock("Fox").await == 100 }).await;
    assert_eq!(rest.stock("Tux").await, 100);
}

/// After an order is acknowledged, no frontend serves the stock from before it: over 500 orders,
/// with four readers that keep the product in both caches.
#[tokio::test]
async fn two_frontends_never_serve_stale_stock_after_an_acknowledged_order() {
    const ORDERS: u64 = 500;
    let store = TestStore::start_with(|layout| {
        layout.with_frontends(2).with_variable("RESTOCK_LEVEL", 1_000_000).with_variable("RESTOCK_INTERVAL_MS", 50)
    })
    .await;
    let rests = [store.rest_of(1), store.rest_of(2)];
    rests[0].buy("Tux", 100).await;
    eventually("there is enough stock", || async { rests[0].stock("Tux").await == 1_000_000 }).await;

    // From here on the stock only decreases: a read must not exceed the stock after the orders that
    // were acknowledged before it began.
    let (acknowledged, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut readers = JoinSet::new();
    for reader in 0..4 {
        let (rest, acknowledged, done) = (rests[reader % 2].clone(), Arc::clone(&acknowledged), Arc::clone(&done));
        readers.spawn(async move {
            let mut reads = 0_u64;
            while !done.load(Ordering::Acquire) {
                let sold = acknowledged.load(Ordering::Acquire);
                let stock = rest.stock("Tux").await;
                assert!(stock <= 1_000_000 - sold, "stale: {stock} in stock after {sold} were sold");
                reads += 1;
            }
            reads
        });
    }
    for order in 1..=ORDERS {
        rests[usize::try_from(order % 2).unwrap()].buy("Tux", 1).await;
        acknowledged.store(order, Ordering::Release);
        let other = &rests[usize::try_from((order + 1) % 2).unwrap()];
        if order % 10 == 0 {
            assert_eq!(other.stock("Tux").await, 1_000_000 - order, "the other frontend is stale");
        }
    }
    done.store(true, Ordering::Release);
    let reads: u64 = readers.join_all().await.into_iter().sum();
    assert!(reads > ORDERS / 10, "too few reads to mean anything: {reads}");
    for frontend in [1, 2] {
        let metrics = internal(&store, frontend).text("/metrics").await.1;
        let hits = metrics.lines().find_map(|line| line.strip_prefix("toystore_cache_hits_total "));
        assert!(
            hits.is_some_and(|hits| hits.parse::<f64>().unwrap() > 0.0),
            "frontend {frontend} never served from its cache"
        );
    }
}
