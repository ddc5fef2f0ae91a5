//! Logs lose their end while their processes are down; the processes are killed and restarted.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use service::lifecycle::ExitCode;
use toystore::local::StoreMember;
use uuid::Uuid;

use crate::harness::{Audit, ClientOrder, TIMEOUT, TestStore, eventually};

/// The directory with a member's log.
fn data(store: &TestStore, member: StoreMember) -> PathBuf {
    store.store.layout().files(member).into_iter().find(|path| path.is_dir()).expect("its data directory")
}

/// Cuts this many frames off the end of the newest log file; returns the file and its old contents.
fn cut_frames(data: &Path, frames: usize) -> (PathBuf, Vec<u8>) {
    let files = fs::read_dir(data.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let file = files.filter(|path| path.extension().is_some_and(|end| end == "log")).max().unwrap();
    let whole = fs::read(&file).unwrap();
    let (mut at, mut begins) = (0, Vec::new());
    // A frame's header: length of the body (4 bytes), checksum (4), number (8), checksum (4).
    while let Some(head) = whole.get(at..at + 20)
        && head[8..16] != [0; 8]
    {
        begins.push(at);
        at += 20 + u32::from_le_bytes(head[..4].try_into().unwrap()) as usize;
    }
    fs::write(&file, &whole[..begins[begins.len() - frames]]).unwrap();
    (file, whole)
}

async fn refused(store: &mut TestStore, member: StoreMember, what: &str) {
    let status = store.store.start(member).unwrap().wait().await.unwrap();
    assert_eq!(status.code(), Some(ExitCode::Io as i32), "{member}");
    // The last log lines may not have arrived yet.
    eventually("what is missing is logged", || async { store.logged(what) }).await;
    eventually("the remedy is logged", || async { store.logged("DataDirectoryRefused") }).await;
}

/// 24 orders are only in the logs of one follower and the leader. If the follower forgot them and
/// voted, it and the third replica would continue without them, and assign their numbers again.
#[tokio::test]
async fn a_follower_that_lost_its_logs_end_does_not_vote_and_no_number_is_given_twice() {
    let mut store = TestStore::start().await;
    let rest = store.rest();
    for _ in 0..5 {
        rest.buy("Tux", 1).await;
    }
    let leader = store.store.leader_other_than(None, TIMEOUT).await.unwrap();
    let others: Vec<_> = store.store.layout().ordinals().filter(|n| *n != leader).collect();
    let [away, damaged] = others[..] else { panic!("three replicas") };
    store.store.process(StoreMember::Order(away)).kill().await.unwrap();
    let mut acknowledged = Vec::new();
    for _ in 0..24 {
        let key = Uuid::new_v4();
        let answer = rest.place("Fox", 1, key).await.unwrap();
        let number = answer.body["data"]["order_number"].as_u64().unwrap_or_else(|| panic!("{answer:?}"));
        acknowledged.push(ClientOrder { number, name: "Fox".into(), quantity: 1, key });
    }
    for replica in [leader, damaged] {
        store.store.process(StoreMember::Order(replica)).kill().await.unwrap();
    }
    let dir = data(&store, StoreMember::Order(damaged));
    cut_frames(&dir, 12);
    refused(&mut store, StoreMember::Order(damaged), "its frames end at byte").await;

    // The third replica has none of them, and cannot be elected alone.
    store.store.start(StoreMember::Order(away)).unwrap();
    let key = Uuid::new_v4();
    let answer = rest.order("Tux", 1, key).await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    store.store.start(StoreMember::Order(leader)).unwrap();
    eventually("the order succeeds", || async {
        rest.order("Tux", 1, key).await.is_ok_and(|answer| answer.status.is_success())
    })
    .await;

    fs::rename(&dir, dir.with_extension("aside")).unwrap();
    store.store.start(StoreMember::Order(damaged)).unwrap();
    store.ready().await;
    let audit = Audit::check(&mut store, &acknowledged).await;
    assert_eq!(audit.orders.len(), 5 + 24 + 1);
}

#[tokio::test]
async fn a_single_catalog_that_lost_a_part_of_its_log_does_not_sell_the_stock_again() {
    let mut store = TestStore::start().await;
    let rest = store.rest();
    for _ in 0..6 {
        rest.buy("Tux", 1).await;
    }
    Audit::check(&mut store, &[]).await;
    store.store.process(StoreMember::Catalog).kill().await.unwrap();
    let dir = data(&store, StoreMember::Catalog);
    let (file, whole) = cut_frames(&dir, 1);
    refused(&mut store, StoreMember::Catalog, "its frames end at byte").await;
    fs::write(&file, &whole).unwrap();

    let log = dir.join("log");
    fs::rename(&log, log.with_extension("aside")).unwrap();
    refused(&mut store, StoreMember::Catalog, "the log in it was lost").await;
    fs::remove_dir_all(&log).unwrap();
    fs::rename(log.with_extension("aside"), &log).unwrap();

    store.store.start(StoreMember::Catalog).unwrap();
    store.ready().await;
    rest.buy("Tux", 1).await;
    Audit::check(&mut store, &[]).await;
}

/// Otherwise numbers would start at 1 again.
#[tokio::test]
async fn a_group_whose_logs_are_all_gone_is_not_bootstrapped_again_beside_its_ledgers() {
    let mut store = TestStore::start().await;
    let rest = store.rest();
    rest.buy("Tux", 1).await;
    Audit::check(&mut store, &[]).await;
    let orders: Vec<_> = store.store.layout().ordinals().map(StoreMember::Order).collect();
    for order in &orders {
        store.store.process(*order).kill().await.unwrap();
    }
    for order in &orders {
        let dir = data(&store, *order);
        fs::rename(&dir, dir.with_extension("aside")).unwrap();
        store.store.start(*order).unwrap();
    }
    eventually("the reason is logged", || async { store.logged("had a log and lost it") }).await;
    let answer = rest.order("Tux", 1, Uuid::new_v4()).await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");

    for order in &orders {
        store.store.process(*order).kill().await.unwrap();
        let dir = data(&store, *order);
        fs::remove_dir_all(&dir).unwrap();
        fs::rename(dir.with_extension("aside"), &dir).unwrap();
        store.store.start(*order).unwrap();
    }
    store.ready().await;
    assert_eq!(rest.buy("Tux", 1).await, 2);
    Audit::check(&mut store, &[]).await;
}
