//! Disks that are full or slow, by the file that drills use.

mod cluster;

use std::time::Duration;

use cluster::{Cluster, PATIENCE, log_to_stderr, within};
use replication::ReplicaConfig;

/// Longer than a leader without an answer goes on to name itself (1 s).
const LONGER_THAN_SILENCE: Duration = Duration::from_millis(1500);

fn with_faults(config: &mut ReplicaConfig) {
    config.storage.disk_faults_file = Some(config.data_dir.with_extension("faults"));
}

async fn started() -> Cluster {
    log_to_stderr();
    let mut cluster = Cluster::new(3);
    cluster.adjust = with_faults;
    cluster.start_all().await;
    cluster.any_leader().await;
    cluster
}

fn fault(cluster: &Cluster, seat: u8, what: &str) {
    std::fs::write(cluster.dir(seat).with_extension("faults"), what).unwrap();
}

/// Looks again each millisecond: room has no channel of its own.
async fn room(cluster: &Cluster, seat: u8, wanted: bool) {
    within("a change of room", async {
        while cluster.replica(seat).has_room() != wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_leader_with_a_full_disk_makes_room_for_one_that_has_some() {
    for _ in 0..3 {
        if makes_room().await {
            return;
        }
    }
    panic!("nobody has ever taken over");
}

/// `false` if the hand-over ends half-way: on a slow machine the heir may depose the leader, and not be elected.
async fn makes_room() -> bool {
    let cluster = started().await;
    let old = cluster.any_leader().await;
    cluster.say("tux").await;
    let full = cluster.other_than(&[old]);
    fault(&cluster, full, "full=true");
    cluster.status_where(full, |status| status.disk_full).await;
    fault(&cluster, old, "full=true");
    let heir = cluster.other_than(&[old, full]);
    // The only one with room is no majority: the leader stays, and begins nothing new.
    room(&cluster, old, false).await;
    assert!(cluster.replica(old).status().leads());
    fault(&cluster, full, "");
    let handed_over = async {
        while cluster.any_leader().await == old {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    if tokio::time::timeout(PATIENCE / 3, handed_over).await.is_err() {
        return false;
    }
    let new = cluster.confirmed_leader().await;
    assert!(new == heir || new == full);
    cluster.say("whale").await;
    room(&cluster, new, true).await;
    // It follows on, from its reserve.
    let position = cluster.say("fox").await;
    cluster.applied(old, position).await;
    true
}

#[tokio::test]
async fn with_all_disks_full_what_is_begun_is_finished_and_room_comes_back() {
    let cluster = started().await;
    let leader = cluster.any_leader().await;
    let term = cluster.replica(leader).status().term;
    room(&cluster, leader, true).await;
    for seat in 1..=3 {
        fault(&cluster, seat, "full=true");
    }
    room(&cluster, leader, false).await;
    cluster.say("begun before").await;
    for seat in 1..=3 {
        fault(&cluster, seat, "");
    }
    room(&cluster, leader, true).await;
    cluster.say("whale").await;
    assert_eq!(cluster.replica(leader).status().term, term, "nobody else has led meanwhile");
}

#[tokio::test]
async fn a_leader_with_room_begins_nothing_without_a_majority_that_has_some() {
    let cluster = started().await;
    let leader = cluster.any_leader().await;
    let followers: Vec<u8> = (1..=3).filter(|seat| *seat != leader).collect();
    fault(&cluster, followers[0], "full=true");
    cluster.status_where(followers[0], |status| status.disk_full).await;
    room(&cluster, leader, true).await;
    fault(&cluster, followers[1], "full=true");
    room(&cluster, leader, false).await;
    fault(&cluster, followers[0], "");
    room(&cluster, leader, true).await;
    assert!(cluster.replica(leader).status().leads());
}

#[tokio::test]
async fn a_follower_at_the_end_of_its_disk_takes_nothing_and_catches_up_later() {
    let cluster = started().await;
    let leader = cluster.any_leader().await;
    let full = cluster.other_than(&[leader]);
    let before = cluster.say("tux").await;
    cluster.applied(full, before).await;
    fault(&cluster, full, "free_mib=0");
    cluster.status_where(full, |status| status.disk_full).await;
    let mut position = before;
    for number in 0..50 {
        position = cluster.say(&number.to_string()).await;
    }
    assert_eq!(cluster.replica(full).status().last_log, Some(before));
    assert!(cluster.replica(full).status().leader.is_some(), "it follows all the same");
    fault(&cluster, full, "");
    cluster.applied(full, position).await;
    assert_eq!(cluster.words(full), cluster.words(leader));
}

#[tokio::test]
async fn a_leader_whose_followers_cannot_write_leads_on_and_waits() {
    let cluster = started().await;
    let leader = cluster.any_leader().await;
    let term = cluster.replica(leader).status().term;
    let position = cluster.say("tux").await;
    for seat in (1..=3).filter(|seat| *seat != leader) {
        cluster.applied(seat, position).await;
        fault(&cluster, seat, "free_mib=0");
        cluster.status_where(seat, |status| status.disk_full).await;
    }
    let replica = cluster.replica(leader).clone();
    let waiting = tokio::spawn(async move { replica.propose("whale".to_owned()).await });
    // It must not lose heart: elections would write to the very disks that are full.
    cluster.stays_followed(leader, LONGER_THAN_SILENCE).await;
    cluster.confirm(leader).await;
    assert!(!waiting.is_finished());
    for seat in 1..=3 {
        fault(&cluster, seat, "");
    }
    within("a commit", waiting).await.unwrap().unwrap();
    assert_eq!(cluster.replica(leader).status().term, term);
}

#[tokio::test]
async fn a_slow_disk_slows_and_no_more() {
    let cluster = started().await;
    let leader = cluster.any_leader().await;
    let term = cluster.replica(leader).status().term;
    let follower = cluster.other_than(&[leader]);
    for slow in [vec![follower], vec![leader], vec![1, 2, 3]] {
        for seat in &slow {
            fault(&cluster, *seat, "sync_delay_ms=50");
        }
        for number in 0..10 {
            cluster.say(&number.to_string()).await;
        }
    }
    assert_eq!(cluster.replica(leader).status().term, term, "no disk that works is a reason for an election");
    // Elections work on such disks too.
    let (_, heir) = cluster.hand_over().await;
    cluster.say("whale").await;
    assert_eq!(cluster.confirmed_leader().await, heir);
}
