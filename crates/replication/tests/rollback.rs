//! Disks that went back in time: an older copy of a replica's directory is restored while it is
//! down.

mod cluster;

use std::time::Duration;

use api::NodeId;
use cluster::{Cluster, PATIENCE};
use replication::{Leadership, ProposeError};
use tempfile::TempDir;
use test_support::copy;

/// Long enough for something that must not happen to happen.
const LONG_ENOUGH: Duration = Duration::from_millis(600);

/// Three replicas. One that starts waits for the others' answers however slow the machine is: what
/// it is told only later ends its process, and that is this test's.
async fn started() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.adjust = |config| config.timing.question = PATIENCE / 3;
    cluster.start_all().await;
    cluster.any_leader().await;
    cluster
}

/// A copy of a stopped replica's directory.
fn copy_of(cluster: &Cluster, ordinal: u8) -> TempDir {
    let copied = tempfile::tempdir().unwrap();
    copy(cluster.dir(ordinal), copied.path());
    copied
}

fn restore(cluster: &mut Cluster, ordinal: u8, copied: &TempDir) {
    cluster.wipe(ordinal);
    copy(copied.path(), cluster.dir(ordinal));
}

/// Stops the replica for long enough to copy its directory.
async fn older_copy(cluster: &mut Cluster, ordinal: u8) -> TempDir {
    cluster.stop(ordinal).await;
    let copied = copy_of(cluster, ordinal);
    cluster.start(ordinal).await;
    copied
}

async fn never_leads(cluster: &Cluster, ordinal: u8) {
    let mut leadership = cluster.replica(ordinal).leadership();
    let leads = leadership.wait_for(|now| matches!(now, Leadership::Leading(_)));
    assert!(tokio::time::timeout(LONG_ENOUGH, leads).await.is_err(), "replica {ordinal} must not lead");
}

async fn rejoined(cluster: &Cluster, leader: u8, ordinal: u8, old: NodeId) {
    let new = cluster.node_id(ordinal);
    assert_ne!(new, old, "it gives up its id");
    cluster.wait_for_voters(leader, &[new], &[old]).await;
    let position = cluster.propose_word("after").await;
    cluster.applied(ordinal, position).await;
    assert_eq!(cluster.words(ordinal), cluster.words(leader));
}

#[tokio::test]
async fn a_follower_that_went_back_rejoins_as_a_new_member() {
    let mut cluster = started().await;
    let leader = cluster.any_leader().await;
    let ordinal = cluster.other_than(&[leader]);
    cluster.propose_word("tux").await;
    let older = older_copy(&mut cluster, ordinal).await;
    let old = cluster.node_id(ordinal);
    cluster.propose_word("whale").await;
    cluster.acknowledged(leader, ordinal).await;
    cluster.stop(ordinal).await;
    restore(&mut cluster, ordinal, &older);
    cluster.start(ordinal).await;
    rejoined(&cluster, leader, ordinal, old).await;
}

/// As the previous test, but nothing was written since the copy, so nothing is lost.
#[tokio::test]
async fn a_copy_that_lacks_nothing_keeps_the_id() {
    let mut cluster = started().await;
    let leader = cluster.any_leader().await;
    let ordinal = cluster.other_than(&[leader]);
    let said = cluster.propose_word("tux").await;
    cluster.applied(ordinal, said).await;
    let same = older_copy(&mut cluster, ordinal).await;
    let id = cluster.node_id(ordinal);
    cluster.stop(ordinal).await;
    cluster.propose_word("whale").await;
    restore(&mut cluster, ordinal, &same);
    cluster.start(ordinal).await;
    let position = cluster.propose_word("fox").await;
    cluster.applied(ordinal, position).await;
    assert_eq!(cluster.node_id(ordinal), id);
}

#[tokio::test]
async fn a_leader_that_went_back_is_told_by_its_followers() {
    let mut cluster = started().await;
    let ordinal = cluster.any_leader().await;
    let older = older_copy(&mut cluster, ordinal).await;
    let old = cluster.node_id(ordinal);
    cluster.elect(ordinal).await;
    let said = cluster.propose_word("tux").await;
    let next = cluster.other_than(&[ordinal]);
    // The others learn that it is committed with the next entries, or with a heartbeat.
    cluster.applied(next, said).await;
    cluster.acknowledged(ordinal, next).await;
    cluster.stop(ordinal).await;
    restore(&mut cluster, ordinal, &older);
    cluster.start(ordinal).await;
    cluster.elect(next).await;
    rejoined(&cluster, next, ordinal, old).await;
}

#[tokio::test]
async fn a_former_leader_remembers_for_its_successor() {
    let mut cluster = started().await;
    let first = cluster.any_leader().await;
    let ordinal = cluster.other_than(&[first]);
    let older = older_copy(&mut cluster, ordinal).await;
    let old = cluster.node_id(ordinal);
    cluster.propose_word("tux").await;
    cluster.acknowledged(first, ordinal).await;
    cluster.stop(ordinal).await;
    let (_, leader) = cluster.transfer_leadership().await;
    restore(&mut cluster, ordinal, &older);
    cluster.start(ordinal).await;
    rejoined(&cluster, leader, ordinal, old).await;
}

/// What is known is saved, since the usual way to restore a copy is to stop everything.
#[tokio::test]
async fn a_group_that_was_stopped_as_a_whole_remembers() {
    let mut cluster = started().await;
    let first = cluster.any_leader().await;
    let ordinal = cluster.other_than(&[first]);
    let third = cluster.other_than(&[first, ordinal]);
    let older = older_copy(&mut cluster, ordinal).await;
    let old = cluster.node_id(ordinal);
    cluster.propose_word("tux").await;
    cluster.acknowledged(first, ordinal).await;
    cluster.stop_all().await;
    restore(&mut cluster, ordinal, &older);
    cluster.start(first).await;
    cluster.start(third).await;
    cluster.start(ordinal).await;
    cluster.elect(first).await;
    rejoined(&cluster, first, ordinal, old).await;
}

/// Two of three: the remaining one has what they have lost, and can do nothing without them. With
/// one of the right copies the group goes on.
#[tokio::test]
async fn a_majority_that_went_back_stops_the_group_and_loses_nothing() {
    let mut cluster = started().await;
    let leader = cluster.any_leader().await;
    let one = cluster.other_than(&[leader]);
    let other = cluster.other_than(&[leader, one]);
    let mut older = Vec::new();
    for ordinal in [one, other] {
        older.push(older_copy(&mut cluster, ordinal).await);
    }
    cluster.propose_word("tux").await;
    for ordinal in [one, other] {
        cluster.acknowledged(leader, ordinal).await;
    }
    let old = cluster.node_id(one);
    for ordinal in [one, other] {
        cluster.stop(ordinal).await;
    }
    let newest = copy_of(&cluster, one);
    for (ordinal, older) in [one, other].into_iter().zip(&older) {
        restore(&mut cluster, ordinal, older);
        cluster.start(ordinal).await;
    }
    for ordinal in [one, other] {
        cluster.replica(ordinal).stand_for_election().await;
        never_leads(&cluster, ordinal).await;
    }
    // It waits for a majority in vain, unless one of the candidates' terms has already deposed it.
    let proposed = cluster.replica(leader).propose("lost".to_owned());
    match tokio::time::timeout(LONG_ENOUGH, proposed).await {
        Err(_) | Ok(Err(ProposeError::NotLeader { .. })) => {}
        Ok(proposed) => panic!("no majority agrees, but: {proposed:?}"),
    }

    cluster.stop(one).await;
    restore(&mut cluster, one, &newest);
    cluster.start(one).await;
    assert_eq!(cluster.node_id(one), old, "the right copy keeps its id");
    cluster.elect(leader).await;
    let new = cluster.node_id(other);
    cluster.wait_for_voters(leader, &[new, old], &[]).await;
    let position = cluster.propose_word("whale").await;
    for ordinal in [one, other] {
        cluster.applied(ordinal, position).await;
        assert!(cluster.words(ordinal).texts().contains(&"tux"), "{:?}", cluster.words(ordinal));
    }
}
