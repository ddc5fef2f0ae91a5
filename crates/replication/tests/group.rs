//! A group's life: founding, elections, commits, restarts, catching up.

mod cluster;

use std::time::{Duration, Instant};

use api::replica::{ELECTION_PATH, ReplicaStatus, Role, STATUS_PATH, StandForElection};
use api::{Data, Ordinal, Term};
use cluster::{Cluster, Words, log_to_stderr, within};
use prometheus::TextEncoder;
use replication::Leadership;

#[tokio::test]
async fn three_replicas_found_a_group_and_commit() {
    log_to_stderr();
    let cluster = Cluster::started(3).await;
    let position = cluster.say("tux").await;
    for seat in 1..=3 {
        cluster.applied(seat, position).await;
        assert_eq!(cluster.words(seat).texts(), ["tux"]);
        let status = cluster.replica(seat).status();
        assert_eq!(status.voters.len(), 3, "{status:?}");
        assert_eq!(status.last_log, Some(position));
    }
    let leaders = (1..=3).filter(|seat| cluster.role(*seat) == Role::Leader).count();
    assert_eq!(leaders, 1);
}

#[tokio::test]
async fn one_replica_founds_elects_itself_and_does_so_again_in_a_new_term() {
    log_to_stderr();
    let mut cluster = Cluster::started(1).await;
    let before = cluster.say("tux").await;
    cluster.stop(1).await;
    cluster.start(1).await;
    let after = cluster.say("whale").await;
    assert!(after.term > before.term, "a restarted leader must not lead on in its old term: {before} {after}");
    assert_eq!(cluster.words(1).texts(), ["tux", "whale"]);
}

#[tokio::test]
async fn whoever_stands_with_the_whole_log_leads() {
    log_to_stderr();
    let cluster = Cluster::started(3).await;
    let position = cluster.say("tux").await;
    let old = cluster.any_leader().await;
    let heir = (1..=3).find(|seat| *seat != old).expect("there are three");
    cluster.applied(heir, position).await;
    let term = cluster.elect(heir).await;
    assert!(term > position.term);
    assert_eq!(cluster.confirm(heir).await, term);
    assert_eq!(cluster.words(heir).texts(), ["tux"], "after the confirmation it has all that was acknowledged");
    let mut leadership = cluster.replica(old).leadership();
    let heir_id = Some(cluster.node_id(heir));
    within("the old leader's notice", leadership.wait_for(|now| *now == Leadership::Following { leader: heir_id }))
        .await
        .expect("it runs");
}

#[tokio::test]
async fn all_stop_all_start_and_nothing_is_missing() {
    log_to_stderr();
    let mut cluster = Cluster::started(3).await;
    let mut said = Vec::new();
    for word in ["tux", "whale", "python", "gopher"] {
        cluster.say(word).await;
        said.push(word);
    }
    cluster.stop_all().await;
    cluster.start_all().await;
    cluster.elect(cluster.heir()).await;
    let position = cluster.say("crab").await;
    said.push("crab");
    for seat in 1..=3 {
        cluster.applied(seat, position).await;
        assert_eq!(cluster.words(seat).texts(), said);
    }
}

/// Stops a follower while the others take 101 words; starts it, and sees that it has them all in the end. Tells who
/// leads and who was away.
async fn miss_a_hundred_words(cluster: &mut Cluster) -> (u8, u8) {
    let leader = cluster.any_leader().await;
    let away = (1..=3).find(|seat| *seat != leader).expect("there are three");
    cluster.say("tux").await;
    cluster.stop(away).await;
    let mut position = cluster.say("whale").await;
    for number in 0..100 {
        position = cluster.say(&number.to_string()).await;
    }
    cluster.start(away).await;
    cluster.applied(away, position).await;
    assert_eq!(cluster.words(away), cluster.words(leader));
    (leader, away)
}

#[tokio::test]
async fn a_follower_that_was_down_catches_up_by_log() {
    log_to_stderr();
    let mut cluster = Cluster::started(3).await;
    miss_a_hundred_words(&mut cluster).await;
}

#[tokio::test]
async fn a_follower_that_was_away_too_long_gets_the_state() {
    log_to_stderr();
    let mut cluster = Cluster::new(3);
    cluster.adjust = |config| {
        config.storage.checkpoint_every = 20;
        config.storage.log_kept = 5;
    };
    cluster.start_all().await;
    let (leader, away) = miss_a_hundred_words(&mut cluster).await;
    let metrics = TextEncoder::new().encode_to_string(&cluster.registry(away).gather()).unwrap();
    assert!(metrics.contains(r#"checkpoints_installed_total{group="test"} 1"#), "it was given the state, not the log");

    // What it was given is on its disk, and the log goes on from there.
    let position = cluster.say("after").await;
    cluster.applied(away, position).await;
    cluster.stop(away).await;
    cluster.start(away).await;
    cluster.applied(away, position).await;
    assert_eq!(cluster.words(away), cluster.words(leader));
    assert_ne!(cluster.words(away), Words::default());
}

#[tokio::test]
async fn the_services_port_tells_the_status_and_takes_election_requests() {
    log_to_stderr();
    let cluster = Cluster::started(3).await;
    let client = reqwest::Client::new();
    let leader = cluster.any_leader().await;
    let status = client.get(cluster.address(leader).url(STATUS_PATH)).send().await.unwrap();
    let status: Data<ReplicaStatus> = status.json().await.unwrap();
    assert_eq!((status.data.role, status.data.node_id), (Role::Leader, cluster.node_id(leader)));
    assert_eq!((status.data.group.as_str(), status.data.ordinal), ("test", Ordinal(leader)));

    let heir = cluster.other_than(&[leader]);
    let position = cluster.say("tux").await;
    cluster.applied(heir, position).await;
    let mut leadership = cluster.replica(heir).leadership();
    let elected = async {
        for tries in 1.. {
            let request = StandForElection { surveyed: cluster.replica(heir).status().term };
            let stands = client.post(cluster.address(heir).url(ELECTION_PATH)).json(&request).send().await.unwrap();
            assert_eq!(stands.status(), 200);
            let leads = leadership.wait_for(|now| matches!(now, Leadership::Leading(_)));
            // Longer each time: who stands again begins the vote anew.
            if tokio::time::timeout(tries * Duration::from_millis(300), leads).await.is_ok() {
                return;
            }
        }
    };
    within("an election", elected).await;
}

/// Each frontend asks for the same election. A second standing would depose whoever the first one is about to make the leader.
#[tokio::test]
async fn two_frontends_with_one_survey_make_a_replica_stand_once() {
    log_to_stderr();
    let mut cluster = Cluster::started(3).await;
    cluster.say("tux").await;
    let leader = cluster.any_leader().await;
    cluster.stop(leader).await;
    let heir = cluster.heir();
    let first = cluster.other_than(&[leader, heir]);
    let surveyed = [first, heir].map(|seat| cluster.replica(seat).status().term).into_iter().max().unwrap();
    let (client, url) = (reqwest::Client::new(), cluster.address(first).url(ELECTION_PATH));
    let ask = async || {
        let stands = client.post(&url).json(&StandForElection { surveyed }).send().await.unwrap();
        stands.json::<Data<ReplicaStatus>>().await.unwrap().data.term
    };
    let terms = tokio::join!(ask(), ask());
    assert_eq!(terms, (Term(surveyed.0 + 1), Term(surveyed.0 + 1)));
    assert_eq!(ask().await, Term(surveyed.0 + 1));
    // A new survey is a new election.
    let surveyed = Term(surveyed.0 + 1);
    let next = client.post(&url).json(&StandForElection { surveyed }).send().await.unwrap();
    let led = *cluster.replica(first).leadership().borrow();
    let again = next.json::<Data<ReplicaStatus>>().await.unwrap().data.term;
    assert!(again > surveyed || matches!(led, Leadership::Leading(_)), "{again} after {surveyed}");
}

#[tokio::test]
async fn what_a_lost_leader_acknowledged_is_there_under_the_next() {
    log_to_stderr();
    let mut cluster = Cluster::started(3).await;
    let mut said = Vec::new();
    for round in 0..5 {
        let leader = cluster.any_leader().await;
        for number in 0..10 {
            let word = format!("{round}-{number}");
            cluster.say(&word).await;
            said.push(word);
        }
        cluster.stop(leader).await;
        let heir = cluster.heir();
        let other = cluster.other_than(&[leader, heir]);
        cluster.elect_after(heir, &[other]).await;
        let next = cluster.confirmed_leader().await;
        assert_eq!(cluster.words(next).texts(), said);
        cluster.start(leader).await;
    }
}

/// A frontend that asks everyone to stand, over and over, must not keep a group from having a leader.
#[tokio::test]
async fn asking_all_to_stand_again_and_again_ends_with_a_leader() {
    log_to_stderr();
    let mut cluster = Cluster::started(5).await;
    cluster.say("tux").await;
    let lost = cluster.any_leader().await;
    cluster.stop(lost).await;
    let survivors = cluster.running();
    let leads = |seat: &u8| matches!(*cluster.replica(*seat).leadership().borrow(), Leadership::Leading(_));
    let elected = async {
        loop {
            let begun = Instant::now();
            for seat in &survivors {
                cluster.replica(*seat).stand().await;
            }
            // Between tries a frontend, too, waits for some times what it takes to save a vote, 1 s at most.
            let pause = begun.elapsed().clamp(Duration::from_millis(40), Duration::from_secs(1));
            tokio::time::sleep(pause).await;
            // The first to lead may be deposed by one that was asked after it: only a majority's word ends the asking.
            if let Some(leader) = survivors.iter().copied().find(leads)
                && cluster.replica(leader).confirm().await.is_ok()
            {
                return leader;
            }
        }
    };
    let leader = within("a confirmed leader", elected).await;
    assert_eq!(cluster.words(leader).texts(), ["tux"]);
}
