//! Seats come and go while words are said.

mod cluster;

use std::time::Duration;

use api::{ErrorCode, Ordinal};
use cluster::{Cluster, log_to_stderr, within};

/// Asks whoever leads, until it is done.
async fn remove(cluster: &Cluster, seat: u8) {
    let others: Vec<u8> = cluster.running().into_iter().filter(|other| *other != seat).collect();
    within("a removal", async {
        loop {
            // The one that is to go hands over first.
            let leader = cluster.leader_among(&others).await;
            match cluster.replica(leader).remove_seat(Ordinal(seat)).await {
                Ok(()) => return,
                Err(error) if matches!(error.code, ErrorCode::NotLeader | ErrorCode::Unavailable) => {
                    tokio::task::yield_now().await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
}

fn voters(cluster: &Cluster, seat: u8) -> Vec<u8> {
    let mut voters: Vec<u8> = cluster.replica(seat).status().voters.iter().map(|id| id.ordinal().0).collect();
    voters.sort_unstable();
    voters
}

#[tokio::test]
async fn three_become_five_and_three_again() {
    log_to_stderr();
    let mut cluster = Cluster::started(3).await;
    cluster.say("three").await;
    for seat in [4, 5] {
        cluster.add_seat(seat);
        cluster.start(seat).await;
        let leader = cluster.any_leader().await;
        cluster.seated(leader, &[cluster.node_id(seat)], &[]).await;
    }
    let position = cluster.say("five").await;
    cluster.applied(5, position).await;
    // One of those that are to go leads: it hands over before it goes.
    cluster.elect(5).await;
    remove(&cluster, 5).await;
    remove(&cluster, 4).await;
    remove(&cluster, 4).await;
    let leader = cluster.confirmed_leader().await;
    assert_eq!(voters(&cluster, leader), [1, 2, 3]);
    cluster.say("three again").await;
    // Those who were removed hinder nobody, even if they stand.
    cluster.replica(5).stand().await;
    cluster.say("undisturbed").await;
    cluster.stop(4).await;
    cluster.stop(5).await;
    let follower = cluster.other_than(&[cluster.confirmed_leader().await]);
    cluster.stop(follower).await;
    cluster.say("two of three").await;
}

#[tokio::test]
async fn a_removed_replica_that_is_started_again_is_a_newcomer() {
    log_to_stderr();
    let mut cluster = Cluster::started(3).await;
    cluster.say("tux").await;
    let leader = cluster.any_leader().await;
    let removed = cluster.other_than(&[leader]);
    let old = cluster.node_id(removed);
    remove(&cluster, removed).await;
    cluster.say("whale").await;
    cluster.stop(removed).await;
    cluster.say("fox").await;

    // It learns that it was removed from a leader that answers its questions at once; which may take another start.
    within("a new id", async {
        cluster.start(removed).await;
        while cluster.node_id(removed) == old {
            cluster.stop(removed).await;
            cluster.start(removed).await;
        }
    })
    .await;
    let new = cluster.node_id(removed);
    cluster.seated(leader, &[new], &[old]).await;
    let position = cluster.say("python").await;
    cluster.applied(removed, position).await;
    assert_eq!(cluster.words(removed).texts(), ["tux", "whale", "fox", "python"]);
    // From now on it is itself again.
    cluster.stop(removed).await;
    cluster.start(removed).await;
    assert_eq!(cluster.node_id(removed), new);
}

#[tokio::test]
async fn nobody_is_removed_without_whom_the_others_could_not_go_on() {
    log_to_stderr();
    let mut cluster = Cluster::started(3).await;
    let leader = cluster.any_leader().await;
    let needed = cluster.other_than(&[leader]);
    let dead = cluster.other_than(&[leader, needed]);
    cluster.stop(dead).await;
    let refused = cluster.replica(leader).remove_seat(Ordinal(needed)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unavailable, "{refused}");
    assert!(refused.message.contains("only 1 answer"), "{refused}");
    cluster.status_where(needed, |status| status.leader.is_some()).await;
    let told = cluster.replica(needed).remove_seat(Ordinal(dead)).await.unwrap_err();
    assert_eq!((told.code, told.leader), (ErrorCode::NotLeader, Some(Ordinal(leader))));

    remove(&cluster, dead).await;
    cluster.say("tux").await;

    let alone = Cluster::started(1).await;
    let refused = alone.replica(1).remove_seat(Ordinal(1)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::BadRequest, "{refused}");
}

#[tokio::test]
async fn a_change_that_nobody_works_on_any_more_is_finished() {
    log_to_stderr();
    let mut cluster = Cluster::new(3);
    cluster.adjust = |config| config.storage.disk_faults_file = Some(config.data_dir.with_extension("faults"));
    cluster.start_all().await;
    let leader = cluster.any_leader().await;
    cluster.say("tux").await;
    let full = cluster.other_than(&[leader]);
    let goes = cluster.other_than(&[leader, full]);
    // It lives but takes no entries: the joint membership, which needs it, is in the log and stays uncommitted.
    std::fs::write(cluster.dir(full).with_extension("faults"), "free_mib=0").unwrap();
    cluster.status_where(full, |status| status.disk_full).await;
    within("a change that is begun", async {
        loop {
            let refused = cluster.replica(leader).remove_seat(Ordinal(goes)).await.unwrap_err();
            assert_eq!(refused.code, ErrorCode::Unavailable, "{refused}");
            // Nothing is begun if those who stay are too slow to tell that they are alive.
            if !refused.message.contains("only 1 answer") {
                return;
            }
        }
    })
    .await;
    assert_eq!(voters(&cluster, leader), [1, 2, 3]);

    std::fs::write(cluster.dir(full).with_extension("faults"), "").unwrap();
    cluster.seated(leader, &[cluster.node_id(leader), cluster.node_id(full)], &[cluster.node_id(goes)]).await;
    cluster.say("whale").await;
}

#[tokio::test]
async fn a_leader_that_is_being_removed_removes_nobody_else() {
    log_to_stderr();
    let mut cluster = Cluster::new(3);
    cluster.adjust = |config| config.storage.disk_faults_file = Some(config.data_dir.with_extension("faults"));
    cluster.start_all().await;
    let leader = cluster.any_leader().await;
    cluster.say("tux").await;
    let full = cluster.other_than(&[leader]);
    let goes = cluster.other_than(&[leader, full]);
    // As in the test before; then the one that is to go is elected, with the unfinished change in its log.
    std::fs::write(cluster.dir(full).with_extension("faults"), "free_mib=0").unwrap();
    cluster.status_where(full, |status| status.disk_full).await;
    within("a change that is begun", async {
        let before = cluster.replica(leader).status().last_log;
        while cluster.replica(leader).status().last_log == before {
            cluster.replica(leader).remove_seat(Ordinal(goes)).await.unwrap_err();
        }
    })
    .await;
    let end = cluster.replica(leader).status().last_log;
    cluster.status_where(goes, |status| status.last_log >= end).await;
    cluster.stop(leader).await;
    cluster.start(leader).await;
    cluster.elect(goes).await;

    std::fs::write(cluster.dir(full).with_extension("faults"), "").unwrap();
    within("a refusal", async {
        loop {
            match cluster.replica(goes).remove_seat(Ordinal(full)).await {
                Err(refused) if refused.code == ErrorCode::NotLeader => return,
                Err(refused) => assert_eq!(refused.code, ErrorCode::Unavailable, "{refused}"),
                Ok(()) => panic!("it has removed another one"),
            }
        }
    })
    .await;
    // It may lead by its own word for another moment.
    cluster.status_where(goes, |status| !status.leads()).await;
    let whale = async {
        loop {
            let next = cluster.leader_among(&[leader, full]).await;
            if tokio::time::timeout(Duration::from_secs(2), cluster.say("whale")).await.is_ok() {
                return next;
            }
        }
    };
    let next = within("a word", whale).await;
    cluster.seated(next, &[cluster.node_id(leader), cluster.node_id(full)], &[cluster.node_id(goes)]).await;
}
