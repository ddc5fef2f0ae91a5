//! A group's life: bootstrapping, elections, commits, restarts, catching up.

mod cluster;

use std::time::{Duration, Instant};

use api::replica::{ELECTION_PATH, ReplicaStatus, Role, STATUS_PATH, StandForElection, WATCH_PATH};
use api::{Data, Ordinal, Term};
use cluster::{Cluster, Words, within};
use prometheus::TextEncoder;
use replication::Leadership;

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

#[tokio::test]
async fn a_candidate_with_the_whole_log_leads() {
    let cluster = Cluster::started(3).await;
    let position = cluster.propose_word("tux").await;
    let old = cluster.any_leader().await;
    let successor = (1..=3).find(|ordinal| *ordinal != old).expect("there are three");
    cluster.applied(successor, position).await;
    let term = cluster.elect(successor).await;
    assert!(term > position.term);
    assert_eq!(cluster.confirm_leadership(successor).await, term);
    assert_eq!(cluster.words(successor).texts(), ["tux"], "after the confirmation it has all that was acknowledged");
    let mut leadership = cluster.replica(old).leadership();
    let successor_id = Some(cluster.node_id(successor));
    within(
        "the old leader's notice",
        leadership.wait_for(|now| *now == Leadership::Following { leader: successor_id }),
    )
    .await
    .expect("it runs");
}

#[tokio::test]
async fn all_stop_and_start_and_nothing_is_missing() {
    let mut cluster = Cluster::started(3).await;
    let mut said = Vec::new();
    for word in ["tux", "whale", "python", "gopher"] {
        cluster.propose_word(word).await;
        said.push(word);
    }
    cluster.stop_all().await;
    cluster.start_all().await;
    cluster.elect(cluster.candidate()).await;
    let position = cluster.propose_word("crab").await;
    said.push("crab");
    for ordinal in 1..=3 {
        cluster.applied(ordinal, position).await;
        assert_eq!(cluster.words(ordinal).texts(), said);
    }
}

/// Stops a follower while the others apply 101 words, starts it, and waits until it has them all.
/// Returns the leader and the follower that was away.
async fn miss_a_hundred_words(cluster: &mut Cluster) -> (u8, u8) {
    let leader = cluster.any_leader().await;
    let away = (1..=3).find(|ordinal| *ordinal != leader).expect("there are three");
    cluster.propose_word("tux").await;
    cluster.stop(away).await;
    let mut position = cluster.propose_word("whale").await;
    for number in 0..100 {
        position = cluster.propose_word(&number.to_string()).await;
    }
    cluster.start(away).await;
    cluster.applied(away, position).await;
    assert_eq!(cluster.words(away), cluster.words(leader));
    (leader, away)
}

#[tokio::test]
async fn a_follower_that_was_down_catches_up_by_log() {
    let mut cluster = Cluster::started(3).await;
    miss_a_hundred_words(&mut cluster).await;
}

#[tokio::test]
async fn a_follower_that_was_away_too_long_gets_the_state() {
    let mut cluster = Cluster::new(3);
    cluster.adjust = |config| {
        config.storage.checkpoint_every = 20;
        config.storage.log_kept = 5;
    };
    cluster.start_all().await;
    let (leader, away) = miss_a_hundred_words(&mut cluster).await;
    let metrics = TextEncoder::new().encode_to_string(&cluster.registry(away).gather()).unwrap();
    assert!(metrics.contains(r#"checkpoints_installed_total{group="test"} 1"#), "it was given the state, not the log");

    // The received state is on its disk, and the log continues from there.
    let position = cluster.propose_word("after").await;
    cluster.applied(away, position).await;
    cluster.stop(away).await;
    cluster.start(away).await;
    cluster.applied(away, position).await;
    assert_eq!(cluster.words(away), cluster.words(leader));
    assert_ne!(cluster.words(away), Words::default());
}

#[tokio::test]
async fn the_services_port_serves_the_status_and_accepts_election_requests() {
    let cluster = Cluster::started(3).await;
    let client = reqwest::Client::new();
    let leader = cluster.any_leader().await;
    let status = client.get(cluster.address(leader).url(STATUS_PATH)).send().await.unwrap();
    let status: Data<ReplicaStatus> = status.json().await.unwrap();
    assert_eq!((status.data.role, status.data.node_id), (Role::Leader, cluster.node_id(leader)));
    assert_eq!((status.data.group.as_str(), status.data.ordinal), ("test", Ordinal(leader)));

    let successor = cluster.other_than(&[leader]);
    let position = cluster.propose_word("tux").await;
    cluster.applied(successor, position).await;
    let mut leadership = cluster.replica(successor).leadership();
    let elected = async {
        for tries in 1.. {
            let request =
                StandForElection { polled_term: cluster.replica(successor).status().term, leader_gone: false };
            let stands =
                client.post(cluster.address(successor).url(ELECTION_PATH)).json(&request).send().await.unwrap();
            assert_eq!(stands.status(), 200);
            let leads = leadership.wait_for(|now| matches!(now, Leadership::Leading(_)));
            // Longer each time: standing again starts a new election.
            if tokio::time::timeout(tries * Duration::from_millis(300), leads).await.is_ok() {
                return;
            }
        }
    };
    within("an election", elected).await;
}

/// Each frontend asks for the same election. A second campaign would depose the leader that the
/// first one is about to make.
#[tokio::test]
async fn two_frontends_with_one_poll_make_a_replica_stand_once() {
    let mut cluster = Cluster::started(3).await;
    let position = cluster.propose_word("tux").await;
    for ordinal in 1..=3 {
        cluster.applied(ordinal, position).await;
    }
    let leader = cluster.any_leader().await;
    cluster.stop(leader).await;
    let successor = cluster.candidate();
    let first = cluster.other_than(&[leader, successor]);
    // Before that it checks whether the leader is gone, and a late answer counts as one.
    cluster.status_where(first, |status| !status.has_fresh_leader()).await;
    let polled_term =
        [first, successor].map(|ordinal| cluster.replica(ordinal).status().term).into_iter().max().unwrap();
    let (client, url) = (reqwest::Client::new(), cluster.address(first).url(ELECTION_PATH));
    let ask = async || {
        let stands = client.post(&url).json(&StandForElection { polled_term, leader_gone: true }).send().await.unwrap();
        stands.json::<Data<ReplicaStatus>>().await.unwrap().data.term
    };
    let terms = tokio::join!(ask(), ask());
    assert_eq!(terms, (Term(polled_term.0 + 1), Term(polled_term.0 + 1)));
    assert_eq!(ask().await, Term(polled_term.0 + 1));
    // A new status poll is a new election.
    let polled_term = Term(polled_term.0 + 1);
    let next = client.post(&url).json(&StandForElection { polled_term, leader_gone: true }).send().await.unwrap();
    let led = *cluster.replica(first).leadership().borrow();
    let again = next.json::<Data<ReplicaStatus>>().await.unwrap().data.term;
    assert!(again > polled_term || matches!(led, Leadership::Leading(_)), "{again} after {polled_term}");
}

/// A replica that is told that its leader is gone checks that. If the answer takes longer, it takes
/// the leader to be alive.
const CHECK_TIMEOUT: Duration = Duration::from_millis(150);

/// Any number of frontends may ask it to stand, and be wrong.
#[tokio::test]
async fn a_replica_that_hears_from_its_leader_does_not_stand() {
    let mut cluster = Cluster::started(3).await;
    cluster.propose_word("tux").await;
    let leader = cluster.any_leader().await;
    let follower = cluster.other_than(&[leader]);
    let client = reqwest::Client::new();
    let stand = async |leader_gone| {
        let request = StandForElection { polled_term: Term(1 << 19), leader_gone };
        let stands = client.post(cluster.address(follower).url(ELECTION_PATH)).json(&request).send().await.unwrap();
        stands.json::<Data<ReplicaStatus>>().await.unwrap().data.term
    };
    // If the host stands still for three heartbeats, the last contact is too old and the replica
    // stands. That is no reason to fail.
    let is_kept = async |leader_gone| {
        client.get(cluster.address(leader).url(WATCH_PATH)).send().await.unwrap();
        cluster.status_where(follower, ReplicaStatus::has_fresh_leader).await;
        let before = cluster.replica(follower).status().term;
        stand(leader_gone).await == before
    };
    for leader_gone in [false, true] {
        let mut tries = 1;
        while !is_kept(leader_gone).await {
            assert!(tries < 5, "it stands although its leader is alive; leader_gone: {leader_gone}");
            tries += 1;
            cluster.elect(leader).await;
        }
    }
    let term = cluster.replica(follower).status().term;
    let address = cluster.address(follower);
    cluster.stop(leader).await;
    let request = StandForElection { polled_term: Term(1 << 19), leader_gone: true };
    let stands = async {
        while cluster.replica(follower).status().term == term {
            let begun = Instant::now();
            let stands = client.post(address.url(ELECTION_PATH)).json(&request).send().await.unwrap();
            let told = stands.json::<Data<ReplicaStatus>>().await.unwrap().data.term;
            assert!(told > term || begun.elapsed() >= CHECK_TIMEOUT, "a leader that is gone is no reason to wait");
        }
    };
    within("a campaign", stands).await;
}

#[tokio::test]
async fn entries_acknowledged_by_a_lost_leader_are_kept_by_the_next() {
    let mut cluster = Cluster::started(3).await;
    let mut said = Vec::new();
    for round in 0..5 {
        let leader = cluster.any_leader().await;
        for number in 0..10 {
            let word = format!("{round}-{number}");
            cluster.propose_word(&word).await;
            said.push(word);
        }
        cluster.stop(leader).await;
        // An entry may still be on its way to either, so both are asked, one at a time.
        let next = cluster.confirmed_leader_among(&cluster.running()).await;
        assert_eq!(cluster.words(next).texts(), said);
        cluster.start(leader).await;
    }
}

/// A frontend that repeatedly asks all replicas to stand must not keep a group from having a
/// leader.
#[tokio::test]
async fn asking_all_to_stand_again_and_again_ends_with_a_leader() {
    let mut cluster = Cluster::started(5).await;
    cluster.propose_word("tux").await;
    let lost = cluster.any_leader().await;
    cluster.stop(lost).await;
    let remaining = cluster.running();
    let leads = |ordinal: &u8| matches!(*cluster.replica(*ordinal).leadership().borrow(), Leadership::Leading(_));
    let elected = async {
        loop {
            let begun = Instant::now();
            for ordinal in &remaining {
                cluster.replica(*ordinal).stand_for_election().await;
            }
            // A frontend, too, pauses between tries, for a few times what it takes to save a vote,
            // but at most 1 s.
            let pause = begun.elapsed().clamp(Duration::from_millis(40), Duration::from_secs(1));
            tokio::time::sleep(pause).await;
            // The first leader may be deposed by a replica that was asked after it, so only a
            // confirmation by a majority ends the asking.
            if let Some(leader) = remaining.iter().copied().find(leads)
                && cluster.replica(leader).confirm_leadership().await.is_ok()
            {
                return leader;
            }
        }
    };
    let leader = within("a confirmed leader", elected).await;
    assert_eq!(cluster.words(leader).texts(), ["tux"]);
}
