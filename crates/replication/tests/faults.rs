//! What a replica refuses: foreign and damaged files, requests that are not for it, and too long
//! commands. Which faults a group survives is shown by the simulation's scripts.

mod cluster;

use api::{ErrorBody, ErrorCode, INTERNAL_TOKEN_HEADER};
use cluster::{Cluster, Words};
use prometheus::TextEncoder;
use replication::{FileStore, ProposeError, Replica, StartError};
use service::Token;

#[tokio::test]
async fn a_request_for_the_old_disk_does_not_reach_the_new_one() {
    let mut cluster = Cluster::started(3).await;
    let wiped = cluster.other_than(&[cluster.any_leader().await]);
    let old = cluster.node_id(wiped);
    cluster.stop(wiped).await;
    cluster.wipe(wiped);
    cluster.start(wiped).await;
    let client = reqwest::Client::new();
    let vote = client.post(cluster.address(wiped).url("/replication/vote"));
    let answer = vote.header("x-replication-group", "test").header("x-replication-target", old.0).send().await.unwrap();
    assert_eq!(answer.status(), 404);
    let stray = client.post(cluster.address(wiped).url("/replication/vote")).header("x-replication-group", "other");
    assert_eq!(stray.send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_lost_log_alone_is_noticed_too() {
    let mut cluster = Cluster::started(3).await;
    let leader = cluster.any_leader().await;
    let hurt = cluster.other_than(&[leader]);
    cluster.propose_word("tux").await;
    let old = cluster.node_id(hurt);
    cluster.stop(hurt).await;
    std::fs::remove_dir_all(cluster.dir(hurt).join("log")).unwrap();
    cluster.start(hurt).await;
    let new = cluster.node_id(hurt);
    cluster.wait_for_voters(leader, &[new], &[old]).await;
    let position = cluster.propose_word("whale").await;
    cluster.applied(hurt, position).await;
    assert_eq!(cluster.words(hurt).texts(), ["tux", "whale"]);
}

#[tokio::test]
async fn one_data_directory_is_for_one_replica() {
    let mut cluster = Cluster::started(1).await;
    let second = cluster.try_start(1).await;
    assert!(matches!(second, Err(StartError::Locked(_))), "{second:?}");
    cluster.stop(1).await;

    let mut foreign = cluster.config(1);
    foreign.group = "other".to_owned();
    let store = FileStore::new(foreign.data_dir.join("state"));
    let refused = Replica::start(foreign, Words::default(), store).await.err();
    assert!(matches!(refused, Some(StartError::WrongIdentity { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_log_without_the_state_that_it_builds_on_is_refused() {
    let mut cluster = Cluster::new(1);
    cluster.adjust = |config| {
        config.storage.checkpoint_every = 10;
        config.storage.log_kept = 1;
    };
    cluster.start(1).await;
    for number in 0..50 {
        cluster.propose_word(&number.to_string()).await;
    }
    cluster.stop(1).await;
    std::fs::remove_file(cluster.dir(1).join("state")).unwrap();
    let refused = cluster.try_start(1).await;
    assert!(matches!(refused, Err(StartError::Damaged { .. })), "{refused:?}");
}

#[tokio::test]
async fn garbage_and_requests_without_token_are_refused_and_do_no_harm() {
    let mut cluster = Cluster::new(3);
    cluster.adjust = |config| config.token = Some(Token::new("a-shared-secret").unwrap());
    cluster.start_all().await;
    cluster.propose_word("tux").await;
    let client = reqwest::Client::new();
    for path in ["append", "vote", "state", "join", "stand"] {
        let post = || {
            let url = cluster.address(1).url(&format!("/replication/{path}"));
            client.post(url).header("x-replication-group", "test").body(vec![0xff; 1000])
        };
        let without_token = post().send().await.unwrap();
        assert_eq!(without_token.status(), 401, "{path}");
        let body: ErrorBody = without_token.json().await.unwrap();
        assert_eq!(body.error.code, ErrorCode::Unauthorized);
        if path != "stand" {
            let malformed = post().header(INTERNAL_TOKEN_HEADER, "a-shared-secret").send().await.unwrap();
            assert_eq!(malformed.status(), 400, "{path}");
        }
    }
    cluster.propose_word("whale").await;
}

#[tokio::test]
async fn a_command_that_is_too_long_is_refused_before_anything_is_written() {
    let cluster = Cluster::started(1).await;
    let before = cluster.propose_word("tux").await;
    let refused = cluster.replica(1).propose("x".repeat(replication::COMMAND_BYTES_MAX)).await;
    assert!(matches!(refused, Err(ProposeError::TooLarge { .. })), "{refused:?}");
    assert_eq!(cluster.replica(1).status().last_log, Some(before));
}

#[tokio::test]
async fn metrics_show_the_leader_and_the_positions_of_all() {
    let cluster = Cluster::started(3).await;
    let position = cluster.propose_word("tux").await;
    let leader = cluster.any_leader().await;
    let text = TextEncoder::new().encode_to_string(&cluster.registry(leader).gather()).unwrap();
    for line in [
        r#"toystore_replication_role{group="test",role="leader"} 1"#.to_owned(),
        r#"toystore_replication_role{group="test",role="follower"} 0"#.to_owned(),
        format!(r#"toystore_replication_applied_index{{group="test"}} {}"#, position.index),
        format!(r#"toystore_replication_term{{group="test"}} {}"#, position.term),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    for name in [
        "lag_entries",
        "log_sync_seconds_count",
        "append_seconds_count",
        "append_entries_count",
        "checkpoint_seconds_count",
    ] {
        assert!(text.contains(&format!("toystore_replication_{name}")), "{name} is not in\n{text}");
    }
}
