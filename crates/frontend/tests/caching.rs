//! The cache between a shopper and a catalog that changes.

mod store;

use std::time::Duration;

use api::frontend::Invalidate;
use api::{HolderId, Product, Term};
use store::{Store, body, eventually};

impl Store {
    async fn quantity(&self, name: &str) -> u64 {
        body::<Product>(self.get(&format!("/products/{name}")).await).await.quantity.0
    }

    async fn invalidate(&self, change: &Invalidate) {
        let request = self.client.delete(format!("{}/cache", self.internal)).json(change);
        let response = request.send().await.expect("an answer");
        assert!(response.status().is_success(), "{}", response.status());
    }
}

/// Has up to five tries, for what a busy machine can spoil.
async fn tried(succeeds: impl AsyncFn() -> bool) {
    for _ in 0..5 {
        if succeeds().await {
            return;
        }
    }
    panic!("five times in vain");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_fetched_once_and_the_least_recently_used_gives_way() {
    tried(is_fetched_once).await;
}

/// False if the catalog was asked more often, as it is if it does not answer within 1.5 s.
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
async fn looks_that_wait_for_each_other_travel_together_and_each_has_its_own_answer() {
    let store = Store::start().await;
    store.catalog.set_sending(false);
    let look = |name: &'static str| tokio::spawn(store.client.get(format!("{}/products/{name}", store.public)).send());
    let mut looks = vec![look("Tux")];
    store.catalog.read_times(1).await;
    looks.push(look("Whale"));
    store.catalog.read_times(2).await;
    // Now as many as are under way leave at once, and ask for the same once.
    looks.extend([look("Fox"), look("Fox")]);
    store.catalog.read_times(3).await;
    looks.extend([look("Unicorn"), look("Fox")]);
    store.catalog.set_sending(true);
    let mut found = Vec::new();
    for look in looks {
        let answer = look.await.unwrap().unwrap();
        found.push(if answer.status() == 404 { None } else { Some(body::<Product>(answer).await.name.to_string()) });
    }
    let found: Vec<_> = found.iter().map(Option::as_deref).collect();
    assert_eq!(found, [Some("Tux"), Some("Whale"), Some("Fox"), Some("Fox"), None, Some("Fox")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalidated_product_is_fetched_anew() {
    let store = Store::start().await;
    store.quantity("Tux").await;
    store.quantity("Fox").await;
    let sold = store.catalog.sell("Tux");

    let stranger = Invalidate { holder: HolderId::random(), products: vec![sold.clone()] };
    let refused = store.client.delete(format!("{}/cache", store.internal)).json(&stranger).send().await.unwrap();
    assert_eq!(refused.status(), 404, "nobody confirms for another process");
    assert_eq!(store.quantity("Tux").await, 100, "it was meant for another process");

    store.invalidate(&store.catalog.invalidation(vec![sold])).await;
    assert_eq!(store.cached_names().await, ["Fox"]);
    assert_eq!(store.quantity("Tux").await, 99);

    let by_hand = store.client.delete(format!("{}/cache/Fox", store.internal)).send().await.unwrap();
    assert!(by_hand.status().is_success());
    assert_eq!(store.cached_names().await, ["Tux"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_kept_is_not_kept() {
    let store = Store::start().await;
    store.catalog.books().cacheable = false;
    store.quantity("Tux").await;
    assert_eq!(store.get("/products/Unicorn").await.status(), 404);
    assert!(store.cached_names().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_an_invalidation_overtakes_is_not_kept() {
    tried(is_overtaken_and_not_kept).await;
}

/// False if the catalog was asked once more, after the change: the first attempt had taken 1.5 s.
async fn is_overtaken_and_not_kept() -> bool {
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
async fn a_cache_without_a_lease_is_silent() {
    let store = Store::start_leasing(Duration::from_millis(500), |_| {}).await;
    assert_eq!(store.quantity("Tux").await, 100);
    store.catalog.set_running(false);
    store.cache_where("the lease runs out", |cache| !cache.lease_valid).await;

    let read = tokio::spawn({
        let (client, url) = (store.client.clone(), format!("{}/products/Tux", store.public));
        async move { client.get(url).send().await }
    });
    // The catalog's change is over now: it has waited for the lease.
    store.catalog.sell("Tux");
    store.catalog.set_running(true);
    let product: Product = body(read.await.unwrap().unwrap()).await;
    assert_eq!(product.quantity.0, 99);
    store.cache_where("the lease is there again", |cache| cache.lease_valid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_leaders_lease_begins_with_an_empty_cache() {
    let store = Store::start_leasing(Duration::from_secs(1), |_| {}).await;
    store.quantity("Tux").await;
    {
        let mut books = store.catalog.books();
        books.term = Term(2);
    }
    store.catalog.sell("Tux");
    store.cache_where("the cache is cleared", |cache| cache.products.is_empty()).await;
    assert_eq!(store.quantity("Tux").await, 99);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_is_off_needs_no_lease() {
    let store = Store::start_with(|config| config.cache_size = 0).await;
    for _ in 0..3 {
        let before = store.catalog.reads();
        assert_eq!(store.quantity("Tux").await, 100);
        assert!(store.catalog.reads() > before, "it was not fetched");
    }
    assert!(store.catalog.books().leases.is_empty());
    assert_eq!(store.cache().await.capacity, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_is_renewed_and_given_back() {
    tried(is_renewed_and_given_back).await;
}

/// False if it was not given back: a frontend that stops takes no more than 300 ms for that.
async fn is_renewed_and_given_back() -> bool {
    let mut store = Store::start_leasing(Duration::from_millis(300), |_| {}).await;
    eventually("three renewals", async || (store.catalog.books().leases.len() >= 4).then_some(())).await;
    let lease = store.catalog.books().leases[0].clone();
    assert!(store.internal.ends_with(lease.address.as_str()), "{} is not {}", lease.address, store.internal);
    tokio::time::timeout(Duration::from_secs(10), store.stop_frontend()).await.expect("it stops");
    let books = store.catalog.books();
    assert!(books.released.iter().all(|released| *released == lease.holder), "{:?}", books.released);
    !books.released.is_empty()
}
