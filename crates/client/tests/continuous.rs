//! Shoppers without an end, against real servers.

use api::{OrderNumber, ProductName};
use client::{ContinuousConfig, ContinuousShoppers};
use test_support::{FakeStore, RequestFault};

const TOYS: &[(&str, u64)] = &[("Fox", 1_000_000), ("Tux", 1_000_000), ("Whale", 1_000_000)];

fn config(frontends: &[&FakeStore], shoppers: u16, order_probability: f64) -> ContinuousConfig {
    ContinuousConfig {
        frontends: frontends.iter().map(|store| store.address.clone()).collect(),
        products: TOYS.iter().map(|(name, _)| ProductName::new(name).unwrap()).collect(),
        shoppers,
        order_probability,
        hot_product: None,
    }
}

#[tokio::test]
async fn they_use_all_frontends_and_order_the_hot_product() {
    let (one, other) = (FakeStore::open(TOYS, None).await, FakeStore::open(TOYS, None).await);
    let hot_product = Some(ProductName::new("Tux").unwrap());
    let shoppers = ContinuousShoppers::start(&ContinuousConfig { hot_product, ..config(&[&one, &other], 8, 1.0) });
    tokio::join!(one.has_placed(50), other.has_placed(50));
    shoppers.unwrap().stop();
    for store in [one, other] {
        let orders: Vec<_> = store.records().orders.iter().map(|(_, order)| order.name.clone()).collect();
        let hot = orders.iter().filter(|name| name.as_str() == "Tux").count();
        assert!(hot * 4 > orders.len() * 3, "{hot} of {}", orders.len());
    }
}

#[tokio::test]
async fn a_store_that_fails_again_and_again_keeps_its_shoppers() {
    let store = FakeStore::open(TOYS, None).await;
    store.faults("POST /orders", &[RequestFault::Unavailable; 6]);
    let _shoppers = ContinuousShoppers::start(&config(&[&store], 1, 1.0)).unwrap();
    store.has_failed(6).await;
    store.has_placed(1).await;
    let (first, _) = store.records().orders[0].clone();
    assert_eq!(store.records().keys[&first], OrderNumber::FIRST, "it was repeated under its key");
}

#[tokio::test]
async fn without_a_frontend_or_a_product_there_are_no_shoppers() {
    let store = FakeStore::open(TOYS, None).await;
    assert!(ContinuousShoppers::start(&config(&[], 1, 1.0)).is_err());
    assert!(ContinuousShoppers::start(&ContinuousConfig { products: [].into(), ..config(&[&store], 1, 1.0) }).is_err());
}
