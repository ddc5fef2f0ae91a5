//! Members join and are removed while words are proposed.

mod cluster;

use std::time::Duration;

use api::{ErrorCode, Ordinal};
use cluster::{Cluster, within};

/// Asks the leader until the member is removed.
async fn remove(cluster: &Cluster, ordinal: u8) {
    let others: Vec<u8> = cluster.running().into_iter().filter(|other| *other != ordinal).collect();
    let removal = async {
        loop {
            // A leader that is being removed transfers leadership first.
            let leader = cluster.leader_among(&others).await;
            match cluster.replica(leader).remove_member(Ordinal(ordinal)).await {
                Ok(()) => return,
                Err(error) if matches!(error.code, ErrorCode::NotLeader | ErrorCode::Unavailable) => {
                    tokio::task::yield_now().await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    Box::pin(within("a removal", removal)).await;
}

fn voters(cluster: &Cluster, ordinal: u8) -> Vec<u8> {
    let mut voters: Vec<u8> = cluster.replica(ordinal).status().voters.iter().map(|id| id.ordinal().0).collect();
    voters.sort_unstable();
    voters
}

#[tokio::test]
async fn a_removed_replica_that_stands_for_election_disturbs_no_one() {
    let cluster = Cluster::started(3).await;
    cluster.propose_word("tux").await;
    let removed = cluster.other_than(&[cluster.any_leader().await]);
    remove(&cluster, removed).await;
    cluster.replica(removed).stand_for_election().await;
    cluster.propose_word("undisturbed").await;
}

#[tokio::test]
async fn no_member_is_removed_if_the_others_could_not_go_on() {
    let mut cluster = Cluster::started(3).await;
    let leader = cluster.any_leader().await;
    let needed = cluster.other_than(&[leader]);
    let dead = cluster.other_than(&[leader, needed]);
    cluster.stop(dead).await;
    let refused = cluster.replica(leader).remove_member(Ordinal(needed)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unavailable, "{refused}");
    assert!(refused.message.contains("only 1 answer"), "{refused}");
    cluster.status_where(needed, |status| status.leader.is_some()).await;
    let told = cluster.replica(needed).remove_member(Ordinal(dead)).await.unwrap_err();
    assert_eq!((told.code, told.leader), (ErrorCode::NotLeader, Some(Ordinal(leader))));

    remove(&cluster, dead).await;
    cluster.propose_word("tux").await;

    let alone = Cluster::started(1).await;
    let refused = alone.replica(1).remove_member(Ordinal(1)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::BadRequest, "{refused}");
}

/// A group of three whose leader has begun to remove a member, and cannot finish: the other
/// follower is alive but accepts no entries, so the joint membership, which needs it, is in the log
/// but not committed. Returns the leader, the other follower, and the member that is being removed.
async fn unfinished_removal() -> (Cluster, u8, u8, u8) {
    let cluster = Cluster::started_with_faults(3).await;
    let leader = cluster.any_leader().await;
    cluster.propose_word("tux").await;
    let full = cluster.other_than(&[leader]);
    let goes = cluster.other_than(&[leader, full]);
    cluster.fault(full, "free_mib=0");
    cluster.status_where(full, |status| status.disk_full).await;
    within("a change that is started", async {
        let before = cluster.replica(leader).status().last_log;
        // Nothing is started if the remaining members are too slow to show that they are alive.
        while cluster.replica(leader).status().last_log == before {
            let refused = cluster.replica(leader).remove_member(Ordinal(goes)).await.unwrap_err();
            assert_eq!(refused.code, ErrorCode::Unavailable, "{refused}");
        }
    })
    .await;
    (cluster, leader, full, goes)
}

#[tokio::test]
async fn an_abandoned_change_is_finished() {
    let (cluster, leader, full, goes) = unfinished_removal().await;
    assert_eq!(voters(&cluster, leader), [1, 2, 3]);

    cluster.fault(full, "");
    cluster.wait_for_voters(leader, &[cluster.node_id(leader), cluster.node_id(full)], &[cluster.node_id(goes)]).await;
    cluster.propose_word("whale").await;
}

#[tokio::test]
async fn a_leader_that_is_being_removed_removes_no_other_member() {
    let (mut cluster, leader, full, goes) = unfinished_removal().await;
    // The member that is being removed is elected, with the unfinished change in its log.
    let end = cluster.replica(leader).status().last_log;
    cluster.status_where(goes, |status| status.last_log >= end).await;
    cluster.stop(leader).await;
    cluster.start(leader).await;
    cluster.elect(goes).await;

    cluster.fault(full, "");
    within("a refusal", async {
        loop {
            match cluster.replica(goes).remove_member(Ordinal(full)).await {
                Err(refused) if refused.code == ErrorCode::NotLeader => return,
                Err(refused) => assert_eq!(refused.code, ErrorCode::Unavailable, "{refused}"),
                Ok(()) => panic!("it has removed another one"),
            }
        }
    })
    .await;
    // It may consider itself the leader for another moment.
    cluster.status_where(goes, |status| !status.leads()).await;
    let whale = async {
        loop {
            let next = cluster.leader_among(&[leader, full]).await;
            if tokio::time::timeout(Duration::from_secs(2), cluster.propose_word("whale")).await.is_ok() {
                return next;
            }
        }
    };
    let next = within("a word", whale).await;
    cluster.wait_for_voters(next, &[cluster.node_id(leader), cluster.node_id(full)], &[cluster.node_id(goes)]).await;
}
