//! Who is ready: a replica that has a vote, and what its leader had committed.

mod cluster;

use std::time::Duration;

use cluster::{Cluster, PATIENCE, log_to_stderr};
use service::health::Readiness;
use tokio::task::AbortHandle;

/// Keeps a replica's readiness until it is dropped.
struct Kept {
    readiness: Readiness,
    keeping: AbortHandle,
}

impl Kept {
    fn of(cluster: &Cluster, seat: u8) -> Self {
        let (replica, readiness) = (cluster.replica(seat).clone(), Readiness::not_yet("a test begins"));
        let kept = readiness.clone();
        let keeping = tokio::spawn(async move { replica.keep_ready(&kept).await }).abort_handle();
        Self { readiness, keeping }
    }

    /// Waits for a state; it has no channel of its own, so this looks again each millisecond.
    async fn becomes(&self, wanted: Result<(), &str>) {
        let is_so = |state: Result<(), String>| match (state, wanted) {
            (Ok(()), Ok(())) => true,
            (Err(reason), Err(wanted)) => reason.contains(wanted),
            _ => false,
        };
        let seen = tokio::time::timeout(PATIENCE, async {
            while !is_so(self.readiness.state()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        assert!(seen.await.is_ok(), "{wanted:?} was awaited, and it stays {:?}", self.readiness.state());
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

/// A group in which each replica's disk is full, or not, as a file says.
async fn started() -> Cluster {
    log_to_stderr();
    let mut cluster = Cluster::new(3);
    cluster.adjust = |config| config.storage.disk_faults_file = Some(config.data_dir.with_extension("faults"));
    cluster.start_all().await;
    cluster.any_leader().await;
    cluster
}

/// A replica whose disk is full lives, answers and follows, but takes no entries.
fn disk_full(cluster: &Cluster, seat: u8, full: bool) {
    std::fs::write(cluster.dir(seat).with_extension("faults"), if full { "free_mib=0" } else { "" }).unwrap();
}

#[tokio::test]
async fn a_replica_that_falls_behind_is_not_ready_until_it_has_caught_up() {
    let cluster = started().await;
    let leader = cluster.any_leader().await;
    let behind = cluster.other_than(&[leader]);
    let (ahead, lagging) = (Kept::of(&cluster, leader), Kept::of(&cluster, behind));
    ahead.becomes(Ok(())).await;
    lagging.becomes(Ok(())).await;

    disk_full(&cluster, behind, true);
    cluster.status_where(behind, |status| status.disk_full).await;
    let missed = cluster.say("tux").await;
    lagging.becomes(Err("behind its leader")).await;
    assert!(cluster.replica(behind).status().applied < Some(missed), "it says what is so");
    assert_eq!(ahead.readiness.state(), Ok(()), "a peer that lags is no reason to be unready");

    disk_full(&cluster, behind, false);
    lagging.becomes(Ok(())).await;
    assert!(cluster.replica(behind).status().applied >= Some(missed), "ready is who has caught up");
}

#[tokio::test]
async fn a_replica_that_comes_back_is_not_ready_before_it_has_what_it_missed() {
    let mut cluster = started().await;
    let leader = cluster.any_leader().await;
    let away = cluster.other_than(&[leader]);
    cluster.stop(away).await;
    let missed = cluster.say("tux").await;
    disk_full(&cluster, away, true);
    cluster.start(away).await;
    let back = Kept::of(&cluster, away);
    back.becomes(Err("behind its leader")).await;
    disk_full(&cluster, away, false);
    back.becomes(Ok(())).await;
    assert!(cluster.replica(away).status().applied >= Some(missed));
}

#[tokio::test]
async fn a_replica_that_has_followed_nobody_since_its_start_is_not_ready() {
    let mut cluster = started().await;
    let position = cluster.say("tux").await;
    // Whoever lacks it could not be elected by one that has it.
    for seat in cluster.running() {
        cluster.applied(seat, position).await;
    }
    for seat in cluster.running() {
        cluster.stop(seat).await;
    }
    cluster.start(1).await;
    let alone = Kept::of(&cluster, 1);
    alone.becomes(Err("followed no leader")).await;
    cluster.start(2).await;
    cluster.elect(2).await;
    alone.becomes(Ok(())).await;
}

#[tokio::test]
async fn a_newcomer_is_not_ready_before_it_has_a_vote() {
    let mut cluster = started().await;
    cluster.say("tux").await;
    let leader = cluster.any_leader().await;
    cluster.add_seat(4);
    cluster.start(4).await;
    let newcomer = Kept::of(&cluster, 4);
    newcomer.becomes(Ok(())).await;
    assert!(cluster.replica(leader).status().voters.contains(&cluster.node_id(4)), "ready is who has a vote");
}
