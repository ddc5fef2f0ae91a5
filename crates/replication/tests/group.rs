//! Groups of three replicas and of one, with another state machine than the store's.

mod cluster;

use api::replica::Role;
use cluster::Cluster;

#[tokio::test]
async fn three_replicas_bootstrap_a_group_and_commit() {
    let cluster = Cluster::started(3).await;
    let position = cluster.propose_word("tux").await;
    for ordinal in 1..=3 {
        cluster.applied(ordinal, position).await;
        assert_eq!(cluster.words(ordinal).texts(), ["tux"]);
        let status = cluster.replica(ordinal).status();
        assert_eq!(status.voters.len(), 3, "{status:?}");
        assert_eq!(status.last_log, Some(position));
    }
    let leaders = (1..=3).filter(|ordinal| cluster.role(*ordinal) == Role::Leader).count();
    assert_eq!(leaders, 1);
}

#[tokio::test]
async fn a_single_replica_bootstraps_and_elects_itself_again_in_a_new_term() {
    let mut cluster = Cluster::started(1).await;
    let before = cluster.propose_word("tux").await;
    cluster.stop(1).await;
    cluster.start(1).await;
    let after = cluster.propose_word("whale").await;
    assert!(after.term > before.term, "a restarted leader must not lead on in its old term: {before} {after}");
    assert_eq!(cluster.words(1).texts(), ["tux", "whale"]);
}
