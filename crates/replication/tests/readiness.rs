//! Readiness: a ready replica has a vote, and has applied what its leader had committed.

mod cluster;

use std::time::Duration;

use cluster::{Cluster, PATIENCE};
use service::health::Readiness;
use tokio::task::AbortHandle;

/// Keeps a replica's readiness up to date until it is dropped.
struct WatchedReadiness {
    readiness: Readiness,
    keeping: AbortHandle,
}

impl WatchedReadiness {
    fn of(cluster: &Cluster, ordinal: u8) -> Self {
        let (replica, readiness) = (cluster.replica(ordinal).clone(), Readiness::not_yet("a test begins"));
        let kept = readiness.clone();
        let keeping = tokio::spawn(async move { replica.keep_ready(&kept).await }).abort_handle();
        Self { readiness, keeping }
    }

    /// Waits for a state. There is no channel for it, so this checks once per millisecond.
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

impl Drop for WatchedReadiness {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

#[tokio::test]
async fn a_replica_that_falls_behind_is_not_ready_until_it_has_caught_up() {
    let cluster = Cluster::started_with_faults(3).await;
    let leader = cluster.any_leader().await;
    let behind = cluster.other_than(&[leader]);
    let (ahead, lagging) = (WatchedReadiness::of(&cluster, leader), WatchedReadiness::of(&cluster, behind));
    ahead.becomes(Ok(())).await;
    lagging.becomes(Ok(())).await;

    cluster.fault(behind, "free_mib=0");
    cluster.status_where(behind, |status| status.disk_full).await;
    let missed = cluster.propose_word("tux").await;
    lagging.becomes(Err("behind its leader")).await;
    assert!(cluster.replica(behind).status().applied < Some(missed), "it reports the truth");
    assert_eq!(ahead.readiness.state(), Ok(()), "a lagging peer does not affect readiness");

    cluster.fault(behind, "");
    lagging.becomes(Ok(())).await;
    assert!(cluster.replica(behind).status().applied >= Some(missed), "a ready replica has caught up");
}

#[tokio::test]
async fn a_replica_that_comes_back_is_not_ready_before_it_has_what_it_missed() {
    let mut cluster = Cluster::started_with_faults(3).await;
    let leader = cluster.any_leader().await;
    let away = cluster.other_than(&[leader]);
    cluster.stop(away).await;
    let missed = cluster.propose_word("tux").await;
    cluster.fault(away, "free_mib=0");
    cluster.start(away).await;
    let back = WatchedReadiness::of(&cluster, away);
    back.becomes(Err("behind its leader")).await;
    cluster.fault(away, "");
    back.becomes(Ok(())).await;
    assert!(cluster.replica(away).status().applied >= Some(missed));
}

#[tokio::test]
async fn a_replica_that_has_followed_no_leader_since_its_start_is_not_ready() {
    let mut cluster = Cluster::started_with_faults(3).await;
    let position = cluster.propose_word("tux").await;
    // A replica that lacks it could not be elected by one that has it.
    for ordinal in cluster.running() {
        cluster.applied(ordinal, position).await;
    }
    for ordinal in cluster.running() {
        cluster.stop(ordinal).await;
    }
    cluster.start(1).await;
    let alone = WatchedReadiness::of(&cluster, 1);
    alone.becomes(Err("followed no leader")).await;
    cluster.start(2).await;
    cluster.elect(2).await;
    alone.becomes(Ok(())).await;
}

#[tokio::test]
async fn a_joining_replica_is_not_ready_before_it_has_a_vote() {
    let mut cluster = Cluster::started_with_faults(3).await;
    cluster.propose_word("tux").await;
    let leader = cluster.any_leader().await;
    cluster.add_member(4);
    cluster.start(4).await;
    let joining = WatchedReadiness::of(&cluster, 4);
    joining.becomes(Ok(())).await;
    assert!(cluster.replica(leader).status().voters.contains(&cluster.node_id(4)), "a ready replica has a vote");
}
