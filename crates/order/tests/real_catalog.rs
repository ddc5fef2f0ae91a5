//! Both halves of the transaction as they are: one order replica and one real catalog.

mod store;

use std::collections::BTreeSet;

use api::ErrorCode;
use futures::future::join_all;
use service::lifecycle::Process;
use store::only_replica::OnlyReplica;
use store::real_catalog::{self, settled};
use store::{LONG, id, order, place};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_buyers_get_exactly_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let (catalog, address) = real_catalog::start(dir.path(), &[("Tux", 100)]).await;
    let replica = OnlyReplica::start(dir.path(), &address, |_| {}).await.unwrap();
    let orders: Vec<_> = (0..150).map(|n| order(id(n), "Tux", 1)).collect();
    let mut answers = Vec::new();
    // As many at once as fit in the queue.
    for buyers in orders.chunks(30) {
        let together = join_all(buyers.iter().map(|order| place(&replica.group, order)));
        answers.extend(timeout(LONG, together).await.unwrap());
    }
    let placed: BTreeSet<u64> = answers.iter().flatten().copied().collect();
    assert_eq!(placed, (1..=100).collect());
    let refused = answers.iter().filter_map(|answer| answer.as_ref().err());
    assert!(refused.clone().all(|error| error.code() == Some(ErrorCode::OutOfStock)), "{answers:?}");
    assert_eq!(settled(&address, "Tux").await, (0, 100));
    replica.server.stop().await;
    catalog.stop().await;
}
