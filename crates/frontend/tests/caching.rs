//! The cache of a frontend, in front of a catalog whose products change: what the internal port
//! accepts, what the catalog forbids to keep, and what the metrics count. When the cache keeps what
//! is shown by unit tests, and under virtual time by the simulation's scripts.

mod store;

use api::frontend::Invalidate;
use api::{HolderId, Product};
use store::{Store, body};

impl Store {
    async fn quantity(&self, name: &str) -> u64 {
        body::<Product>(self.get(&format!("/products/{name}")).await).await.quantity.0
    }

    async fn invalidate(&self, change: &Invalidate) -> reqwest::StatusCode {
        let request = self.client.delete(format!("{}/cache", self.internal)).json(change);
        request.send().await.expect("an answer").status()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalidated_product_is_fetched_again() {
    let store = Store::start().await;
    store.quantity("Tux").await;
    store.quantity("Fox").await;
    let sold = store.catalog.sell("Tux");

    let stranger = Invalidate { holder: HolderId::random(), products: vec![sold.clone()] };
    assert_eq!(store.invalidate(&stranger).await, 404, "a frontend does not confirm for another process");
    assert_eq!(store.quantity("Tux").await, 100, "the invalidation was for another process");

    assert_eq!(store.invalidate(&store.catalog.invalidation(vec![sold])).await, 200);
    assert_eq!(store.cached_names().await, ["Fox"]);
    assert_eq!(store.quantity("Tux").await, 99);

    let by_hand = store.client.delete(format!("{}/cache/Fox", store.internal)).send().await.unwrap();
    assert!(by_hand.status().is_success());
    assert_eq!(store.cached_names().await, ["Tux"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_is_not_cacheable_is_not_kept() {
    let store = Store::start().await;
    store.catalog.state().cacheable = false;
    store.quantity("Tux").await;
    assert!(store.get("/products").await.status().is_success());
    assert_eq!(store.get("/products/Unicorn").await.status(), 404);
    assert!(store.cached_names().await.is_empty());
    store.catalog.sell("Tux");
    let listed: Vec<Product> = body(store.get("/products").await).await;
    assert!(listed.iter().any(|product| product.name.as_str() == "Tux" && product.quantity.0 == 99), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_hits_misses_and_evictions() {
    let store = Store::start().await;
    for name in ["Tux", "Tux", "Whale", "Tux", "Fox"] {
        assert_eq!(store.quantity(name).await, 100);
    }
    assert_eq!(store.cached_names().await, ["Fox", "Tux"]);
    for _ in 0..3 {
        assert!(store.get("/products").await.status().is_success());
    }
    let metrics = store.get("/metrics").await.text().await.unwrap();
    for line in ["hits_total 2", "misses_total 3", "evictions_total 1", "list_hits_total 2", "list_misses_total 1"] {
        assert!(metrics.contains(&format!("toystore_cache_{line}\n")), "{line} is not in\n{metrics}");
    }
}
