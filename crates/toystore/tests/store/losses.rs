//! Disks are wiped and replicas away for long, while clients order.

use std::io::ErrorKind;

use api::Ordinal;
use reqwest::StatusCode;
use toystore::local::Member;
use uuid::Uuid;

use crate::harness::{Acknowledged, Audit, PATIENCE, TOYS, TestStore, Writers, eventually};

fn wipe(store: &TestStore, ordinal: Ordinal) {
    for path in store.store.layout().files(Member::Order(ordinal)) {
        let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => panic!("{}: {error}", path.display()),
            _ => {}
        }
    }
}

/// Who leads, and the two others.
async fn roles(store: &TestStore) -> (Ordinal, Ordinal, Ordinal) {
    let leader = store.store.leader_other_than(None, PATIENCE).await.unwrap();
    let mut others = store.store.layout().ordinals().filter(|n| *n != leader);
    (leader, others.next().unwrap(), others.next().unwrap())
}

/// What is acknowledged while one follower is frozen lies on two disks. One of them is wiped, the other dies: whoever went on
/// now would have forgotten it.
#[tokio::test]
async fn with_one_frozen_one_wiped_and_the_leader_dead_the_group_waits_rather_than_forget() {
    let mut store = TestStore::start().await;
    let rest = store.rest();
    let (leader, frozen, wiped) = roles(&store).await;
    store.store.process(Member::Order(frozen)).freeze().unwrap();
    let mut acknowledged = Vec::new();
    for toy in TOYS {
        let key = Uuid::new_v4();
        let number = rest.order(toy, 1, key).await.unwrap().body["data"]["order_number"].as_u64().expect("a number");
        acknowledged.push(Acknowledged { number, name: (*toy).into(), quantity: 1, key });
    }
    store.store.process(Member::Order(wiped)).kill().await.unwrap();
    wipe(&store, wiped);
    store.store.start(Member::Order(wiped)).unwrap();
    eventually("the wiped replica answers", || async { store.store.status(wiped).await.is_some() }).await;
    store.store.process(Member::Order(leader)).kill().await.unwrap();

    let waits = async |key| {
        let answer = rest.order("Tux", 1, key).await.expect("an answer within the client's 8 s");
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        assert!(answer.retry_after_s().is_some(), "{answer:?}");
    };
    let key = Uuid::new_v4();
    waits(key).await;
    // Awake, it is one of two that answer, and has one of three votes: the other's was lost with its disk.
    store.store.process(Member::Order(frozen)).thaw().unwrap();
    waits(key).await;

    store.store.start(Member::Order(leader)).unwrap();
    store.ready().await;
    eventually("the order goes through", || async {
        rest.order("Tux", 1, key).await.is_ok_and(|answer| answer.status.is_success())
    })
    .await;
    let audit = Audit::check(&mut store, &acknowledged).await;
    assert_eq!(audit.orders.len(), acknowledged.len() + 1);
}

#[tokio::test]
async fn a_wiped_replica_comes_back_and_one_away_for_long_gets_the_whole_state_while_orders_flow() {
    let mut store =
        TestStore::plenty(|layout| layout.with_variable("CHECKPOINT_EVERY", 20).with_variable("LOG_KEPT", 5)).await;
    let (_, wiped, away) = roles(&store).await;
    let mut writers = Writers::start(&store.rest(), 4, TOYS);
    writers.acknowledge_more(50).await;
    store.store.process(Member::Order(wiped)).kill().await.unwrap();
    wipe(&store, wiped);
    writers.acknowledge_more(100).await;
    store.store.start(Member::Order(wiped)).unwrap();
    store.ready().await;

    store.store.process(Member::Order(away)).kill().await.unwrap();
    writers.acknowledge_more(300).await;
    store.store.start(Member::Order(away)).unwrap();
    writers.acknowledge_more(100).await;
    store.ready().await;
    writers.acknowledge_more(50).await;
    let (acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "{errors:#?}");
    Audit::check(&mut store, &acknowledged).await;
    for replica in [wiped, away] {
        let metrics = store.internal_text(Member::Order(replica), "/metrics").await;
        let installed =
            metrics.lines().find(|line| line.starts_with("toystore_replication_checkpoints_installed_total"));
        let count =
            installed.and_then(|line| line.split_whitespace().last()).and_then(|count| count.parse::<f64>().ok());
        assert!(count.is_some_and(|count| count >= 1.0), "replica {replica} was sent no state: {installed:?}");
    }
}
