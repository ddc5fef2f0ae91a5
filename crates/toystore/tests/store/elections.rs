//! Leaders are killed and come back while clients place orders.

use toystore::local::StoreMember;

use crate::harness::{Audit, OrderWriters, TIMEOUT, TOYS, TestStore};

#[tokio::test]
async fn the_leader_is_killed_ten_times_under_eight_writers() {
    let mut store = TestStore::well_stocked(|layout| layout).await;
    let mut writers = OrderWriters::start(&store, &[1], 8, TOYS);
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
