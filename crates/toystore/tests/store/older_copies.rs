//! A process's files are replaced by an older copy of them.

use std::path::PathBuf;
use std::time::Duration;

use api::{NodeId, Ordinal};
use reqwest::StatusCode;
use tempfile::TempDir;
use test_support::{copy, replace};
use toystore::local::StoreMember;
use uuid::Uuid;

use crate::harness::{Audit, OrderWriters, TIMEOUT, TOYS, TestStore, eventually};

/// A copy of the files of a stopped member.
struct FileCopy {
    member: StoreMember,
    files: Vec<(PathBuf, PathBuf)>,
    _directory: TempDir,
}

impl FileCopy {
    fn of(store: &TestStore, member: StoreMember) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let there = store.store.layout().files(member).into_iter().filter(|path| path.exists());
        let files: Vec<_> = there.enumerate().map(|(n, path)| (path, directory.path().join(n.to_string()))).collect();
        for (path, copied) in &files {
            copy(path, copied);
        }
        Self { member, files, _directory: directory }
    }

    fn put_back(&self) {
        for (path, copied) in &self.files {
            replace(copied, path);
        }
    }
}

/// Copies the present files of a member, which is stopped for that.
async fn copy_of(store: &mut TestStore, member: StoreMember) -> FileCopy {
    store.store.process(member).kill().await.unwrap();
    let copied = FileCopy::of(store, member);
    store.store.start(member).unwrap();
    store.ready().await;
    copied
}

/// Kills a member and replaces its files by the copy.
async fn put_back(store: &mut TestStore, copied: &FileCopy) {
    store.store.process(copied.member).kill().await.unwrap();
    copied.put_back();
}

#[tokio::test]
async fn an_order_replica_with_an_older_copy_rejoins_while_orders_flow() {
    let mut store = TestStore::well_stocked(|layout| layout).await;
    let leader = store.store.leader_other_than(None, TIMEOUT).await.unwrap();
    let follower = store.store.layout().ordinals().find(|n| *n != leader).unwrap();
    for ordinal in [follower, leader] {
        let member = StoreMember::Order(ordinal);
        let older = copy_of(&mut store, member).await;
        let id = store.status(ordinal).await.node_id;
        let mut writers = OrderWriters::start(&store, &[1], 4, TOYS);
        writers.acknowledge_more(100).await;
        put_back(&mut store, &older).await;
        writers.acknowledge_more(50).await;
        store.store.start(member).unwrap();
        writers.acknowledge_more(50).await;
        gives_up(&mut store, ordinal, id).await;
        store.ready().await;
        let (acknowledged, errors) = writers.finish().await;
        assert!(errors.is_empty(), "{errors:#?}");
        let reason = "the disk of this replica went back in time";
        eventually("the reason is logged", || async { store.logged(reason) }).await;
        Audit::check(&mut store, &acknowledged).await;
    }
}

/// Waits until a replica whose files are an older copy has a new id. On a slow machine the others
/// may not tell it in time when it starts. Then it exits with code 1 as soon as it learns of it,
/// and gets a new id when it is started again.
async fn gives_up(store: &mut TestStore, ordinal: Ordinal, id: NodeId) {
    let member = StoreMember::Order(ordinal);
    let given_up = async {
        while store.store.status(ordinal).await.is_none_or(|status| status.node_id == id) {
            let process = store.store.process(member);
            if !process.is_running() {
                assert_eq!(process.wait().await.unwrap().code(), Some(1));
                store.store.start(member).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, given_up).await.expect("it gives up its id");
}

#[tokio::test]
async fn an_older_catalog_stops_orders_until_the_newest_is_back() {
    let mut store = TestStore::start().await;
    let rest = store.rest();
    rest.buy("Tux", 1).await;
    let older = copy_of(&mut store, StoreMember::Catalog).await;
    for _ in 0..3 {
        rest.buy("Tux", 1).await;
    }
    store.store.process(StoreMember::Catalog).kill().await.unwrap();
    let newest = FileCopy::of(&store, StoreMember::Catalog);
    older.put_back();
    store.store.start(StoreMember::Catalog).unwrap();
    eventually("orders are refused because of it", || async {
        let answer = rest.order("Tux", 1, Uuid::new_v4()).await.unwrap();
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        answer.code() == "data_mismatch"
    })
    .await;
    let reason = "the catalog's data are older than the orders";
    eventually("the reason is logged", || async { store.logged(reason) }).await;

    put_back(&mut store, &newest).await;
    store.store.start(StoreMember::Catalog).unwrap();
    store.ready().await;
    eventually("orders flow again", || async {
        rest.order("Tux", 1, Uuid::new_v4()).await.is_ok_and(|answer| answer.status.is_success())
    })
    .await;
    let audit = Audit::check(&mut store, &[]).await;
    assert!(audit.orders.len() >= 5, "{:?}", audit.orders.len());
}
