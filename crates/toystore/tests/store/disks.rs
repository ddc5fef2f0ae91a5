//! Disks are full while clients place orders. The simulation's scripts show that full and slow
//! disks cause no election.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use api::Ordinal;
use reqwest::StatusCode;
use tokio::process::Command;
use toystore::local::{ChildProcess, StoreLayout, StoreMember};
use uuid::Uuid;

use crate::harness::{Audit, RestResponse, TIMEOUT, TestStore, eventually};

/// The members that write to disk.
fn disks(layout: &StoreLayout) -> Vec<StoreMember> {
    layout.members().into_iter().filter(|member| !matches!(member, StoreMember::Frontend(_))).collect()
}

/// A store whose disks can be made full.
async fn with_faults() -> TestStore {
    TestStore::well_stocked(|layout| {
        disks(&layout).into_iter().fold(layout, |layout, member| {
            let file = layout.data().join(format!("{member}.faults"));
            layout.with_member_variable(member, "DISK_FAULTS_FILE", file.display())
        })
    })
    .await
}

fn fault(store: &TestStore, member: StoreMember, what: &str) {
    std::fs::write(store.store.layout().data().join(format!("{member}.faults")), what).unwrap();
}

/// Places orders until one is refused; returns the refusal. Orders whose outcome is unknown are
/// skipped: those that were in flight when the free space was checked or when the leader changed.
async fn first_refusal(store: &TestStore) -> RestResponse {
    let rest = store.rest();
    let refused = async {
        loop {
            let answer = rest.order("Tux", 1, Uuid::new_v4()).await.unwrap();
            if !answer.status.is_success() && answer.code() != "unavailable" {
                return answer;
            }
        }
    };
    tokio::time::timeout(TIMEOUT, refused).await.expect("a refusal")
}

/// Places orders until one succeeds again. The only errors allowed are those of a full disk and
/// unknown outcomes.
async fn first_success(store: &TestStore) {
    let rest = store.rest();
    eventually("orders flow again", || async {
        let answer = rest.order("Tux", 1, Uuid::new_v4()).await.unwrap();
        let is_expected = ["insufficient_storage", "unavailable"].contains(&answer.code());
        assert!(answer.status.is_success() || is_expected, "{answer:?}");
        answer.status.is_success()
    })
    .await;
}

#[tokio::test]
async fn full_disks_stop_new_orders_and_nothing_else() {
    let mut store = with_faults().await;
    let rest = store.rest();
    let orders: Vec<_> = store.store.layout().ordinals().map(StoreMember::Order).collect();
    let number = rest.buy("Fox", 1).await;
    for full in [&orders[..], &[StoreMember::Catalog]] {
        for member in full {
            fault(&store, *member, "full=true");
        }
        let refused = first_refusal(&store).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::INSUFFICIENT_STORAGE, "insufficient_storage"));
        assert!(refused.retry_after_s().is_some(), "{refused:?}");
        assert_eq!(rest.read(&format!("/orders/{number}")).await.status, StatusCode::OK);
        assert_eq!(rest.read("/orders/999999").await.status, StatusCode::NOT_FOUND);
        assert!(rest.stock("Fox").await > 0);
        for member in full {
            fault(&store, *member, "");
        }
        first_success(&store).await;
    }
    assert!(store.store.processes().all(ChildProcess::is_running), "no process has exited");
    Audit::check(&mut store, &[]).await;
}

#[tokio::test]
async fn a_process_that_starts_on_a_full_disk_waits_for_room() {
    let mut store = with_faults().await;
    let away = Ordinal(2);
    store.store.process(StoreMember::Order(away)).kill().await.unwrap();
    fault(&store, StoreMember::Order(away), "free_mib=0");
    store.store.start(StoreMember::Order(away)).unwrap();
    eventually("the reason why it does not start is logged", || async { store.logged("too full to start") }).await;
    assert!(store.store.process(StoreMember::Order(away)).is_running());
    // It can be stopped while it waits.
    let status = store.store.process(StoreMember::Order(away)).stop(TIMEOUT).await.unwrap();
    assert!(status.success(), "{status}");
    store.store.start(StoreMember::Order(away)).unwrap();
    store.rest().buy("Tux", 1).await;
    fault(&store, StoreMember::Order(away), "");
    store.ready().await;
    Audit::check(&mut store, &[]).await;
}

/// Set in the process that has a mount namespace of its own.
const IN_OWN_NAMESPACE: &str = "STORE_TEST_IN_OWN_NAMESPACE";

/// The size of the file system for all files of a store. Each log file starts with some MiB.
const SMALL_DISK_MIB: u64 = 256;

/// A real file system that another program fills up. Skipped if mounting is not allowed.
#[tokio::test]
async fn a_small_disk_that_is_filled_up_stops_new_orders_and_no_process() {
    if std::env::var_os(IN_OWN_NAMESPACE).is_some() {
        return fill_a_small_disk().await;
    }
    let unshare = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private"]).kill_on_drop(true);
        unshare
    };
    if !unshare().arg("true").output().await.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: a mount namespace needs root and unshare(1)");
        return;
    }
    let again = "disks::a_small_disk_that_is_filled_up_stops_new_orders_and_no_process";
    let mut child = unshare();
    child.arg(std::env::current_exe().unwrap()).args(["--exact", again, "--nocapture"]).env(IN_OWN_NAMESPACE, "1");
    let output = child.output().await.unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}\n{stderr}");
}

async fn fill_a_small_disk() {
    let mut store = TestStore::prepare_well_stocked(|layout| layout);
    let disk = store.store.layout().data().to_owned();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={SMALL_DISK_MIB}m"), "tmpfs"])
        .arg(&disk)
        .status()
        .await;
    assert!(mount.unwrap().success(), "root of a namespace of its own may mount");
    store.store.start_all().unwrap();
    store.stock_up().await;
    let number = store.rest().buy("Fox", 1).await;
    // First a little less free space than the reserve, then almost none.
    for free_mib in [40, 1] {
        let filler = disk.join("filler");
        fill(&disk, &filler, free_mib);
        let refused = first_refusal(&store).await;
        assert_eq!(refused.code(), "insufficient_storage", "{refused:?}");
        assert_eq!(store.rest().read(&format!("/orders/{number}")).await.status, StatusCode::OK);
        std::fs::remove_file(&filler).unwrap();
        first_success(&store).await;
    }
    assert!(store.store.processes().all(ChildProcess::is_running), "no process has exited");
    Audit::check(&mut store, &[]).await;
    store.store.stop().await;
    let unmounted = Command::new("umount").arg(&disk).status().await;
    assert!(unmounted.unwrap().success());
}

/// Writes to `filler` until this much free space is left.
fn fill(disk: &Path, filler: &Path, free_mib: u64) {
    let chunk = vec![0; 1024 * 1024];
    let mut file = File::create(filler).unwrap();
    let free = || {
        let stat = rustix::fs::statvfs(disk).unwrap();
        stat.f_bavail * stat.f_frsize / (1024 * 1024)
    };
    while free() > free_mib {
        file.write_all(&chunk).unwrap();
    }
}
