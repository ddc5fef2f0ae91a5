//! Disks are wiped, and replicas are down for long, while clients place orders.

use std::io::ErrorKind;

use api::Ordinal;
use toystore::local::StoreMember;

use crate::harness::{Audit, OrderWriters, TIMEOUT, TOYS, TestStore};

fn wipe(store: &TestStore, ordinal: Ordinal) {
    for path in store.store.layout().files(StoreMember::Order(ordinal)) {
        let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => panic!("{}: {error}", path.display()),
            _ => {}
        }
    }
}

/// The two followers.
async fn followers(store: &TestStore) -> (Ordinal, Ordinal) {
    let leader = store.store.leader_other_than(None, TIMEOUT).await.unwrap();
    let mut others = store.store.layout().ordinals().filter(|n| *n != leader);
    (others.next().unwrap(), others.next().unwrap())
}

#[tokio::test]
async fn a_wiped_replica_comes_back_and_one_away_for_long_gets_the_whole_state_while_orders_flow() {
    let mut store =
        TestStore::well_stocked(|layout| layout.with_variable("CHECKPOINT_EVERY", 20).with_variable("LOG_KEPT", 5))
            .await;
    let (wiped, away) = followers(&store).await;
    let mut writers = OrderWriters::start(&store, &[1], 4, TOYS);
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
