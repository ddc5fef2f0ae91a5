//! Disks that are full or slow while clients order.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use api::{Ordinal, Term};
use reqwest::StatusCode;
use tokio::process::Command;
use toystore::local::{Layout, Member, Process};
use uuid::Uuid;

use crate::harness::{Answer, Audit, PATIENCE, TOYS, TestStore, Writers, eventually};

/// See [`within_one_term`].
const ROUNDS_MAX: u32 = 10;

/// The members with a disk that matters.
fn disks(layout: &Layout) -> Vec<Member> {
    layout.members().into_iter().filter(|member| !matches!(member, Member::Frontend(_))).collect()
}

/// A store whose disks can be made full or slow.
async fn with_faults() -> TestStore {
    TestStore::plenty(|layout| {
        disks(&layout).into_iter().fold(layout, |layout, member| {
            let file = layout.data().join(format!("{member}.faults"));
            layout.with_member_variable(member, "DISK_FAULTS_FILE", file.display())
        })
    })
    .await
}

fn fault(store: &TestStore, member: Member, what: &str) {
    std::fs::write(store.store.layout().data().join(format!("{member}.faults")), what).unwrap();
}

/// Orders until one is refused; what it was told. Where an order was begun just before a look at the free space, or under a leader that was
/// lost meanwhile, nobody can say what became of it: such an answer is passed over.
async fn first_refusal(store: &TestStore) -> Answer {
    let rest = store.rest();
    let refused = async {
        loop {
            let answer = rest.order("Tux", 1, Uuid::new_v4()).await.unwrap();
            if !answer.status.is_success() && answer.code() != "unavailable" {
                return answer;
            }
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("a refusal")
}

/// Orders until one goes through again; nobody is told anything but "full", or that nobody can say.
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

async fn term(store: &TestStore) -> Term {
    let led = async {
        loop {
            if let Some((term, _)) = store.store.leader().await {
                return term;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, led).await.expect("there is a leader")
}

/// Makes rounds until one has passed within one term: what happens in it is no reason for an election. A busy machine may stall a leader for
/// a reason of its own, but not in each round.
async fn within_one_term(store: &TestStore, round: impl AsyncFn()) {
    for _ in 0..ROUNDS_MAX {
        let before = term(store).await;
        round().await;
        if term(store).await == before {
            return;
        }
    }
    panic!("somebody lost an election in each of {ROUNDS_MAX} rounds");
}

#[tokio::test]
async fn full_disks_stop_new_orders_and_nothing_else() {
    let mut store = with_faults().await;
    let rest = store.rest();
    let orders: Vec<_> = store.store.layout().ordinals().map(Member::Order).collect();
    let number = rest.buy("Fox", 1).await;
    let fill_and_empty = async || {
        for full in [&orders[..], &[Member::Catalog]] {
            for member in full {
                fault(&store, *member, "full=true");
            }
            let refused = first_refusal(&store).await;
            assert_eq!((refused.status, refused.code()), (StatusCode::INSUFFICIENT_STORAGE, "insufficient_storage"));
            assert!(refused.retry_after_s().is_some(), "{refused:?}");
            assert_eq!(rest.get(&format!("/orders/{number}")).await.status, StatusCode::OK);
            assert_eq!(rest.get("/orders/999999").await.status, StatusCode::NOT_FOUND);
            assert!(rest.stock("Fox").await > 0);
            for member in full {
                fault(&store, *member, "");
            }
            first_success(&store).await;
        }
    };
    within_one_term(&store, fill_and_empty).await;
    assert!(store.store.processes().all(Process::is_running), "nobody has died of it");
    Audit::check(&mut store, &[]).await;
}

#[tokio::test]
async fn a_leader_with_a_full_disk_is_succeeded_by_one_that_has_room() {
    let mut store = with_faults().await;
    let mut writers = Writers::start(&store.rest(), 4, TOYS);
    writers.acknowledge_more(50).await;
    let full = store.store.leader_other_than(None, PATIENCE).await.unwrap();
    fault(&store, Member::Order(full), "full=true");
    store.store.leader_other_than(Some(full), PATIENCE).await.unwrap();
    writers.acknowledge_more(100).await;
    // At the very end of its disk it takes nothing any more, and the others go on without it.
    fault(&store, Member::Order(full), "free_mib=0");
    writers.acknowledge_more(100).await;
    fault(&store, Member::Order(full), "");
    let (acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "{errors:#?}");
    Audit::check(&mut store, &acknowledged).await;
}

#[tokio::test]
async fn slow_disks_only_slow() {
    let mut store = with_faults().await;
    let mut writers = Writers::start(&store.rest(), 4, TOYS);
    writers.acknowledge_more(50).await;
    let leader = store.store.leader_other_than(None, PATIENCE).await.unwrap();
    let before = term(&store).await;
    let follower = store.store.layout().ordinals().find(|n| *n != leader).unwrap();
    let all = disks(store.store.layout());
    for slow in [vec![Member::Order(follower)], vec![Member::Order(leader)], all] {
        for member in &slow {
            fault(&store, *member, "sync_delay_ms=50");
        }
        writers.acknowledge_more(60).await;
    }
    let after = term(&store).await;
    // A busy machine may add some stalls of its own to those that are meant.
    assert!(after.0 - before.0 <= 20, "from {before} to {after}: a storm of elections");
    // An election on slow disks takes longer, and is won all the same.
    let leader = store.store.leader_other_than(None, PATIENCE).await.unwrap();
    store.store.process(Member::Order(leader)).kill().await.unwrap();
    writers.acknowledge_more(40).await;
    store.store.start(Member::Order(leader)).unwrap();
    let (acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "{errors:#?}");
    store.ready().await;
    Audit::check(&mut store, &acknowledged).await;
}

#[tokio::test]
async fn a_process_that_starts_on_a_full_disk_waits_for_room() {
    let mut store = with_faults().await;
    let away = Ordinal(2);
    store.store.process(Member::Order(away)).kill().await.unwrap();
    fault(&store, Member::Order(away), "free_mib=0");
    store.store.start(Member::Order(away)).unwrap();
    eventually("it says why it does not start", || async { store.logged("too full to start") }).await;
    assert!(store.store.process(Member::Order(away)).is_running());
    // It may be stopped while it waits.
    let status = store.store.process(Member::Order(away)).stop(Duration::from_secs(10)).await.unwrap();
    assert!(status.success(), "{status}");
    store.store.start(Member::Order(away)).unwrap();
    store.rest().buy("Tux", 1).await;
    fault(&store, Member::Order(away), "");
    store.ready().await;
    Audit::check(&mut store, &[]).await;
}

/// Set in the process that has a mount namespace of its own.
const IN_OWN_NAMESPACE: &str = "STORE_TEST_IN_OWN_NAMESPACE";

/// A file system of this size for all files of a store: log files begin with some MiB each.
const SMALL_DISK_MIB: u64 = 256;

/// A real disk that really fills up, by the hand of someone else. Where nobody may mount anything, there is none.
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
    let mut inside = unshare();
    inside.arg(std::env::current_exe().unwrap()).args(["--exact", again, "--nocapture"]).env(IN_OWN_NAMESPACE, "1");
    let output = inside.output().await.unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}\n{stderr}");
}

async fn fill_a_small_disk() {
    let mut store = TestStore::prepare_plenty(|layout| layout);
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
    let fill_and_empty = async || {
        // First a little less than the reserve is left, then next to nothing.
        for free_mib in [40, 1] {
            let filler = disk.join("filler");
            fill(&disk, &filler, free_mib);
            let refused = first_refusal(&store).await;
            assert_eq!(refused.code(), "insufficient_storage", "{refused:?}");
            assert_eq!(store.rest().get(&format!("/orders/{number}")).await.status, StatusCode::OK);
            std::fs::remove_file(&filler).unwrap();
            first_success(&store).await;
        }
    };
    within_one_term(&store, fill_and_empty).await;
    assert!(store.store.processes().all(Process::is_running), "nobody has died of it");
    Audit::check(&mut store, &[]).await;
    store.store.stop().await;
    let unmounted = Command::new("umount").arg(&disk).status().await;
    assert!(unmounted.unwrap().success());
}

/// Leaves so much free space.
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
