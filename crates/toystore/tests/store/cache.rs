//! The cache is never stale, and evicts the least recently used product.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use api::frontend::CacheContents;
use reqwest::Method;
use tokio::task::JoinSet;
use toystore::local::StoreMember;

use crate::harness::{Rest, TIMEOUT, TestStore, eventually};

const TOYS: [&str; 8] = ["Tux", "Fox", "Whale", "Elephant", "Python", "Dolphin", "Bear", "Lion"];

fn internal(store: &TestStore, frontend: u8) -> Rest {
    Rest::new(&store.store.layout().internal(StoreMember::Frontend(frontend)))
}

async fn contents(internal: &Rest) -> CacheContents {
    serde_json::from_value(internal.get("/cache").await.body["data"].take()).unwrap()
}

/// The products in a frontend's cache, the most recently used first.
async fn cached(internal: &Rest) -> Vec<String> {
    contents(internal).await.products.into_iter().map(|product| product.name.to_string()).collect()
}

/// The value of a counter without labels.
async fn counted(internal: &Rest, name: &str) -> u64 {
    let metrics = internal.text("/metrics").await.1;
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {metrics}"))
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

#[tokio::test]
async fn the_least_recently_used_product_is_evicted() {
    let store = TestStore::start().await;
    let (rest, internal) = (store.rest(), internal(&store, 1));
    // A machine that stalls for a second costs the lease, and with it the cache: then the test
    // starts over.
    let tried = async { while !evicts_the_least_recently_used(&rest, &internal).await {} };
    tokio::time::timeout(TIMEOUT, tried).await.expect("a lease that lasts");
}

/// `false` if the lease was lost meanwhile: then the cache is not full.
async fn evicts_the_least_recently_used(rest: &Rest, internal: &Rest) -> bool {
    for toy in TOYS {
        internal.send(internal.request(Method::DELETE, &format!("/cache/{toy}"))).await.unwrap();
    }
    eventually("the frontend has a lease", || async { contents(internal).await.lease_valid }).await;
    let evicted = counted(internal, "toystore_cache_evictions_total").await;
    for toy in &TOYS[..7] {
        rest.stock(toy).await;
    }
    let mut expected: Vec<_> = TOYS[..7].iter().rev().map(ToString::to_string).collect();
    let found = cached(internal).await;
    if found.len() < 7 {
        return false;
    }
    assert_eq!(found, expected);
    // Tux is the least recently used one; a hit makes it the most recently used one, so that Fox is
    // evicted.
    rest.stock(TOYS[0]).await;
    rest.stock(TOYS[7]).await;
    expected.retain(|toy| toy != "Tux" && toy != "Fox");
    expected.splice(0..0, [TOYS[7].to_owned(), TOYS[0].to_owned()]);
    let found = contents(internal).await;
    if found.products.len() < 7 || !found.lease_valid {
        return false;
    }
    assert_eq!(found.products.iter().map(|product| product.name.to_string()).collect::<Vec<_>>(), expected);
    assert_eq!(counted(internal, "toystore_cache_evictions_total").await, evicted + 1);
    true
}

#[tokio::test]
async fn a_cache_of_size_0_is_off() {
    let store = TestStore::start_with(|layout| layout.with_variable("CACHE_SIZE", 0)).await;
    let rest = store.rest();
    assert_eq!((rest.stock("Tux").await, rest.stock("Tux").await), (100, 100));
    assert!(cached(&internal(&store, 1)).await.is_empty());
    rest.buy("Tux", 1).await;
    assert_eq!(rest.stock("Tux").await, 99);
}

/// After an order is acknowledged, no frontend serves the stock from before it: over 2,000 orders,
/// with four readers that keep the product in both caches.
#[tokio::test]
async fn two_frontends_never_serve_stale_stock_after_an_acknowledged_order() {
    const ORDERS: u64 = 2_000;
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
