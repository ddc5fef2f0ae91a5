//! Leaders are killed, freeze and come back while clients place orders.

use std::time::Duration;

use api::Ordinal;
use reqwest::StatusCode;
use toystore::local::StoreMember;
use uuid::Uuid;

use crate::harness::{Audit, OrderWriters, Rest, TIMEOUT, TOYS, TestStore, eventually};

#[tokio::test]
async fn the_leader_is_killed_ten_times_under_eight_writers() {
    let mut store = TestStore::well_stocked(|layout| layout).await;
    let mut writers = OrderWriters::start(&store.rest(), 8, TOYS);
    for _ in 0..10 {
        writers.acknowledge_more(100).await;
        let leader = store.store.leader_other_than(None, TIMEOUT).await.unwrap();
        store.store.process(StoreMember::Order(leader)).kill().await.unwrap();
        writers.acknowledge_more(100).await;
        store.store.start(StoreMember::Order(leader)).unwrap();
        store.ready().await;
    }
    let (acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "clients saw errors: {errors:#?}");
    let audit = Audit::check(&mut store, &acknowledged).await;
    // Clients got an answer to every order, so there are no orders beyond the acknowledged ones,
    // except those that raised the stock.
    assert_eq!(audit.orders.len(), acknowledged.len() + TOYS.len());
}

#[tokio::test]
async fn a_follower_that_was_down_catches_up_and_can_lead() {
    let mut store = TestStore::well_stocked(|layout| layout).await;
    let leader = store.store.leader_other_than(None, TIMEOUT).await.unwrap();
    let away = store.store.layout().ordinals().find(|n| *n != leader).unwrap();
    store.store.process(StoreMember::Order(away)).kill().await.unwrap();
    let mut writers = OrderWriters::start(&store.rest(), 4, TOYS);
    writers.acknowledge_more(300).await;
    store.store.start(StoreMember::Order(away)).unwrap();
    let (mut acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "{errors:#?}");
    store.ready().await;
    Audit::check(&mut store, &acknowledged).await;

    store.store.process(StoreMember::Order(leader)).kill().await.unwrap();
    let mut writers = OrderWriters::start(&store.rest(), 4, TOYS);
    writers.acknowledge_more(100).await;
    let (more, errors) = writers.finish().await;
    assert!(errors.is_empty(), "{errors:#?}");
    acknowledged.extend(more);
    store.store.start(StoreMember::Order(leader)).unwrap();
    store.ready().await;
    Audit::check(&mut store, &acknowledged).await;
}

#[tokio::test]
async fn a_frozen_leader_is_replaced_and_comes_back_as_a_follower() {
    let mut store = TestStore::well_stocked(|layout| layout).await;
    let mut writers = OrderWriters::start(&store.rest(), 8, TOYS);
    writers.acknowledge_more(100).await;
    let frozen = store.store.leader_other_than(None, TIMEOUT).await.unwrap();
    store.store.process(StoreMember::Order(frozen)).freeze().unwrap();
    // The fault is the length of the freeze itself: longer than every timeout of the store.
    let thaw = tokio::time::sleep(Duration::from_secs(6));
    writers.acknowledge_more(200).await;
    let successor = store.store.leader_other_than(Some(frozen), TIMEOUT).await.unwrap();
    assert_ne!(successor, frozen);
    thaw.await;
    store.store.process(StoreMember::Order(frozen)).thaw().unwrap();
    writers.acknowledge_more(200).await;
    let (acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "{errors:#?}");
    Audit::check(&mut store, &acknowledged).await;
}

#[tokio::test]
async fn without_a_quorum_nothing_is_acknowledged() {
    let mut store = TestStore::start().await;
    let rest = store.rest();
    let before = rest.buy("Tux", 1).await;
    let placed = format!("/orders/{before}");
    // A majority has the order by now, but the replica that survives may not have it yet.
    let left_over = Rest::new(&store.store.layout().internal(StoreMember::Order(Ordinal(1))));
    eventually("it has the order", || async { left_over.get(&placed).await.status == StatusCode::OK }).await;
    for n in [2, 3] {
        store.store.process(StoreMember::Order(Ordinal(n))).kill().await.unwrap();
    }
    let key = Uuid::new_v4();
    let refused = rest.order("Tux", 1, key).await.expect("an answer");
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{refused:?}");
    assert!(refused.retry_after_s().is_some(), "{refused:?}");
    // Placed orders can still be read. A missing order gets 503, because a single replica cannot
    // know that it is missing.
    eventually("it is read", || async { rest.get(&placed).await.status == StatusCode::OK }).await;
    assert_eq!(rest.get("/orders/999").await.status, StatusCode::SERVICE_UNAVAILABLE);

    for n in [2, 3] {
        store.store.start(StoreMember::Order(Ordinal(n))).unwrap();
    }
    store.ready().await;
    eventually("the same order succeeds", || async {
        rest.order("Tux", 1, key).await.is_ok_and(|answer| answer.status.is_success())
    })
    .await;
    let audit = Audit::check(&mut store, &[]).await;
    assert_eq!(audit.orders.iter().filter(|order| order.key == key).count(), 1);
    assert_eq!(audit.orders.len(), 2);
}

#[tokio::test]
async fn a_leader_that_is_told_to_stop_transfers_leadership() {
    let mut store = TestStore::well_stocked(|layout| layout).await;
    let mut writers = OrderWriters::start(&store.rest(), 4, TOYS);
    writers.acknowledge_more(100).await;
    let leader = store.store.leader_other_than(None, TIMEOUT).await.unwrap();
    let process = store.store.process(StoreMember::Order(leader));
    process.terminate().unwrap();
    assert!(process.wait().await.unwrap().success());
    writers.acknowledge_more(100).await;
    store.store.start(StoreMember::Order(leader)).unwrap();
    let (acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "{errors:#?}");
    store.ready().await;
    Audit::check(&mut store, &acknowledged).await;
}
