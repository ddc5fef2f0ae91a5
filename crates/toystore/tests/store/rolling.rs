//! Everything is restarted, one process after the other, while clients order.

use crate::harness::{Audit, PATIENCE, TOYS, TestStore, Writers};

#[tokio::test]
async fn a_rolling_restart_of_everything_shows_no_client_an_error() {
    let mut store = TestStore::plenty(|layout| layout.with_frontends(2)).await;
    let (first, second) = (store.store.layout().public(1), store.store.layout().public(2));
    // Half of the clients begin at each frontend; connections are kept alive.
    let mut at_first = Writers::start(&store.rest().or(&second), 3, TOYS);
    let mut at_second = Writers::start(&store.rest_of(2).or(&first), 3, TOYS);
    at_first.acknowledge_more(30).await;
    for member in store.store.layout().members().into_iter().rev() {
        let process = store.store.process(member);
        process.terminate().unwrap();
        let ended = tokio::time::timeout(PATIENCE, process.wait()).await.expect("it ends").unwrap();
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
