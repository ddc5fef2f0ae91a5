//! What a group survives, and what it refuses.

mod cluster;

use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api::replica::Role;
use api::{Address, ErrorBody, ErrorCode, INTERNAL_TOKEN_HEADER};
use cluster::{Cluster, PATIENCE, Words, log_to_stderr, within};
use prometheus::TextEncoder;
use replication::{FileStore, Leadership, ProposeError, Replica, StartError};
use service::Token;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Time for something that must not happen to happen, were it to: elections take 5 ms, pauses between tries 50 ms.
const LONG_ENOUGH: Duration = Duration::from_millis(600);

async fn never_leads(cluster: &Cluster, seat: u8) {
    let mut leadership = cluster.replica(seat).leadership();
    let leads = leadership.wait_for(|now| matches!(now, Leadership::Leading(_)));
    assert!(tokio::time::timeout(LONG_ENOUGH, leads).await.is_err(), "replica {seat} must not lead");
}

#[tokio::test]
async fn a_wiped_follower_returns_under_a_new_id_and_takes_its_seat() {
    log_to_stderr();
    let mut cluster = Cluster::started(3).await;
    let leader = cluster.any_leader().await;
    let wiped = cluster.other_than(&[leader]);
    cluster.say("tux").await;
    let old = cluster.node_id(wiped);
    cluster.stop(wiped).await;
    cluster.wipe(wiped);
    cluster.start(wiped).await;
    let new = cluster.node_id(wiped);
    assert_ne!(new, old);

    cluster.seated(leader, &[new], &[old]).await;
    let position = cluster.say("whale").await;
    cluster.applied(wiped, position).await;
    assert_eq!(cluster.words(wiped).texts(), ["tux", "whale"]);

    // Its vote counts: with the third replica down it makes a majority with the leader.
    let third = cluster.other_than(&[leader, wiped]);
    cluster.stop(third).await;
    cluster.say("python").await;
}

/// Passes on what comes in, once it is known to whom, but keeps requests that begin like that to itself, and their connections open. Says so
/// each time.
async fn swallow(request: &'static str) -> (u16, Arc<OnceLock<Address>>, Arc<Notify>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let swallowed = Arc::new(Notify::new());
    let to = Arc::<OnceLock<Address>>::default();
    let (told, target) = (Arc::clone(&swallowed), Arc::clone(&to));
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (target, told) = (target.get().cloned(), Arc::clone(&told));
            tokio::spawn(async move {
                let Some(target) = target else { return };
                let Ok(mut far) = TcpStream::connect(target.as_str()).await else { return };
                let mut bytes = vec![0; 64 * 1024];
                while let Ok(length @ 1..) = near.read(&mut bytes).await {
                    if bytes[..length].starts_with(request.as_bytes()) {
                        told.notify_one();
                        return std::future::pending().await;
                    }
                    far.write_all(&bytes[..length]).await.unwrap();
                    let length = far.read(&mut bytes).await.unwrap();
                    near.write_all(&bytes[..length]).await.unwrap();
                }
            });
        }
    });
    (port, to, swallowed)
}

/// Simulation seed 3784: it waited out the 30 s of its request.
#[tokio::test]
async fn a_newcomer_whose_leader_is_gone_asks_again() {
    log_to_stderr();
    let mut cluster = Cluster::started(3).await;
    let leader = cluster.any_leader().await;
    let wiped = cluster.other_than(&[leader]);
    let next = cluster.other_than(&[leader, wiped]);
    let old = cluster.node_id(wiped);
    cluster.stop(wiped).await;
    cluster.wipe(wiped);
    let (port, to, swallowed) = swallow("POST /replication/join").await;
    to.set(cluster.address(leader)).unwrap();
    cluster.detour(wiped, leader, Some(port));
    cluster.start(wiped).await;
    within("the request for its seat", swallowed.notified()).await;

    cluster.stop(leader).await;
    cluster.detour(wiped, leader, None);
    cluster.start(leader).await;
    cluster.elect_after(next, &[leader]).await;
    // Far less than its patience with the leader that it asked, far more than it needs.
    let (present, absent) = ([cluster.node_id(wiped)], [old]);
    let seated = cluster.seated(next, &present, &absent);
    tokio::time::timeout(Duration::from_secs(20), seated).await.expect("it does not wait for the old leader");
}

/// Simulation seed 244: the machine lost its power, and nothing but the state was sent to it for as long as TCP had hope.
#[tokio::test]
async fn a_state_that_nobody_receives_is_sent_again() {
    log_to_stderr();
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
        cluster.say(&n.to_string()).await;
    }
    let (port, to, swallowed) = swallow("POST /replication/state").await;
    cluster.detour(leader, away, Some(port));
    cluster.start(away).await;
    to.set(cluster.address(away)).unwrap();
    within("a state on its way", swallowed.notified()).await;
    cluster.detour(leader, away, None);
    let position = cluster.say("after").await;
    cluster.applied(away, position).await;
    assert_eq!(cluster.words(away), cluster.words(leader));
}

#[tokio::test]
async fn a_request_for_the_old_disk_does_not_reach_the_new_one() {
    log_to_stderr();
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
    log_to_stderr();
    let mut cluster = Cluster::started(3).await;
    let leader = cluster.any_leader().await;
    let hurt = cluster.other_than(&[leader]);
    cluster.say("tux").await;
    let old = cluster.node_id(hurt);
    cluster.stop(hurt).await;
    std::fs::remove_dir_all(cluster.dir(hurt).join("log")).unwrap();
    cluster.start(hurt).await;
    let new = cluster.node_id(hurt);
    cluster.seated(leader, &[new], &[old]).await;
    let position = cluster.say("whale").await;
    cluster.applied(hurt, position).await;
    assert_eq!(cluster.words(hurt).texts(), ["tux", "whale"]);
}

/// One follower away, the other wiped, then the leader killed: what was acknowledged is on the leader's disk alone.
#[tokio::test]
async fn a_group_waits_rather_than_forget() {
    log_to_stderr();
    let mut cluster = Cluster::started(3).await;
    let leader = cluster.any_leader().await;
    let wiped = cluster.other_than(&[leader]);
    let away = cluster.other_than(&[leader, wiped]);
    cluster.stop(away).await;
    cluster.say("tux").await;
    let old = cluster.node_id(wiped);
    cluster.stop(wiped).await;
    cluster.wipe(wiped);
    cluster.start(wiped).await;
    // It is known to the leader, but no majority of the old voters is there to seat it.
    never_leads(&cluster, wiped).await;
    assert!(cluster.replica(leader).status().voters.contains(&old));

    cluster.stop(leader).await;
    cluster.start(away).await;
    for seat in [wiped, away] {
        cluster.replica(seat).stand().await;
        never_leads(&cluster, seat).await;
    }

    cluster.start(leader).await;
    cluster.elect(leader).await;
    let position = cluster.say("whale").await;
    cluster.seated(leader, &[cluster.node_id(wiped)], &[old]).await;
    for seat in 1..=3 {
        cluster.applied(seat, position).await;
        assert_eq!(cluster.words(seat).texts(), ["tux", "whale"]);
    }
}

#[tokio::test]
async fn a_group_is_founded_by_all_or_not_at_all() {
    log_to_stderr();
    let mut cluster = Cluster::new(3);
    cluster.start(1).await;
    cluster.start(2).await;
    never_leads(&cluster, 1).await;
    assert_eq!((cluster.role(1), cluster.role(2)), (Role::Empty, Role::Empty));
    cluster.start(3).await;
    cluster.say("tux").await;
}

#[tokio::test]
async fn a_wiped_majority_does_not_found_a_second_history() {
    log_to_stderr();
    let mut cluster = Cluster::started(3).await;
    let position = cluster.say("tux").await;
    for seat in 1..=3 {
        cluster.applied(seat, position).await;
    }
    cluster.stop_all().await;
    cluster.wipe(1);
    cluster.wipe(2);
    cluster.start_all().await;
    cluster.replica(3).stand().await;
    for seat in 1..=3 {
        never_leads(&cluster, seat).await;
    }
    assert_eq!((cluster.role(1), cluster.role(2)), (Role::Empty, Role::Empty));
    assert_eq!(cluster.words(3).texts(), ["tux"]);
}

#[tokio::test]
async fn a_new_seat_is_added() {
    log_to_stderr();
    let mut cluster = Cluster::started(3).await;
    cluster.say("tux").await;
    let leader = cluster.any_leader().await;
    cluster.add_seat(4);
    cluster.start(4).await;
    cluster.seated(leader, &[cluster.node_id(4)], &[]).await;
    assert_eq!(cluster.replica(leader).status().voters.len(), 4);
    let position = cluster.say("whale").await;
    cluster.applied(4, position).await;
}

#[tokio::test]
async fn a_leader_that_is_cut_off_confirms_nothing_and_commits_nothing() {
    log_to_stderr();
    let cluster = Cluster::started(3).await;
    let position = cluster.say("tux").await;
    let old = cluster.any_leader().await;
    let heir = cluster.other_than(&[old]);
    cluster.applied(heir, position).await;
    cluster.cut_off(old);
    let refused = within("a refusal", cluster.replica(old).confirm()).await;
    assert!(matches!(refused, Err(ProposeError::NotLeader { .. })), "{refused:?}");
    let lonely = cluster.replica(old).clone();
    let lonely = tokio::spawn(async move { lonely.propose("lonely".to_owned()).await });
    // It cannot know that it leads no more, but it does not say that it does; nor do those whom it cannot reach count for it.
    cluster.status_where(old, |status| status.role == Role::Leader && status.leader.is_none()).await;

    // By now nobody owes the old leader a vote: had another stood first, it might have won.
    cluster.elect_after(heir, &[]).await;
    let (position, _) = within("a commit", cluster.replica(heir).propose("whale".to_owned())).await.unwrap();
    assert!(!lonely.is_finished(), "without a majority nothing is acknowledged");
    assert_eq!(cluster.words(old).texts(), ["tux"]);

    cluster.heal();
    let refused = within("the old leader's answer", lonely).await.unwrap();
    assert!(matches!(refused, Err(ProposeError::NotLeader { .. })), "{refused:?}");
    cluster.applied(old, position).await;
    assert_eq!(cluster.words(old).texts(), ["tux", "whale"]);
    assert!(cluster.replica(old).confirm().await.is_err());
    cluster.confirm(heir).await;
    cluster.stays_followed(heir, 2 * LONG_ENOUGH).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_handed_over_without_losing_a_word() {
    log_to_stderr();
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

    let (from, to) = cluster.hand_over().await;
    assert_ne!(from, to);
    let (acknowledged, error) = within("the writer's end", writer).await.unwrap();
    assert!(matches!(error, ProposeError::NotLeader { .. }), "{error:?}");
    let heir = cluster.confirmed_leader().await;
    assert_eq!(heir, to);
    assert_eq!(cluster.words(heir).texts(), acknowledged);
    assert!(cluster.replica(from).hand_over(PATIENCE).await.is_some(), "who does not lead names the leader");
}

#[tokio::test]
async fn one_data_directory_is_for_one_replica() {
    log_to_stderr();
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
    log_to_stderr();
    let mut cluster = Cluster::new(1);
    cluster.adjust = |config| {
        config.storage.checkpoint_every = 10;
        config.storage.log_kept = 1;
    };
    cluster.start(1).await;
    for number in 0..50 {
        cluster.say(&number.to_string()).await;
    }
    cluster.stop(1).await;
    std::fs::remove_file(cluster.dir(1).join("state")).unwrap();
    let refused = cluster.try_start(1).await;
    assert!(matches!(refused, Err(StartError::Damaged { .. })), "{refused:?}");
}

#[tokio::test]
async fn garbage_and_strangers_are_refused_and_do_no_harm() {
    log_to_stderr();
    let mut cluster = Cluster::new(3);
    cluster.adjust = |config| config.token = Some(Token::new("a-shared-secret").unwrap());
    cluster.start_all().await;
    cluster.say("tux").await;
    let client = reqwest::Client::new();
    for path in ["append", "vote", "state", "join", "stand"] {
        let post = || {
            let url = cluster.address(1).url(&format!("/replication/{path}"));
            client.post(url).header("x-replication-group", "test").body(vec![0xff; 1000])
        };
        let stranger = post().send().await.unwrap();
        assert_eq!(stranger.status(), 401, "{path}");
        let body: ErrorBody = stranger.json().await.unwrap();
        assert_eq!(body.error.code, ErrorCode::Unauthorized);
        if path != "stand" {
            let garbage = post().header(INTERNAL_TOKEN_HEADER, "a-shared-secret").send().await.unwrap();
            assert_eq!(garbage.status(), 400, "{path}");
        }
    }
    cluster.say("whale").await;
}

#[tokio::test]
async fn a_command_that_is_too_long_is_refused_before_anything_is_written() {
    log_to_stderr();
    let cluster = Cluster::started(1).await;
    let before = cluster.say("tux").await;
    let refused = cluster.replica(1).propose("x".repeat(replication::COMMAND_BYTES_MAX)).await;
    assert!(matches!(refused, Err(ProposeError::TooLarge { .. })), "{refused:?}");
    assert_eq!(cluster.replica(1).status().last_log, Some(before));
}

#[tokio::test]
async fn metrics_tell_who_leads_and_how_far_everyone_is() {
    log_to_stderr();
    let cluster = Cluster::started(3).await;
    let position = cluster.say("tux").await;
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
