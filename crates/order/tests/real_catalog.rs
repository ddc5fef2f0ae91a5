//! Both halves of the transaction as they are: one order replica and one real catalog.

mod store;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use api::{Address, ErrorCode};
use futures::future::join_all;
use service::json_client::CallError;
use service::lifecycle::Process;
use store::only_replica::OnlyReplica;
use store::real_catalog::{self, settled};
use store::{LONG, id, order, place};
use tokio::time::timeout;

async fn start_catalog(dir: &Path) -> (catalog::Server, Address) {
    real_catalog::start(dir, &[("Tux", 100), ("Fox", 1000)]).await
}

async fn start_order(dir: &Path, catalog: &Address) -> OnlyReplica {
    OnlyReplica::start(dir, catalog, |_| {}).await.unwrap()
}

async fn buy(replica: &OnlyReplica, n: u128, name: &str) -> Result<u64, CallError> {
    place(&replica.group, &order(id(n), name, 1)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_buyers_get_exactly_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let (catalog, address) = start_catalog(dir.path()).await;
    let replica = start_order(dir.path(), &address).await;
    let mut answers = Vec::new();
    for buyers in 0..5 {
        // As many as fit in the queue.
        let together = join_all((0..30).map(|n| buy(&replica, buyers * 30 + n, "Tux")));
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

/// Places an order once there is space again.
async fn placed(replica: &OnlyReplica, n: u64) -> u64 {
    let placed = async {
        loop {
            match buy(replica, u128::from(n), "Fox").await {
                Ok(number) => return number,
                Err(error) => {
                    let code = error.code();
                    let is_full = code == Some(ErrorCode::InsufficientStorage);
                    assert!(is_full || code.is_none_or(|code| code == ErrorCode::Unavailable), "{error:?}");
                }
            }
        }
    };
    timeout(LONG, placed).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_either_disk_is_full_no_order_is_begun() {
    let dir = tempfile::tempdir().unwrap();
    let (catalog, address) = start_catalog(dir.path()).await;
    let replica = start_order(dir.path(), &address).await;
    assert_eq!(buy(&replica, 1, "Fox").await.unwrap(), 1);
    let mut next = 2;
    for disk in [dir.path().to_owned(), dir.path().join("order1")] {
        let refused = async {
            loop {
                std::fs::write(disk.join("faults.txt"), "full=true").unwrap();
                match buy(&replica, u128::from(next), "Fox").await {
                    // It arrived before the check that found the disk full.
                    Ok(_) => next += 1,
                    // The answer was late, and a second copy was sent to the catalog.
                    // Then a refusal is not final, and the order waits for space.
                    Err(error) if error.code().is_none_or(|code| code == ErrorCode::Unavailable) => {
                        std::fs::write(disk.join("faults.txt"), "").unwrap();
                        assert_eq!(placed(&replica, next).await, next);
                        next += 1;
                    }
                    Err(error) => return error,
                }
            }
        };
        let refused = timeout(5 * LONG, refused).await.unwrap();
        assert_eq!(refused.code(), Some(ErrorCode::InsufficientStorage), "{refused:?}");
        assert_eq!(buy(&replica, 1, "Fox").await.unwrap(), 1, "an order that is placed is known");
        // Settling continues, and nothing is reserved for the refused order.
        assert_eq!(settled(&address, "Fox").await, (1000 - (next - 1), next - 1));

        std::fs::write(disk.join("faults.txt"), "").unwrap();
        let number = placed(&replica, next).await;
        assert_eq!(number, next, "no number is skipped");
        next = number + 1;
    }
    replica.server.stop().await;
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_half_may_stop_and_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (catalog, address) = start_catalog(dir.path()).await;
    let replica = start_order(dir.path(), &address).await;
    assert_eq!(buy(&replica, 1, "Fox").await.unwrap(), 1);
    replica.server.stop().await;

    let replica = start_order(dir.path(), &address).await;
    assert_eq!(buy(&replica, 2, "Fox").await.unwrap(), 2);
    assert_eq!(buy(&replica, 1, "Fox").await.unwrap(), 1, "known from before");
    catalog.stop().await;

    let waits = buy(&replica, 3, "Fox");
    assert!(timeout(Duration::from_millis(300), waits).await.is_err(), "no order without a catalog");
    replica.server.stop().await;
    let (catalog, address) = start_catalog(dir.path()).await;
    let replica = start_order(dir.path(), &address).await;
    let number = buy(&replica, 3, "Fox").await.unwrap();
    assert_eq!(number, 3);
    assert_eq!(settled(&address, "Fox").await, (997, 3));
    replica.server.stop().await;
    catalog.stop().await;
}
