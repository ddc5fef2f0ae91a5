//! (e) – (h) Leaders die, freeze and come back while clients order.

use std::time::Duration;

use api::Ordinal;
use reqwest::StatusCode;
use toystore::local::Member;
use uuid::Uuid;

use crate::harness::{Audit, PATIENCE, Rest, TOYS, TestStore, Writers, eventually};

#[tokio::test]
async fn the_leader_is_killed_ten_times_under_eight_writers() {
    let mut store = TestStore::plenty(|layout| layout).await;
    let mut writers = Writers::start(&store.rest(), 8, TOYS);
    for _ in 0..10 {
        writers.acknowledge_more(100).await;
        let leader = store.store.leader_other_than(None, PATIENCE).await.unwrap();
        store.store.process(Member::Order(leader)).kill().await.unwrap();
        writers.acknowledge_more(100).await;
        store.store.start(Member::Order(leader)).unwrap();
        store.ready().await;
    }
    let (acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "clients saw errors: {errors:#?}");
    let audit = Audit::check(&mut store, &acknowledged).await;
    // Every client had an answer to everything that it sent, so there is nothing beyond what was acknowledged
    // (but for what made the store plentiful).
    assert_eq!(audit.orders.len(), acknowledged.len() + TOYS.len());
}

#[tokio::test]
async fn a_follower_that_was_away_catches_up_and_may_lead() {
    let mut store = TestStore::plenty(|layout| layout).await;
    let leader = store.store.leader_other_than(None, PATIENCE).await.unwrap();
    let away = store.store.layout().ordinals().find(|n| *n != leader).unwrap();
    store.store.process(Member::Order(away)).kill().await.unwrap();
    let mut writers = Writers::start(&store.rest(), 4, TOYS);
    writers.acknowledge_more(300).await;
    store.store.start(Member::Order(away)).unwrap();
    let (mut acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "{errors:#?}");
    store.ready().await;
    Audit::check(&mut store, &acknowledged).await;

    store.store.process(Member::Order(leader)).kill().await.unwrap();
    let mut writers = Writers::start(&store.rest(), 4, TOYS);
    writers.acknowledge_more(100).await;
    let (more, errors) = writers.finish().await;
    assert!(errors.is_empty(), "{errors:#?}");
    acknowledged.extend(more);
    store.store.start(Member::Order(leader)).unwrap();
    store.ready().await;
    Audit::check(&mut store, &acknowledged).await;
}

#[tokio::test]
async fn a_frozen_leader_is_replaced_and_comes_back_as_a_follower() {
    let mut store = TestStore::plenty(|layout| layout).await;
    let mut writers = Writers::start(&store.rest(), 8, TOYS);
    writers.acknowledge_more(100).await;
    let frozen = store.store.leader_other_than(None, PATIENCE).await.unwrap();
    store.store.process(Member::Order(frozen)).freeze().unwrap();
    // The fault is the length of the freeze itself: longer than every time-out of the store.
    let thaw = tokio::time::sleep(Duration::from_secs(6));
    writers.acknowledge_more(200).await;
    let successor = store.store.leader_other_than(Some(frozen), PATIENCE).await.unwrap();
    assert_ne!(successor, frozen);
    thaw.await;
    store.store.process(Member::Order(frozen)).thaw().unwrap();
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
    // A majority has it by now; the one that is to be left over may be the third.
    let left_over = Rest::new(&store.store.layout().internal(Member::Order(Ordinal(1))));
    eventually("it has the order", || async { left_over.get(&placed).await.status == StatusCode::OK }).await;
    for n in [2, 3] {
        store.store.process(Member::Order(Ordinal(n))).kill().await.unwrap();
    }
    let key = Uuid::new_v4();
    let refused = rest.order("Tux", 1, key).await.expect("an answer within the client's 8 s");
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{refused:?}");
    assert!(refused.retry_after_s().is_some(), "{refused:?}");
    // What is placed can still be read; what is not there cannot be told to be missing.
    eventually("it is read", || async { rest.get(&placed).await.status == StatusCode::OK }).await;
    assert_eq!(rest.get("/orders/999").await.status, StatusCode::SERVICE_UNAVAILABLE);

    for n in [2, 3] {
        store.store.start(Member::Order(Ordinal(n))).unwrap();
    }
    store.ready().await;
    eventually("the same order goes through", || async {
        rest.order("Tux", 1, key).await.is_ok_and(|answer| answer.status.is_success())
    })
    .await;
    let audit = Audit::check(&mut store, &[]).await;
    assert_eq!(audit.orders.iter().filter(|order| order.key == key).count(), 1);
    assert_eq!(audit.orders.len(), 2);
}

#[tokio::test]
async fn a_leader_that_is_told_to_stop_hands_over() {
    let mut store = TestStore::plenty(|layout| layout).await;
    let mut writers = Writers::start(&store.rest(), 4, TOYS);
    writers.acknowledge_more(100).await;
    let leader = store.store.leader_other_than(None, PATIENCE).await.unwrap();
    let process = store.store.process(Member::Order(leader));
    process.terminate().unwrap();
    assert!(process.wait().await.unwrap().success());
    writers.acknowledge_more(100).await;
    store.store.start(Member::Order(leader)).unwrap();
    let (acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "{errors:#?}");
    store.ready().await;
    Audit::check(&mut store, &acknowledged).await;
}
