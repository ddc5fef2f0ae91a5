//! The cache of a frontend, in front of a catalog whose products change.

mod store;

use std::time::Duration;

use api::frontend::Invalidate;
use api::{HolderId, Product, Term};
use store::{Store, body, eventually};

impl Store {
    async fn quantity(&self, name: &str) -> u64 {
        body::<Product>(self.get(&format!("/products/{name}")).await).await.quantity.0
    }

    async fn listed(&self) -> Vec<Product> {
        body(self.get("/products").await).await
    }

    async fn misses_of_the_list(&self) -> Option<u64> {
        let metrics = self.get("/metrics").await.text().await.expect("metrics");
        metrics.lines().find_map(|line| line.strip_prefix("toystore_cache_list_misses_total ")?.parse().ok())
    }

    async fn invalidate(&self, change: &Invalidate) {
        let request = self.client.delete(format!("{}/cache", self.internal)).json(change);
        let response = request.send().await.expect("an answer");
        assert!(response.status().is_success(), "{}", response.status());
    }
}

/// Makes up to five attempts at something that a busy machine can spoil.
async fn succeeds_once(attempt: impl AsyncFn() -> bool) {
    for _ in 0..5 {
        if attempt().await {
            return;
        }
    }
    panic!("five attempts failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_fetched_once_and_the_least_recently_used_one_is_evicted() {
    succeeds_once(is_fetched_once).await;
}

/// Returns false if the catalog was asked more often, as happens if it does not respond within 1.5
/// s.
async fn is_fetched_once() -> bool {
    let store = Store::start().await;
    for name in ["Tux", "Tux", "Whale", "Tux"] {
        assert_eq!(store.quantity(name).await, 100);
    }
    if store.catalog.reads() > 2 {
        return false;
    }
    assert_eq!(store.catalog.reads(), 2);
    assert_eq!(store.cached_names().await, ["Tux", "Whale"]);
    store.quantity("Fox").await;
    assert_eq!(store.cached_names().await, ["Fox", "Tux"]);
    let metrics = store.get("/metrics").await.text().await.unwrap();
    for line in ["toystore_cache_hits_total 2", "toystore_cache_misses_total 3", "toystore_cache_evictions_total 1"] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_reads_share_a_request_and_each_gets_its_own_response() {
    let store = Store::start().await;
    store.catalog.set_sending(false);
    let read = |name: &'static str| tokio::spawn(store.client.get(format!("{}/products/{name}", store.public)).send());
    let mut reads = vec![read("Tux")];
    store.catalog.read_times(1).await;
    reads.push(read("Whale"));
    store.catalog.read_times(2).await;
    // Two requests are in flight now, so two more reads fill a batch. It names the product only
    // once.
    reads.extend([read("Fox"), read("Fox")]);
    store.catalog.read_times(3).await;
    reads.extend([read("Unicorn"), read("Fox")]);
    store.catalog.set_sending(true);
    let mut found = Vec::new();
    for read in reads {
        let answer = read.await.unwrap().unwrap();
        found.push(if answer.status() == 404 { None } else { Some(body::<Product>(answer).await.name.to_string()) });
    }
    let found: Vec<_> = found.iter().map(Option::as_deref).collect();
    assert_eq!(found, [Some("Tux"), Some("Whale"), Some("Fox"), Some("Fox"), None, Some("Fox")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalidated_product_is_fetched_again() {
    let store = Store::start().await;
    store.quantity("Tux").await;
    store.quantity("Fox").await;
    let sold = store.catalog.sell("Tux");

    let stranger = Invalidate { holder: HolderId::random(), products: vec![sold.clone()] };
    let refused = store.client.delete(format!("{}/cache", store.internal)).json(&stranger).send().await.unwrap();
    assert_eq!(refused.status(), 404, "a frontend does not confirm for another process");
    assert_eq!(store.quantity("Tux").await, 100, "the invalidation was for another process");

    store.invalidate(&store.catalog.invalidation(vec![sold])).await;
    assert_eq!(store.cached_names().await, ["Fox"]);
    assert_eq!(store.quantity("Tux").await, 99);

    let by_hand = store.client.delete(format!("{}/cache/Fox", store.internal)).send().await.unwrap();
    assert!(by_hand.status().is_success());
    assert_eq!(store.cached_names().await, ["Tux"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_kept_until_any_product_changes() {
    succeeds_once(is_kept_until_a_change).await;
}

/// Returns false if the catalog was asked more often, as happens if it does not respond within 1.5
/// s.
async fn is_kept_until_a_change() -> bool {
    let store = Store::start().await;
    for _ in 0..3 {
        assert!(store.listed().await.iter().all(|product| product.quantity.0 == 100));
    }
    let sold = store.catalog.sell("Whale");
    store.invalidate(&store.catalog.invalidation(vec![sold])).await;
    let after = store.listed().await;
    assert_eq!(after.iter().find(|product| product.name.as_str() == "Whale").unwrap().quantity.0, 99);
    let metrics = store.get("/metrics").await.text().await.unwrap();
    for line in ["toystore_cache_list_hits_total 2", "toystore_cache_list_misses_total 2"] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    store.catalog.reads() == 2
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_for_the_list_share_one_fetch_that_begins_after_all_of_them() {
    succeeds_once(share_one_fetch).await;
}

/// Returns false if a fetch took so long that later requests did not wait for it.
async fn share_one_fetch() -> bool {
    let store = Store::start().await;
    store.catalog.state().cacheable = false;
    store.catalog.set_sending(false);
    let ask = || tokio::spawn(store.client.get(format!("{}/products", store.public)).send());
    let mut asked = vec![ask()];
    store.catalog.read_times(1).await;
    // The fetch in flight has read the old value, which a later request must not get.
    store.catalog.sell("Tux");
    asked.extend((0..20).map(|_| ask()));
    eventually("all requests have arrived", async || store.misses_of_the_list().await.filter(|misses| *misses == 21))
        .await;
    store.catalog.set_sending(true);
    let mut stocks = Vec::new();
    for asked in asked {
        let all: Vec<Product> = body(asked.await.unwrap().unwrap()).await;
        stocks.push(all.iter().find(|product| product.name.as_str() == "Tux").unwrap().quantity.0);
    }
    assert!(stocks[1..].iter().all(|stock| *stock == 99), "{stocks:?}");
    stocks[0] == 100 && store.catalog.reads() == 2
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_invalidated_during_its_fetch_is_not_kept() {
    let store = Store::start().await;
    store.catalog.set_sending(false);
    let fetch = tokio::spawn(store.client.get(format!("{}/products", store.public)).send());
    store.catalog.read_times(1).await;
    let sold = store.catalog.sell("Tux");
    store.invalidate(&store.catalog.invalidation(vec![sold])).await;
    store.catalog.set_sending(true);
    fetch.await.unwrap().unwrap();
    let after = store.listed().await;
    assert_eq!(after.iter().find(|product| product.name.as_str() == "Tux").unwrap().quantity.0, 99);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_is_not_cacheable_is_not_kept() {
    let store = Store::start().await;
    store.catalog.state().cacheable = false;
    store.quantity("Tux").await;
    store.listed().await;
    assert_eq!(store.get("/products/Unicorn").await.status(), 404);
    assert!(store.cached_names().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_is_invalidated_during_its_fetch_is_not_kept() {
    succeeds_once(is_invalidated_during_its_fetch).await;
}

/// Returns false if the catalog was asked again after the change, because the first attempt took
/// 1.5 s.
async fn is_invalidated_during_its_fetch() -> bool {
    let store = Store::start().await;
    store.catalog.set_sending(false);
    let fetch = tokio::spawn({
        let (client, url) = (store.client.clone(), format!("{}/products/Tux", store.public));
        async move { client.get(url).send().await }
    });
    store.catalog.read_times(1).await;
    let sold = store.catalog.sell("Tux");
    store.invalidate(&store.catalog.invalidation(vec![sold])).await;
    store.catalog.set_sending(true);

    let old: Product = body(fetch.await.unwrap().unwrap()).await;
    if store.catalog.reads() > 1 {
        return false;
    }
    assert_eq!(old.quantity.0, 100, "its read began before the change was visible");
    assert!(store.cached_names().await.is_empty());
    assert_eq!(store.quantity("Tux").await, 99);
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_without_a_lease_serves_nothing() {
    let store = Store::start_leasing(Duration::from_millis(500), |_| {}).await;
    assert_eq!(store.quantity("Tux").await, 100);
    store.catalog.set_running(false);
    store.cache_where("the lease expires", |cache| !cache.lease_valid).await;

    let read = tokio::spawn({
        let (client, url) = (store.client.clone(), format!("{}/products/Tux", store.public));
        async move { client.get(url).send().await }
    });
    // The catalog has waited for the lease to expire, and completes the change now.
    store.catalog.sell("Tux");
    store.catalog.set_running(true);
    let product: Product = body(read.await.unwrap().unwrap()).await;
    assert_eq!(product.quantity.0, 99);
    store.cache_where("the lease is there again", |cache| cache.lease_valid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_from_another_leader_starts_with_an_empty_cache() {
    let store = Store::start_leasing(Duration::from_secs(1), |_| {}).await;
    store.quantity("Tux").await;
    {
        let mut state = store.catalog.state();
        state.term = Term(2);
    }
    store.catalog.sell("Tux");
    store.cache_where("the cache is cleared", |cache| cache.products.is_empty()).await;
    assert_eq!(store.quantity("Tux").await, 99);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_is_switched_off_needs_no_lease() {
    let store = Store::start_with(|config| config.cache_size = 0).await;
    for _ in 0..3 {
        let before = store.catalog.reads();
        assert_eq!(store.quantity("Tux").await, 100);
        assert!(store.catalog.reads() > before, "it was not fetched");
    }
    assert!(store.catalog.state().leases.is_empty());
    assert_eq!(store.cache().await.capacity, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_is_renewed_and_released() {
    succeeds_once(is_renewed_and_released).await;
}

/// Returns false if the lease was not released; a frontend that stops takes at most 300 ms for
/// that.
async fn is_renewed_and_released() -> bool {
    let mut store = Store::start_leasing(Duration::from_millis(300), |_| {}).await;
    eventually("three renewals", async || (store.catalog.state().leases.len() >= 4).then_some(())).await;
    let lease = store.catalog.state().leases[0].clone();
    assert!(store.internal.ends_with(lease.address.as_str()), "{} is not {}", lease.address, store.internal);
    tokio::time::timeout(Duration::from_secs(10), store.stop_frontend()).await.expect("it stops");
    let state = store.catalog.state();
    assert!(state.released.iter().all(|released| *released == lease.holder), "{:?}", state.released);
    !state.released.is_empty()
}
