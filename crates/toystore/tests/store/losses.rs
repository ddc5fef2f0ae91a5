//! Disks are wiped, and replicas are down for long, while clients place orders.

use std::io::ErrorKind;

use api::Ordinal;
use reqwest::StatusCode;
use toystore::local::StoreMember;
use uuid::Uuid;

use crate::harness::{Audit, ClientOrder, OrderWriters, TIMEOUT, TOYS, TestStore, eventually};

fn wipe(store: &TestStore, ordinal: Ordinal) {
    for path in store.store.layout().files(StoreMember::Order(ordinal)) {
        let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => panic!("{}: {error}", path.display()),
            _ => {}
        }
    }
}

/// The leader and the two followers.
async fn roles(store: &TestStore) -> (Ordinal, Ordinal, Ordinal) {
    let leader = store.store.leader_other_than(None, TIMEOUT).await.unwrap();
    let mut others = store.store.layout().ordinals().filter(|n| *n != leader);
    (leader, others.next().unwrap(), others.next().unwrap())
}

/// While one follower is frozen, acknowledged orders are on two disks. One of these is wiped, the
/// other replica dies: the two remaining replicas must not continue, because they have lost these
/// orders.
#[tokio::test]
async fn with_one_frozen_one_wiped_and_the_leader_dead_the_group_waits_rather_than_forget() {
    let mut store = TestStore::start().await;
    let rest = store.rest();
    let (leader, frozen, wiped) = roles(&store).await;
    store.store.process(StoreMember::Order(frozen)).freeze().unwrap();
    let mut acknowledged = Vec::new();
    for toy in TOYS {
        let key = Uuid::new_v4();
        let number = rest.place(toy, 1, key).await.unwrap().body["data"]["order_number"].as_u64().expect("a number");
        acknowledged.push(ClientOrder { number, name: (*toy).into(), quantity: 1, key });
    }
    store.store.process(StoreMember::Order(wiped)).kill().await.unwrap();
    wipe(&store, wiped);
    store.store.start(StoreMember::Order(wiped)).unwrap();
    eventually("the wiped replica answers", || async { store.store.status(wiped).await.is_some() }).await;
    store.store.process(StoreMember::Order(leader)).kill().await.unwrap();

    let waits = async |key| {
        let answer = rest.order("Tux", 1, key).await.expect("an answer");
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        assert!(answer.retry_after_s().is_some(), "{answer:?}");
    };
    let key = Uuid::new_v4();
    waits(key).await;
    // After it resumes, two replicas answer, but they have only one of three votes: the wiped
    // replica has lost its vote with its disk.
    store.store.process(StoreMember::Order(frozen)).thaw().unwrap();
    waits(key).await;

    store.store.start(StoreMember::Order(leader)).unwrap();
    store.ready().await;
    eventually("the order succeeds", || async {
        rest.order("Tux", 1, key).await.is_ok_and(|answer| answer.status.is_success())
    })
    .await;
    let audit = Audit::check(&mut store, &acknowledged).await;
    assert_eq!(audit.orders.len(), acknowledged.len() + 1);
}

#[tokio::test]
async fn a_wiped_replica_comes_back_and_one_away_for_long_gets_the_whole_state_while_orders_flow() {
    let mut store =
        TestStore::well_stocked(|layout| layout.with_variable("CHECKPOINT_EVERY", 20).with_variable("LOG_KEPT", 5))
            .await;
    let (_, wiped, away) = roles(&store).await;
    let mut writers = OrderWriters::start(&store.rest(), 4, TOYS);
    writers.acknowledge_more(50).await;
    store.store.process(StoreMember::Order(wiped)).kill().await.unwrap();
    wipe(&store, wiped);
    writers.acknowledge_more(100).await;
    store.store.start(StoreMember::Order(wiped)).unwrap();
    store.ready().await;

    store.store.process(StoreMember::Order(away)).kill().await.unwrap();
    writers.acknowledge_more(300).await;
    store.store.start(StoreMember::Order(away)).unwrap();
    writers.acknowledge_more(100).await;
    store.ready().await;
    writers.acknowledge_more(50).await;
    let (acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "{errors:#?}");
    Audit::check(&mut store, &acknowledged).await;
    for replica in [wiped, away] {
        let metrics = store.internal_text(StoreMember::Order(replica), "/metrics").await;
        let installed =
            metrics.lines().find(|line| line.starts_with("toystore_replication_checkpoints_installed_total"));
        let count =
            installed.and_then(|line| line.split_whitespace().last()).and_then(|count| count.parse::<f64>().ok());
        assert!(count.is_some_and(|count| count >= 1.0), "replica {replica} was sent no state: {installed:?}");
    }
}
