//! Disks that are full or slow, by the file that drills use.

mod cluster;

use std::time::Duration;

use api::replica::ReplicaStatus;
use cluster::{Cluster, within};

/// Longer than a leader without answers keeps naming itself (1 s).
const LONGER_THAN_SILENCE: Duration = Duration::from_millis(1500);

/// Checks once per millisecond: there is no channel for it.
async fn wait_for_space(cluster: &Cluster, ordinal: u8, wanted: bool) {
    within("a change of the disk space", async {
        while cluster.replica(ordinal).has_disk_space() != wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_leader_with_a_full_disk_transfers_leadership_to_one_with_space() {
    let cluster = Cluster::started_with_faults(3).await;
    let old = cluster.any_leader().await;
    let term = cluster.replica(old).status().term;
    cluster.propose_word("tux").await;
    let full = cluster.other_than(&[old]);
    let successor = cluster.other_than(&[old, full]);
    // The leader learns in this way that the one disk is full: it would not show that otherwise.
    cluster.fault(full, "full=true");
    cluster.fault(successor, "full=true");
    wait_for_space(&cluster, old, false).await;
    cluster.fault(successor, "");
    wait_for_space(&cluster, old, true).await;
    cluster.fault(old, "full=true");
    // The only one with space is no majority: the leader keeps leading, and starts nothing new.
    wait_for_space(&cluster, old, false).await;
    cluster.status_where(old, ReplicaStatus::leads).await;
    assert_eq!(cluster.replica(old).status().term, term);
    cluster.fault(full, "");
    // Only the leader has another replica stand. On a slow host that one may depose the
    // leader without being elected.
    cluster.status_where(old, |status| status.term > term).await;
    let new = cluster.confirmed_leader_among(&[successor, full]).await;
    assert!(new == successor || new == full);
    cluster.propose_word("whale").await;
    wait_for_space(&cluster, new, true).await;
    // It keeps following, using its reserve.
    let position = cluster.propose_word("fox").await;
    cluster.applied(old, position).await;
}

#[tokio::test]
async fn with_all_disks_full_started_work_is_finished_and_space_comes_back() {
    let cluster = Cluster::started_with_faults(3).await;
    let leader = cluster.any_leader().await;
    let term = cluster.replica(leader).status().term;
    wait_for_space(&cluster, leader, true).await;
    // The leader's disk last and first, so that no follower ever seems a better leader.
    let followers = || (1..=3).filter(|ordinal| *ordinal != leader);
    for ordinal in followers() {
        cluster.fault(ordinal, "full=true");
    }
    wait_for_space(&cluster, leader, false).await;
    cluster.fault(leader, "full=true");
    cluster.status_where(leader, |status| status.disk_full).await;
    cluster.propose_word("begun before").await;
    assert!(!cluster.replica(leader).has_disk_space());
    cluster.fault(leader, "");
    cluster.status_where(leader, |status| !status.disk_full).await;
    for ordinal in followers() {
        cluster.fault(ordinal, "");
    }
    wait_for_space(&cluster, leader, true).await;
    cluster.propose_word("whale").await;
    assert_eq!(cluster.replica(leader).status().term, term, "no other replica has led meanwhile");
}

#[tokio::test]
async fn a_leader_with_space_starts_nothing_without_a_majority_that_has_space() {
    let cluster = Cluster::started_with_faults(3).await;
    let leader = cluster.any_leader().await;
    let followers: Vec<u8> = (1..=3).filter(|ordinal| *ordinal != leader).collect();
    cluster.fault(followers[0], "full=true");
    cluster.status_where(followers[0], |status| status.disk_full).await;
    wait_for_space(&cluster, leader, true).await;
    cluster.fault(followers[1], "full=true");
    wait_for_space(&cluster, leader, false).await;
    cluster.fault(followers[0], "");
    wait_for_space(&cluster, leader, true).await;
    cluster.status_where(leader, ReplicaStatus::leads).await;
}

#[tokio::test]
async fn a_follower_without_space_accepts_nothing_and_catches_up_later() {
    let cluster = Cluster::started_with_faults(3).await;
    let leader = cluster.any_leader().await;
    let full = cluster.other_than(&[leader]);
    let before = cluster.propose_word("tux").await;
    cluster.applied(full, before).await;
    cluster.fault(full, "free_mib=0");
    cluster.status_where(full, |status| status.disk_full).await;
    let mut position = before;
    for number in 0..50 {
        position = cluster.propose_word(&number.to_string()).await;
    }
    assert_eq!(cluster.replica(full).status().last_log, Some(before));
    assert!(cluster.replica(full).status().leader.is_some(), "it still follows");
    cluster.fault(full, "");
    cluster.applied(full, position).await;
    assert_eq!(cluster.words(full), cluster.words(leader));
}

#[tokio::test]
async fn a_leader_whose_followers_cannot_write_leads_on_and_waits() {
    let cluster = Cluster::started_with_faults(3).await;
    let leader = cluster.any_leader().await;
    let term = cluster.replica(leader).status().term;
    let position = cluster.propose_word("tux").await;
    for ordinal in (1..=3).filter(|ordinal| *ordinal != leader) {
        cluster.applied(ordinal, position).await;
        cluster.fault(ordinal, "free_mib=0");
        cluster.status_where(ordinal, |status| status.disk_full).await;
    }
    let replica = cluster.replica(leader).clone();
    let waiting = tokio::spawn(async move { replica.propose("whale".to_owned()).await });
    // It must keep leading: an election would write to the very disks that are full.
    cluster.stays_followed_after(leader, LONGER_THAN_SILENCE).await;
    cluster.confirm_leadership(leader).await;
    assert!(!waiting.is_finished());
    for ordinal in 1..=3 {
        cluster.fault(ordinal, "");
    }
    within("a commit", waiting).await.unwrap().unwrap();
    assert_eq!(cluster.replica(leader).status().term, term);
}

#[tokio::test]
async fn a_slow_disk_slows_the_group_and_nothing_else() {
    let cluster = Cluster::started_with_faults(3).await;
    let leader = cluster.any_leader().await;
    let term = cluster.replica(leader).status().term;
    let follower = cluster.other_than(&[leader]);
    for slow in [vec![follower], vec![leader], vec![1, 2, 3]] {
        for ordinal in &slow {
            cluster.fault(*ordinal, "sync_delay_ms=50");
        }
        for number in 0..10 {
            cluster.propose_word(&number.to_string()).await;
        }
    }
    assert_eq!(cluster.replica(leader).status().term, term, "a slow disk is no reason for an election");
    // Elections work on such disks too.
    let (old, _) = cluster.transfer_leadership().await;
    let others: Vec<u8> = (1..=3).filter(|ordinal| *ordinal != old).collect();
    // The other follower may have deposed the successor since.
    let new = cluster.confirmed_leader_among(&others).await;
    assert_ne!(new, old);
    cluster.propose_word("whale").await;
}
