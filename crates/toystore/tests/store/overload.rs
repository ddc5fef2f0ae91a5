//! More orders arrive than the store can place.

use std::time::Duration;

use api::ProductName;
use workload::RequestKind;
use workload::load::{self, LoadPlan, Stage};

use crate::harness::{TestStore, eventually};

/// Much longer than the store's deadline of 5 s: the test fails if there is no answer, not because
/// the machine is slow.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

fn plan(store: &TestStore, connections: usize, order_share: f64) -> LoadPlan {
    let stage = Stage::closed(connections, Duration::from_secs(3));
    let products = vec![ProductName::new("Tux").unwrap()];
    let plan = LoadPlan::single_requests(store.store.layout().public(1), products, order_share, vec![stage]);
    LoadPlan { request_timeout: ANSWER_TIMEOUT, ..plan }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_orders_is_answered_and_does_not_block_reads() {
    let mut store = TestStore::prepare(|layout| layout.with_variable("ORDERS_IN_FLIGHT_MAX", 64));
    let seed = store.store.layout().data().join("catalog.csv");
    std::fs::write(seed, "name,price,quantity\nTux,25.99,1000000000\n").unwrap();
    store.store.start_all().unwrap();
    store.ready().await;
    store.rest().buy("Tux", 1).await;

    let (flood, visitors) = (plan(&store, 640, 1.0), plan(&store, 4, 0.0));
    let (flood, visitors) = tokio::try_join!(load::run_to_end(&flood), load::run_to_end(&visitors)).unwrap();
    let (orders, queries) = (flood.of(RequestKind::Order), visitors.of(RequestKind::Query));
    assert!(
        orders.done.count() > 0 && orders.refused.count() > 0,
        "{} {}",
        orders.done.count(),
        orders.refused.count()
    );
    assert_eq!(orders.with_retry_after, orders.refused.count(), "every refusal has Retry-After");
    assert_eq!((orders.other, orders.timed_out, orders.connection_errors), (0, 0, 0), "every order is answered");
    assert!(queries.done.count() > 0);
    // On a machine that stalls, the frontend may lose its lease, and be too late with a product.
    assert_eq!(queries.with_retry_after, queries.refused.count(), "every refusal has Retry-After");
    assert_eq!(queries.done.count() + queries.refused.count(), queries.sent(), "every query is answered");

    let rest = store.rest();
    let served = || async { rest.text("/readyz").await.0.is_success() };
    eventually("the store is ready", served).await;
    let before = orders.done.count();
    // Orders that were in flight at the end may have been placed, too.
    assert!(store.rest().buy("Tux", 1).await > before);
}
