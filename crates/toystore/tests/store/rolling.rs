//! All processes are restarted, one after the other, while clients place orders.

use crate::harness::{Audit, OrderWriters, TIMEOUT, TOYS, TestStore};

#[tokio::test]
async fn a_rolling_restart_of_everything_loses_no_order() {
    let mut store = TestStore::well_stocked(|layout| layout.with_frontends(2)).await;
    // Half of the clients use each frontend; connections are kept alive.
    let mut at_first = OrderWriters::start(&store, &[1, 2], 3, TOYS);
    let mut at_second = OrderWriters::start(&store, &[2, 1], 3, TOYS);
    at_first.acknowledge_more(30).await;
    for member in store.store.layout().members().into_iter().rev() {
        let process = store.store.process(member);
        process.terminate().unwrap();
        let ended = tokio::time::timeout(TIMEOUT, process.wait()).await.expect("it ends").unwrap();
        assert!(ended.success(), "{member}: {ended}");
        store.store.start(member).unwrap();
        store.ready().await;
        at_first.acknowledge_more(30).await;
        at_second.acknowledge_more(30).await;
    }
    let (mut acknowledged, mut errors) = at_first.finish().await;
    let (more, more_errors) = at_second.finish().await;
    acknowledged.extend(more);
    errors.extend(more_errors);
    assert!(errors.is_empty(), "clients saw errors: {errors:#?}");
    Audit::check(&mut store, &acknowledged).await;
}
