//! Bytes that a partition held back arrive long after their sender has given up.

use reqwest::StatusCode;
use serde_json::Value;
use toystore::local::{ProxyNetwork, StoreMember};
use uuid::Uuid;

use crate::harness::{Audit, Rest, TestStore, eventually};

/// More than the initial stock, less than the stock after a restock.
const TOO_MANY: u32 = 500;

/// How often the frozen link is tried. On a machine that stalls, the frontend may notice that no
/// replica answers before it has sent the order.
const TRIES: usize = 5;

/// Two frontends, of which the first can be cut off from the order replicas; sold-out products are
/// restocked to a thousand.
async fn two_frontends() -> (TestStore, ProxyNetwork) {
    let mut store = TestStore::prepare(|layout| {
        layout.with_frontends(2).with_variable("RESTOCK_INTERVAL_MS", 50).with_variable("RESTOCK_LEVEL", 1000)
    });
    let (layout, network) = ProxyNetwork::proxying(store.store.layout().clone()).unwrap();
    store.relocate(layout);
    store.store.start_all().unwrap();
    store.ready().await;
    (store, network)
}

/// The number of attempts that were placed, or whose key already had an answer.
async fn answered(store: &TestStore) -> f64 {
    let mut sum = 0.0;
    for ordinal in store.store.layout().ordinals() {
        let metrics = store.internal_text(StoreMember::Order(ordinal), "/metrics").await;
        for counter in ["toystore_order_placed_total", "toystore_order_repeated_total"] {
            let counts = metrics.lines().filter_map(|line| line.strip_prefix(counter));
            sum += counts.filter_map(|count| count.split_whitespace().last()?.parse::<f64>().ok()).sum::<f64>();
        }
    }
    sum
}

/// Places orders through a frontend whose link to the order replicas is frozen; returns the key of
/// an order that is stuck there.
async fn stuck_order(network: &ProxyNetwork, store: &TestStore, frozen: &Rest) -> Uuid {
    for _ in 0..TRIES {
        for ordinal in store.store.layout().ordinals() {
            network.cut(StoreMember::Frontend(1), StoreMember::Order(ordinal));
        }
        let key = Uuid::new_v4();
        let given_up = frozen.order("Tux", TOO_MANY, key).await.unwrap();
        assert_eq!(given_up.status, StatusCode::SERVICE_UNAVAILABLE, "{given_up:?}");
        if given_up.body["error"]["message"].as_str().is_some_and(|message| message.contains("may or may not")) {
            return key;
        }
        network.heal();
        eventually("the frontend finds the orders again", || async {
            frozen.order("Fox", 1, Uuid::new_v4()).await.is_ok_and(|answer| answer.status.is_success())
        })
        .await;
    }
    panic!("the frontend always noticed before it sent the order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_was_refused_is_not_placed_when_its_first_attempt_arrives() {
    let (mut store, network) = two_frontends().await;
    let (frozen, other) = (store.rest_of(1), store.rest_of(2));
    let key = stuck_order(&network, &store, &frozen).await;

    let refused = other.place("Tux", TOO_MANY, key).await.unwrap();
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "out_of_stock"), "{refused:?}");
    let stock = other.stock("Tux").await;
    other.buy("Tux", u32::try_from(stock).unwrap()).await;
    eventually("it is restocked", || async { other.stock("Tux").await >= u64::from(TOO_MANY) }).await;

    let before = answered(&store).await;
    network.heal();
    eventually("the first attempt arrives", || async { answered(&store).await > before }).await;
    eventually("the frontend finds the orders again", || async {
        frozen.order("Fox", 1, Uuid::new_v4()).await.is_ok_and(|answer| answer.status.is_success())
    })
    .await;
    for frontend in [&frozen, &other] {
        let again = frontend.place("Tux", TOO_MANY, key).await.unwrap();
        assert_eq!((again.status, &again.body["error"]), (StatusCode::CONFLICT, &refused.body["error"]));
        let less = frontend.place("Tux", 1, key).await.unwrap();
        assert_eq!((less.status, less.code()), (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"));
    }
    // The frontend does not return the key that it generated for an order which is refused at once:
    // there is nothing to retry.
    let body = serde_json::json!({ "name": "Tux", "quantity": 5000 });
    let unnamed = || other.request(reqwest::Method::POST, "/orders").json::<Value>(&body);
    let unnamed = other.repeat(unnamed).await.unwrap();
    assert_eq!((unnamed.code(), unnamed.headers.get("idempotency-key")), ("out_of_stock", None));
    let audit = Audit::check(&mut store, &[]).await;
    assert!(audit.orders.iter().all(|order| order.key != key), "it was placed nevertheless");
}
