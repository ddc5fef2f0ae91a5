//! What a group survives, and what it refuses.

mod cluster;

use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api::replica::Role;
use api::{Address, ErrorBody, ErrorCode, INTERNAL_TOKEN_HEADER};
use cluster::{Cluster, PATIENCE, Words, within};
use prometheus::TextEncoder;
use replication::{FileStore, Leadership, ProposeError, Replica, StartError};
use service::Token;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Long enough for something that must not happen to happen: elections take 5 ms, pauses between
/// tries 50 ms.
const LONG_ENOUGH: Duration = Duration::from_millis(600);

async fn never_leads(cluster: &Cluster, ordinal: u8) {
    let mut leadership = cluster.replica(ordinal).leadership();
    let leads = leadership.wait_for(|now| matches!(now, Leadership::Leading(_)));
    assert!(tokio::time::timeout(LONG_ENOUGH, leads).await.is_err(), "replica {ordinal} must not lead");
}

#[tokio::test]
async fn a_wiped_follower_rejoins_under_a_new_id_and_gets_a_vote() {
    let mut cluster = Cluster::started(3).await;
    let leader = cluster.any_leader().await;
    let wiped = cluster.other_than(&[leader]);
    cluster.propose_word("tux").await;
    let old = cluster.node_id(wiped);
    cluster.stop(wiped).await;
    cluster.wipe(wiped);
    cluster.start(wiped).await;
    let new = cluster.node_id(wiped);
    assert_ne!(new, old);

    cluster.wait_for_voters(leader, &[new], &[old]).await;
    let position = cluster.propose_word("whale").await;
    cluster.applied(wiped, position).await;
    assert_eq!(cluster.words(wiped).texts(), ["tux", "whale"]);

    // Its vote counts: with the third replica down it makes a majority with the leader.
    let third = cluster.other_than(&[leader, wiped]);
    cluster.stop(third).await;
    cluster.propose_word("python").await;
}

/// Forwards what arrives, once the target is known, but keeps requests that start with `request`
/// and their connections open without an answer. Notifies each time.
async fn black_hole(request: &'static str) -> (u16, Arc<OnceLock<Address>>, Arc<Notify>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = Arc::new(Notify::new());
    let to = Arc::<OnceLock<Address>>::default();
    let (notify, target) = (Arc::clone(&received), Arc::clone(&to));
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (target, notify) = (target.get().cloned(), Arc::clone(&notify));
            tokio::spawn(async move {
                let Some(target) = target else { return };
                let Ok(mut far) = TcpStream::connect(target.as_str()).await else { return };
                let mut bytes = vec![0; 64 * 1024];
                while let Ok(length @ 1..) = near.read(&mut bytes).await {
                    if bytes[..length].starts_with(request.as_bytes()) {
                        notify.notify_one();
                        return std::future::pending().await;
                    }
                    far.write_all(&bytes[..length]).await.unwrap();
                    let length = far.read(&mut bytes).await.unwrap();
                    near.write_all(&bytes[..length]).await.unwrap();
                }
            });
        }
    });
    (port, to, received)
}

/// Simulation seed 3784: it waited for its request's timeout of 30 s.
#[tokio::test]
async fn a_joining_replica_whose_leader_is_gone_asks_again() {
    let mut cluster = Cluster::started(3).await;
    let leader = cluster.any_leader().await;
    let wiped = cluster.other_than(&[leader]);
    let next = cluster.other_than(&[leader, wiped]);
    let old = cluster.node_id(wiped);
    cluster.stop(wiped).await;
    cluster.wipe(wiped);
    let (port, to, received) = black_hole("POST /replication/join").await;
    to.set(cluster.address(leader)).unwrap();
    cluster.detour(wiped, leader, Some(port));
    cluster.start(wiped).await;
    within("the request for its ordinal", received.notified()).await;

    // Otherwise the old leader, which has more, would never vote for it.
    cluster.acknowledged(leader, next).await;
    cluster.stop(leader).await;
    cluster.detour(wiped, leader, None);
    cluster.start(leader).await;
    cluster.elect_after(next, &[leader]).await;
    // Far less than the timeout of its request, far more than it needs.
    let (present, absent) = ([cluster.node_id(wiped)], [old]);
    let has_vote = cluster.wait_for_voters(next, &present, &absent);
    tokio::time::timeout(Duration::from_secs(20), has_vote).await.expect("it does not wait for the old leader");
}

/// Simulation seed 244: the host lost its power, and until TCP gave up, nothing but the state
/// was sent to it.
#[tokio::test]
async fn a_state_that_no_replica_receives_is_sent_again() {
    let mut cluster = Cluster::new(3);
    cluster.adjust = |config| {
        config.storage.checkpoint_every = 5;
        config.storage.log_kept = 1;
        config.timing.transfer_idle = Duration::from_secs(2);
    };
    cluster.start_all().await;
    let leader = cluster.any_leader().await;
    let away = cluster.other_than(&[leader]);
    cluster.stop(away).await;
    for n in 0..20 {
        cluster.propose_word(&n.to_string()).await;
    }
    let (port, to, received) = black_hole("POST /replication/state").await;
    cluster.detour(leader, away, Some(port));
    cluster.start(away).await;
    to.set(cluster.address(away)).unwrap();
    within("a state on its way", received.notified()).await;
    cluster.detour(leader, away, None);
    let position = cluster.propose_word("after").await;
    cluster.applied(away, position).await;
    assert_eq!(cluster.words(away), cluster.words(leader));
}

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

/// One follower is away, the other wiped, then the leader killed: what was acknowledged is on the
/// leader's disk only.
#[tokio::test]
async fn a_group_waits_rather_than_forget() {
    let mut cluster = Cluster::started(3).await;
    let leader = cluster.any_leader().await;
    let wiped = cluster.other_than(&[leader]);
    let away = cluster.other_than(&[leader, wiped]);
    cluster.stop(away).await;
    cluster.propose_word("tux").await;
    let old = cluster.node_id(wiped);
    cluster.stop(wiped).await;
    cluster.wipe(wiped);
    cluster.start(wiped).await;
    // The leader knows it, but no majority of the old voters is there to give it a vote.
    never_leads(&cluster, wiped).await;
    assert!(cluster.replica(leader).status().voters.contains(&old));

    cluster.stop(leader).await;
    cluster.start(away).await;
    for ordinal in [wiped, away] {
        cluster.replica(ordinal).stand_for_election().await;
        never_leads(&cluster, ordinal).await;
    }

    cluster.start(leader).await;
    cluster.elect(leader).await;
    let position = cluster.propose_word("whale").await;
    cluster.wait_for_voters(leader, &[cluster.node_id(wiped)], &[old]).await;
    for ordinal in 1..=3 {
        cluster.applied(ordinal, position).await;
        assert_eq!(cluster.words(ordinal).texts(), ["tux", "whale"]);
    }
}

#[tokio::test]
async fn a_group_is_bootstrapped_by_all_or_not_at_all() {
    let mut cluster = Cluster::new(3);
    cluster.start(1).await;
    cluster.start(2).await;
    never_leads(&cluster, 1).await;
    assert_eq!((cluster.role(1), cluster.role(2)), (Role::Empty, Role::Empty));
    cluster.start(3).await;
    cluster.propose_word("tux").await;
}

#[tokio::test]
async fn a_wiped_majority_does_not_start_a_second_history() {
    let mut cluster = Cluster::started(3).await;
    let position = cluster.propose_word("tux").await;
    for ordinal in 1..=3 {
        cluster.applied(ordinal, position).await;
    }
    cluster.stop_all().await;
    cluster.wipe(1);
    cluster.wipe(2);
    cluster.start_all().await;
    cluster.replica(3).stand_for_election().await;
    for ordinal in 1..=3 {
        never_leads(&cluster, ordinal).await;
    }
    assert_eq!((cluster.role(1), cluster.role(2)), (Role::Empty, Role::Empty));
    assert_eq!(cluster.words(3).texts(), ["tux"]);
}

#[tokio::test]
async fn a_new_member_is_added() {
    let mut cluster = Cluster::started(3).await;
    cluster.propose_word("tux").await;
    let leader = cluster.any_leader().await;
    cluster.add_member(4);
    cluster.start(4).await;
    cluster.wait_for_voters(leader, &[cluster.node_id(4)], &[]).await;
    assert_eq!(cluster.replica(leader).status().voters.len(), 4);
    let position = cluster.propose_word("whale").await;
    cluster.applied(4, position).await;
}

#[tokio::test]
async fn a_leader_that_is_cut_off_confirms_nothing_and_commits_nothing() {
    let cluster = Cluster::started(3).await;
    let position = cluster.propose_word("tux").await;
    let old = cluster.any_leader().await;
    let successor = cluster.other_than(&[old]);
    cluster.applied(successor, position).await;
    cluster.cut_off(old);
    let refused = within("a refusal", cluster.replica(old).confirm_leadership()).await;
    assert!(matches!(refused, Err(ProposeError::NotLeader { .. })), "{refused:?}");
    let isolated = cluster.replica(old).clone();
    let isolated = tokio::spawn(async move { isolated.propose("isolated".to_owned()).await });
    // It cannot know that it no longer leads, but it does not claim to; nor do those that it cannot
    // reach count for it.
    cluster.status_where(old, |status| status.role == Role::Leader && status.leader.is_none()).await;

    // By now no follower withholds its vote for the old leader: had another one stood first, it
    // might have won.
    cluster.elect_after(successor, &[]).await;
    let (position, _) = within("a commit", cluster.replica(successor).propose("whale".to_owned())).await.unwrap();
    assert!(!isolated.is_finished(), "without a majority nothing is acknowledged");
    assert_eq!(cluster.words(old).texts(), ["tux"]);

    cluster.heal();
    let refused = within("the old leader's answer", isolated).await.unwrap();
    assert!(matches!(refused, Err(ProposeError::NotLeader { .. })), "{refused:?}");
    cluster.applied(old, position).await;
    assert_eq!(cluster.words(old).texts(), ["tux", "whale"]);
    assert!(cluster.replica(old).confirm_leadership().await.is_err());
    cluster.confirm_leadership(successor).await;
    cluster.stays_followed_after(successor, 2 * LONG_ENOUGH).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_transferred_without_losing_a_word() {
    let cluster = Cluster::started(3).await;
    let old = cluster.any_leader().await;
    let replica = cluster.replica(old).clone();
    let writer = tokio::spawn(async move {
        let mut acknowledged = Vec::new();
        loop {
            let word = acknowledged.len().to_string();
            match replica.propose(word.clone()).await {
                Ok(_) => acknowledged.push(word),
                Err(error) => return (acknowledged, error),
            }
        }
    });
    let mut seen = cluster.replica(old).clone();
    within("some words", async {
        while seen.read(|words| words.all.len()) < 20 {
            let next = seen.status().applied.map(|at| api::LogPosition { index: at.index + 1, ..at });
            seen.applied(next.unwrap_or_default()).await.unwrap();
            seen = seen.clone();
        }
    })
    .await;

    let (from, to) = cluster.transfer_leadership().await;
    assert_ne!(from, to);
    let (acknowledged, error) = within("the writer's end", writer).await.unwrap();
    assert!(matches!(error, ProposeError::NotLeader { .. }), "{error:?}");
    // On a slow host the other follower may have deposed the successor since.
    let others: Vec<u8> = cluster.running().into_iter().filter(|ordinal| *ordinal != from).collect();
    let successor = cluster.confirmed_leader_among(&others).await;
    assert_ne!(successor, from);
    let (words, next) = (cluster.words(successor), acknowledged.len().to_string());
    let more = words.texts().split_off(acknowledged.len());
    assert_eq!(words.texts()[..acknowledged.len()], acknowledged);
    // The outcome of the writer's last word is unknown.
    assert!(more.is_empty() || more == [next], "{more:?}");
    within("the name of the leader", async {
        while cluster.replica(from).transfer_leadership(PATIENCE).await.is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_leader_does_not_wait_for_replicas_that_are_gone() {
    let mut cluster = Cluster::started(3).await;
    let leader = cluster.any_leader().await;
    cluster.propose_word("before").await;
    for other in (1..=3).filter(|ordinal| *ordinal != leader) {
        cluster.stop(other).await;
    }
    // An entry that no other replica has: without the others there is no successor.
    let before = cluster.replica(leader).status().last_log;
    let alone = cluster.replica(leader).clone();
    let proposed = tokio::spawn(async move { alone.propose("alone".to_owned()).await });
    cluster.status_where(leader, |status| status.last_log > before).await;
    let transferred = cluster.replica(leader).transfer_leadership(Duration::from_hours(1));
    assert_eq!(within("the end of the transfer", transferred).await, None);
    // The same when nothing is in flight any more.
    proposed.abort();
    let transferred = cluster.replica(leader).transfer_leadership(Duration::from_hours(1));
    assert_eq!(within("the end of the transfer", transferred).await, None);
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
