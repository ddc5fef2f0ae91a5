//! Asking the leader of replicas that refuse, hang, and change places.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::replica::{ReplicaStatus, Replicas, Role};
use api::{Address, ApiError, ErrorCode, LogPosition, NodeId, Ordinal, Term};
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use discovery::{Group, Leader, fixed};
use service::call::{CallError, Caller};
use service::http::{Failure, Limits, Listener, Reply, data, serve};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What a replica does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// The leader answers, the others say who leads.
    Honest,
    /// Takes requests and statuses, and answers neither.
    Paused,
    /// Refuses requests; its status is as it was.
    Refusing(ErrorCode),
    /// Names that replica as the leader.
    Pointing(u8),
}

/// Three replicas; who leads, and in which mood each is.
struct Cluster {
    group: Group,
    state: watch::Sender<BTreeMap<u8, Mood>>,
    leader: Arc<Mutex<(u8, u64)>>,
    asked: Arc<Mutex<Vec<u8>>>,
    statuses: Arc<AtomicUsize>,
    served: BTreeMap<u8, (CancellationToken, JoinHandle<()>)>,
    _stop: DropGuard,
}

#[derive(Clone)]
struct Replica {
    seat: u8,
    state: watch::Sender<BTreeMap<u8, Mood>>,
    leader: Arc<Mutex<(u8, u64)>>,
    asked: Arc<Mutex<Vec<u8>>>,
    statuses: Arc<AtomicUsize>,
}

impl Cluster {
    /// Replica 1 leads in term 1, and everybody is honest.
    fn start() -> Self {
        let stop = CancellationToken::new();
        let state = watch::Sender::new(BTreeMap::from([1, 2, 3].map(|seat| (seat, Mood::Honest))));
        let (leader, asked, statuses) = (Arc::new(Mutex::new((1, 1))), Arc::default(), Arc::default());
        let (mut addresses, mut served) = (Replicas::new(), BTreeMap::new());
        for seat in 1..=3 {
            let replica = Replica {
                seat,
                state: state.clone(),
                leader: Arc::clone(&leader),
                asked: Arc::clone(&asked),
                statuses: Arc::clone(&statuses),
            };
            let routes = Router::new().route("/status", get(status)).route("/ask", post(ask)).with_state(replica);
            let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
            addresses.insert(Ordinal(seat), Address::new("127.0.0.1", listener.local_addr().unwrap().port()));
            let dead = stop.child_token();
            let task = tokio::spawn(serve(listener, routes, Limits::default(), dead.clone()));
            served.insert(seat, (dead, task));
        }
        let group = Group::new("order", fixed(addresses), Caller::new(None));
        Self { group, state, leader, asked, statuses, served, _stop: stop.drop_guard() }
    }

    fn set_mood(&self, seat: u8, mood: Mood) {
        self.state.send_modify(|moods| {
            moods.insert(seat, mood);
        });
    }

    fn elect(&self, seat: u8, term: u64) {
        *self.leader.lock().unwrap() = (seat, term);
    }

    /// Returns when nobody is there any more: a server that stops still answers for a while.
    async fn kill(&mut self, seat: u8) {
        let (dead, task) = self.served.remove(&seat).expect("it was alive");
        dead.cancel();
        task.await.unwrap();
    }

    fn asked(&self) -> Vec<u8> {
        self.asked.lock().unwrap().clone()
    }

    async fn ask(&self, within: Duration) -> Result<u8, CallError> {
        let request =
            async |caller: Caller, leader: Address| caller.post(&leader, "/ask", &(), Duration::from_secs(10)).await;
        self.group.ask_leader(Instant::now() + within, request).await
    }
}

const LONG: Duration = Duration::from_secs(20);

async fn status(State(replica): State<Replica>) -> Reply<ReplicaStatus> {
    replica.statuses.fetch_add(1, Ordering::Relaxed);
    replica.unpaused().await;
    let (leader, term) = *replica.leader.lock().unwrap();
    let id = |seat| NodeId::new(Ordinal(seat), 1);
    let position = Some(LogPosition { term: Term(term), index: 1 });
    data(ReplicaStatus {
        role: if leader == replica.seat { Role::Leader } else { Role::Follower },
        term: Term(term),
        last_log: position,
        committed: position,
        applied: position,
        leader: Some(id(leader)),
        voters: vec![id(1), id(2), id(3)],
        ..ReplicaStatus::empty("order", id(replica.seat))
    })
}

async fn ask(State(replica): State<Replica>) -> Reply<u8> {
    replica.asked.lock().unwrap().push(replica.seat);
    let mood = replica.unpaused().await;
    let (leader, _) = *replica.leader.lock().unwrap();
    match mood {
        Mood::Refusing(code) => Err(Failure::new(code, "because the test says so")),
        Mood::Pointing(seat) => Err(ApiError::not_leader(Some(Ordinal(seat))).into()),
        Mood::Honest | Mood::Paused if leader == replica.seat => data(replica.seat),
        Mood::Honest | Mood::Paused => Err(ApiError::not_leader(Some(Ordinal(leader))).into()),
    }
}

impl Replica {
    async fn unpaused(&self) -> Mood {
        let mut state = self.state.subscribe();
        let moods = state.wait_for(|moods| moods[&self.seat] != Mood::Paused).await.expect("the cluster lives");
        moods[&self.seat]
    }
}

#[tokio::test]
async fn the_leader_is_found_and_remembered() {
    let cluster = Cluster::start();
    assert_eq!(cluster.ask(LONG).await, Ok(1));
    assert_eq!(cluster.ask(LONG).await, Ok(1));
    assert_eq!(cluster.group.current_leader(), Some(Leader { ordinal: Ordinal(1), term: Term(1) }));
    assert_eq!(cluster.asked(), [1, 1], "nobody else was asked");
}

#[tokio::test]
async fn a_hint_is_followed_at_once() {
    let cluster = Cluster::start();
    assert_eq!(cluster.ask(LONG).await, Ok(1));
    cluster.elect(3, 2);
    assert_eq!(cluster.ask(LONG).await, Ok(3));
    assert_eq!(cluster.asked(), [1, 1, 3]);
    assert_eq!(cluster.ask(LONG).await, Ok(3));
    assert_eq!(cluster.group.current_leader(), Some(Leader { ordinal: Ordinal(3), term: Term(2) }));
}

#[tokio::test]
async fn replicas_that_point_at_each_other_are_not_asked_without_a_pause() {
    let cluster = Cluster::start();
    cluster.set_mood(1, Mood::Pointing(2));
    cluster.set_mood(2, Mood::Pointing(1));
    assert!(cluster.ask(Duration::from_millis(300)).await.is_err());
    assert!(cluster.asked().len() < 50, "{} times in 0.3 s", cluster.asked().len());
}

#[tokio::test]
async fn a_dead_leader_is_replaced_by_the_one_that_is_elected() {
    let mut cluster = Cluster::start();
    assert_eq!(cluster.ask(LONG).await, Ok(1));
    cluster.kill(1).await;
    let mut doubts = cluster.group.doubts();
    let asking = cluster.ask(LONG);
    let election = async {
        doubts.changed().await.expect("the group lives");
        cluster.elect(2, 2);
    };
    let (answer, ()) = tokio::join!(asking, election);
    assert_eq!(answer, Ok(2));
}

#[tokio::test]
async fn a_request_to_a_paused_leader_is_abandoned_for_the_next_one() {
    let cluster = Cluster::start();
    assert_eq!(cluster.ask(LONG).await, Ok(1));
    cluster.set_mood(1, Mood::Paused);
    let begun = Instant::now();
    let election = async {
        while cluster.asked().len() < 2 {
            tokio::task::yield_now().await;
        }
        cluster.elect(2, 2);
        cluster.group.adopt(Leader { ordinal: Ordinal(2), term: Term(2) });
    };
    let (answer, ()) = tokio::join!(cluster.ask(LONG), election);
    assert_eq!(answer, Ok(2));
    assert!(begun.elapsed() < Duration::from_secs(5), "without waiting for the attempt's own time-out");
}

#[tokio::test]
async fn refusals_are_final_or_not() {
    for (code, is_final) in [
        (ErrorCode::OutOfStock, true),
        (ErrorCode::Overloaded, true),
        (ErrorCode::InsufficientStorage, true),
        (ErrorCode::Unauthorized, true),
        (ErrorCode::Unavailable, false),
        (ErrorCode::NotLeader, false),
    ] {
        let cluster = Cluster::start();
        cluster.set_mood(1, Mood::Refusing(code));
        if is_final {
            assert_eq!(cluster.ask(LONG).await.unwrap_err().code(), Some(code));
            assert_eq!(cluster.asked(), [1], "{code:?}");
            continue;
        }
        let again = async {
            while cluster.asked().len() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            answer = cluster.ask(LONG) => panic!("{code:?}: {answer:?}"),
            () = again => {}
        }
        let before = cluster.asked().len();
        assert!(cluster.ask(Duration::from_millis(400)).await.is_err(), "{code:?}");
        let times = cluster.asked().len() - before;
        assert!(times < 50, "{code:?}: {times} attempts in 0.4 s");
    }
}

#[tokio::test]
async fn the_last_word_says_whether_anything_may_have_been_done() {
    let within = Duration::from_millis(400);

    let cluster = Cluster::start();
    for seat in 1..=3 {
        cluster.set_mood(seat, Mood::Refusing(ErrorCode::NotLeader));
    }
    let answer = loop {
        match cluster.ask(within).await {
            // The time was up in the middle of an attempt, of which nobody can say anything.
            Err(CallError::Unknown { .. }) => {}
            answer => break answer,
        }
    };
    assert_eq!(answer.unwrap_err().code(), Some(ErrorCode::Unavailable), "nobody would have it");

    let cluster = Cluster::start();
    // From here on the leader is known, so that it is asked however little of the time is left.
    assert_eq!(cluster.ask(LONG).await, Ok(1));
    cluster.set_mood(1, Mood::Refusing(ErrorCode::Unavailable));
    assert!(matches!(cluster.ask(within).await, Err(CallError::Unknown { .. })), "the leader was not sure");

    let cluster = Cluster::start();
    assert_eq!(cluster.ask(LONG).await, Ok(1));
    cluster.set_mood(1, Mood::Paused);
    assert!(matches!(cluster.ask(within).await, Err(CallError::Unknown { .. })), "no answer");
}

#[tokio::test]
async fn an_overload_after_an_unknown_outcome_does_not_make_it_known() {
    let cluster = Cluster::start();
    cluster.set_mood(1, Mood::Refusing(ErrorCode::Unavailable));
    let overload = async {
        while cluster.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        cluster.set_mood(1, Mood::Refusing(ErrorCode::Overloaded));
    };
    let (answer, ()) = tokio::join!(cluster.ask(LONG), overload);
    // The first attempt may have seen either mood; after an `Unavailable` the `Overloaded` is no last word.
    let attempts = cluster.asked().len();
    match answer {
        Err(CallError::Unknown { .. }) => assert!(attempts > 1),
        Err(CallError::Refused(refusal)) => assert_eq!((refusal.code, attempts), (ErrorCode::Overloaded, 1)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn many_waiting_requests_make_one_survey_at_a_time() {
    let cluster = Cluster::start();
    cluster.elect(0, 1);
    let waiting = futures::future::join_all((0..64).map(|_| cluster.ask(LONG)));
    let election = async {
        tokio::task::yield_now().await;
        cluster.elect(1, 2);
    };
    let (answers, ()) = tokio::join!(waiting, election);
    assert!(answers.into_iter().all(|answer| answer == Ok(1)));
    let statuses = cluster.statuses.load(Ordering::Relaxed);
    assert!(statuses < 64, "{statuses} statuses for 64 requests");
}

#[tokio::test]
async fn a_replica_of_another_group_or_seat_is_not_taken_for_ours() {
    let cluster = Cluster::start();
    let mut swapped = cluster.group.replicas();
    let (one, two) = (swapped[&Ordinal(1)].clone(), swapped[&Ordinal(2)].clone());
    swapped.insert(Ordinal(1), two);
    swapped.insert(Ordinal(2), one);
    let confused = Group::new("order", fixed(swapped), Caller::new(None));
    let survey = confused.survey(Duration::from_secs(5)).await;
    assert_eq!(survey.values().filter(|answer| answer.is_ok()).count(), 1, "{survey:?}");
    let foreign = Group::new("catalog", fixed(cluster.group.replicas()), Caller::new(None));
    assert!(foreign.survey(Duration::from_secs(5)).await.values().all(Result::is_err));
}
