//! Calls to the leader of a group whose replicas refuse, hang, and change roles.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::replica::{ReplicaStatus, Replicas, Role};
use api::{Address, ApiError, ErrorCode, LogPosition, NodeId, Ordinal, Term};
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use discovery::{Group, Leader, static_replicas};
use prometheus::Registry;
use prometheus::proto::MetricFamily;
use service::http::{ClientMetrics, ErrorResponse, HandlerResult, Limits, Listener, data, serve};
use service::json_client::{CallError, JsonClient};
use service::lifecycle::Task;
use tokio::sync::watch;
use tokio::time::Instant;

/// How a replica handles a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behavior {
    /// The leader answers, the others name the leader.
    Healthy,
    /// Accepts requests and status polls, and answers neither.
    Paused,
    /// Refuses requests, and still reports its status.
    Refusing(ErrorCode),
    /// Names this replica as the leader.
    Pointing(u8),
}

/// Three replicas, which of them leads, and how each behaves.
struct Cluster {
    group: Group,
    behaviors: watch::Sender<BTreeMap<u8, Behavior>>,
    leader: Arc<Mutex<(u8, u64)>>,
    asked: Arc<Mutex<Vec<u8>>>,
    requests: Registry,
    served: BTreeMap<u8, Task>,
}

#[derive(Clone)]
struct Replica {
    ordinal: u8,
    behaviors: watch::Sender<BTreeMap<u8, Behavior>>,
    leader: Arc<Mutex<(u8, u64)>>,
    asked: Arc<Mutex<Vec<u8>>>,
}

impl Cluster {
    /// Replica 1 leads in term 1, and all replicas are healthy.
    fn start() -> Self {
        let behaviors = watch::Sender::new(BTreeMap::from([1, 2, 3].map(|ordinal| (ordinal, Behavior::Healthy))));
        let (leader, asked) = (Arc::new(Mutex::new((1, 1))), Arc::default());
        let (mut addresses, mut served) = (Replicas::new(), BTreeMap::new());
        for ordinal in 1..=3 {
            let replica = Replica {
                ordinal,
                behaviors: behaviors.clone(),
                leader: Arc::clone(&leader),
                asked: Arc::clone(&asked),
            };
            let routes = Router::new().route("/status", get(status)).route("/ask", post(ask)).with_state(replica);
            let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
            addresses.insert(Ordinal(ordinal), Address::new("127.0.0.1", listener.address().port()));
            served.insert(ordinal, serve(listener, routes, Limits::default()));
        }
        let requests = Registry::new();
        let client = JsonClient::new(None).measured(&ClientMetrics::new(&requests), "order");
        let group = Group::new("order", static_replicas(addresses), client);
        Self { group, behaviors, leader, asked, requests, served }
    }

    fn set_behavior(&self, ordinal: u8, behavior: Behavior) {
        self.behaviors.send_modify(|behaviors| {
            behaviors.insert(ordinal, behavior);
        });
    }

    fn elect(&self, ordinal: u8, term: u64) {
        *self.leader.lock().unwrap() = (ordinal, term);
    }

    /// Returns when the server is gone: a server that stops still answers for a while.
    async fn kill(&mut self, ordinal: u8) {
        self.served.remove(&ordinal).expect("it was alive").stop().await;
    }

    fn asked(&self) -> Vec<u8> {
        self.asked.lock().unwrap().clone()
    }

    /// How many statuses the group has requested.
    fn status_requests(&self) -> u64 {
        let families = self.requests.gather();
        let requests = families.iter().flat_map(MetricFamily::get_metric);
        let statuses = requests.filter(|one| one.get_label().iter().any(|label| label.value() == "/status"));
        statuses.map(|one| one.get_histogram().get_sample_count()).sum()
    }

    async fn ask(&self, within: Duration) -> Result<u8, CallError> {
        let request =
            async |client: JsonClient, leader: Address| client.post(&leader, "/ask", &(), ATTEMPT_TIMEOUT).await;
        self.group.call_leader(Instant::now() + within, request).await
    }
}

/// Longer than anything here takes, however busy the machine is.
const LONG: Duration = Duration::from_mins(1);

/// Longer than any test, so that a request to a paused replica ends only if it is abandoned.
const ATTEMPT_TIMEOUT: Duration = Duration::from_hours(1);

async fn status(State(replica): State<Replica>) -> HandlerResult<ReplicaStatus> {
    replica.unpaused().await;
    let (leader, term) = *replica.leader.lock().unwrap();
    let id = |ordinal| NodeId::new(Ordinal(ordinal), 1);
    let position = Some(LogPosition { term: Term(term), index: 1 });
    data(ReplicaStatus {
        role: if leader == replica.ordinal { Role::Leader } else { Role::Follower },
        term: Term(term),
        last_log: position,
        committed: position,
        applied: position,
        leader: Some(id(leader)),
        voters: vec![id(1), id(2), id(3)],
        ..ReplicaStatus::empty("order", id(replica.ordinal))
    })
}

async fn ask(State(replica): State<Replica>) -> HandlerResult<u8> {
    replica.asked.lock().unwrap().push(replica.ordinal);
    let behavior = replica.unpaused().await;
    let (leader, _) = *replica.leader.lock().unwrap();
    match behavior {
        Behavior::Refusing(code) => Err(ErrorResponse::new(code, "the test wants it")),
        Behavior::Pointing(ordinal) => Err(ApiError::not_leader(Some(Ordinal(ordinal))).into()),
        Behavior::Healthy | Behavior::Paused if leader == replica.ordinal => data(replica.ordinal),
        Behavior::Healthy | Behavior::Paused => Err(ApiError::not_leader(Some(Ordinal(leader))).into()),
    }
}

impl Replica {
    async fn unpaused(&self) -> Behavior {
        let mut behaviors = self.behaviors.subscribe();
        let behaviors = behaviors
            .wait_for(|behaviors| behaviors[&self.ordinal] != Behavior::Paused)
            .await
            .expect("the cluster lives");
        behaviors[&self.ordinal]
    }
}

#[tokio::test]
async fn the_leader_is_found_and_remembered() {
    let cluster = Cluster::start();
    assert_eq!(cluster.ask(LONG).await, Ok(1));
    assert_eq!(cluster.ask(LONG).await, Ok(1));
    assert_eq!(cluster.group.current_leader(), Some(Leader { ordinal: Ordinal(1), term: Term(1) }));
    assert_eq!(cluster.asked(), [1, 1], "no other replica was called");
}

#[tokio::test]
async fn a_hint_is_followed_immediately() {
    let cluster = Cluster::start();
    assert_eq!(cluster.ask(LONG).await, Ok(1));
    cluster.elect(3, 2);
    assert_eq!(cluster.ask(LONG).await, Ok(3));
    assert_eq!(cluster.asked(), [1, 1, 3]);
    assert_eq!(cluster.ask(LONG).await, Ok(3));
    assert_eq!(cluster.group.current_leader(), Some(Leader { ordinal: Ordinal(3), term: Term(2) }));
}

#[tokio::test]
async fn replicas_that_name_each_other_are_called_with_pauses() {
    let cluster = Cluster::start();
    cluster.set_behavior(1, Behavior::Pointing(2));
    cluster.set_behavior(2, Behavior::Pointing(1));
    assert!(cluster.ask(Duration::from_millis(300)).await.is_err());
    assert!(cluster.asked().len() < 50, "{} times in 0.3 s", cluster.asked().len());
}

#[tokio::test]
async fn a_dead_leader_is_replaced_by_the_elected_one() {
    let mut cluster = Cluster::start();
    assert_eq!(cluster.ask(LONG).await, Ok(1));
    cluster.kill(1).await;
    let mut suspicions = cluster.group.suspicions();
    let asking = cluster.ask(LONG);
    let election = async {
        suspicions.changed().await.expect("the group lives");
        cluster.elect(2, 2);
    };
    let (answer, ()) = tokio::join!(asking, election);
    assert_eq!(answer, Ok(2));
}

#[tokio::test]
async fn a_request_to_a_paused_leader_is_abandoned_for_the_next_leader() {
    let cluster = Cluster::start();
    assert_eq!(cluster.ask(LONG).await, Ok(1));
    cluster.set_behavior(1, Behavior::Paused);
    let election = async {
        while cluster.asked().len() < 2 {
            tokio::task::yield_now().await;
        }
        cluster.elect(2, 2);
        cluster.group.set_leader(Leader { ordinal: Ordinal(2), term: Term(2) });
    };
    let (answer, ()) = tokio::join!(cluster.ask(LONG), election);
    assert_eq!(answer, Ok(2), "it does not wait for the timeout of the attempt");
}

#[tokio::test]
async fn some_refusals_are_final_and_others_are_retried() {
    for (code, is_final) in [
        (ErrorCode::OutOfStock, true),
        (ErrorCode::Overloaded, true),
        (ErrorCode::InsufficientStorage, true),
        (ErrorCode::Unauthorized, true),
        (ErrorCode::Unavailable, false),
        (ErrorCode::NotLeader, false),
    ] {
        let cluster = Cluster::start();
        cluster.set_behavior(1, Behavior::Refusing(code));
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
async fn the_error_says_whether_the_request_may_have_been_carried_out() {
    let within = Duration::from_millis(400);

    let cluster = Cluster::start();
    for ordinal in 1..=3 {
        cluster.set_behavior(ordinal, Behavior::Refusing(ErrorCode::NotLeader));
    }
    let answer = loop {
        match cluster.ask(within).await {
            // The deadline passed during an attempt, whose outcome is therefore unknown.
            Err(CallError::Unknown { .. }) => {}
            answer => break answer,
        }
    };
    assert_eq!(answer.unwrap_err().code(), Some(ErrorCode::Unavailable), "every replica has refused it");

    let cluster = Cluster::start();
    // Now the leader is known, so the next call reaches it within its short time.
    assert_eq!(cluster.ask(LONG).await, Ok(1));
    cluster.set_behavior(1, Behavior::Refusing(ErrorCode::Unavailable));
    assert!(matches!(cluster.ask(within).await, Err(CallError::Unknown { .. })), "the leader may have begun it");

    let cluster = Cluster::start();
    assert_eq!(cluster.ask(LONG).await, Ok(1));
    cluster.set_behavior(1, Behavior::Paused);
    assert!(matches!(cluster.ask(within).await, Err(CallError::Unknown { .. })), "no answer");
}

#[tokio::test]
async fn an_overload_after_an_unknown_outcome_does_not_make_it_known() {
    let cluster = Cluster::start();
    cluster.set_behavior(1, Behavior::Refusing(ErrorCode::Unavailable));
    let overload = async {
        while cluster.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        cluster.set_behavior(1, Behavior::Refusing(ErrorCode::Overloaded));
    };
    let (answer, ()) = tokio::join!(cluster.ask(LONG), overload);
    // The first attempt may have met either behavior. After an `Unavailable`, the outcome stays
    // unknown.
    let attempts = cluster.asked().len();
    match answer {
        Err(CallError::Unknown { .. }) => assert!(attempts > 1),
        Err(CallError::Refused(refusal)) => assert_eq!((refusal.code, attempts), (ErrorCode::Overloaded, 1)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn many_waiting_requests_share_one_status_poll_at_a_time() {
    /// A poll without a result is followed by a pause of at least this long.
    const PAUSE: Duration = Duration::from_millis(80);
    let cluster = Cluster::start();
    cluster.elect(0, 1);
    let begun = Instant::now();
    let waiting = futures::future::join_all((0..64).map(|_| cluster.ask(LONG)));
    let election = async {
        tokio::task::yield_now().await;
        cluster.elect(1, 2);
    };
    let (answers, ()) = tokio::join!(waiting, election);
    assert!(answers.into_iter().all(|answer| answer == Ok(1)));
    // A request may be sent several times, but it is counted once.
    let polls = cluster.status_requests() / 3;
    let polls_max = 1 + begun.elapsed().as_millis() / PAUSE.as_millis();
    assert!(u128::from(polls) <= polls_max, "{polls} polls for 64 requests, not {polls_max} at most");
}

#[tokio::test]
async fn a_replica_with_another_group_or_ordinal_is_rejected() {
    let cluster = Cluster::start();
    let mut swapped = cluster.group.replicas();
    let (one, two) = (swapped[&Ordinal(1)].clone(), swapped[&Ordinal(2)].clone());
    swapped.insert(Ordinal(1), two);
    swapped.insert(Ordinal(2), one);
    let confused = Group::new("order", static_replicas(swapped), JsonClient::new(None));
    let poll = confused.poll_statuses(Duration::from_secs(5)).await;
    assert_eq!(poll.values().filter(|answer| answer.is_ok()).count(), 1, "{poll:?}");
    let foreign = Group::new("catalog", static_replicas(cluster.group.replicas()), JsonClient::new(None));
    assert!(foreign.poll_statuses(Duration::from_secs(5)).await.values().all(Result::is_err));
}
