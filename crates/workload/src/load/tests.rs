use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering};

use api::{Address, OrderId, OrderNumber, ProductName, Quantity};
use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use history::{ClientId, Moment, OrderCall, OrderOutcome};
use serde_json::json;
use test_support::{Bug, FakeStore, RequestFault};

use super::*;
use crate::attempt_log::AttemptLog;
use crate::clock::RunClock;
use crate::latency::Latency;
use crate::request::RequestKind;
use crate::stats::LatencyHistograms;
use crate::verification::Verification;

async fn store(routes: Router) -> Address {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, routes).await });
    Address::new("127.0.0.1", address.port())
}

fn stage(model: LoadModel, ms: u64) -> Stage {
    Stage { name: "steady".into(), model, length: Duration::from_millis(ms), counted: true }
}

/// A stage in which nothing is due. Late visits can be begun until its end, but the load does not
/// wait for its end. (A visit that has not begun when the load is over is dropped, and a machine
/// that is busy with other tests may begin any visit late.)
fn time_for_late_visits() -> Stage {
    Stage { counted: false, ..stage(LoadModel::constant(0.0), 60_000) }
}

fn plan(target: Address, stages: &[Stage]) -> LoadPlan {
    let products = vec![ProductName::new("Magic 8-Ball").unwrap()];
    let plan = LoadPlan::single_requests(target, products, 0.5, stages.to_vec());
    LoadPlan { connections: 4, request_timeout: Duration::from_secs(20), seed: 1, ..plan }
}

async fn load(plan: &LoadPlan) -> LoadResult {
    run(plan, &CancellationToken::new(), |_| {}).await.unwrap()
}

const CLOSED: LoadModel = LoadModel::Closed { shoppers: 4 };

/// Runs longer and longer loads, in milliseconds, until one has enough requests to be evaluated: a
/// machine that is busy with other tests may stall for the whole of a short load.
async fn with_enough_requests(is_enough: impl AsyncFn(u64) -> bool) {
    for ms in [300, 3000, 30_000] {
        if is_enough(ms).await {
            return;
        }
    }
    panic!("too few requests in half a minute");
}

#[tokio::test]
async fn outcomes_are_counted_separately() {
    let full = || ready((StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], "full"));
    let routes = Router::new().route("/products/{name}", get(|| ready("here"))).route("/orders", post(full));
    let store = store(routes).await;
    with_enough_requests(async |ms| {
        let stats = load(&plan(store.clone(), &[stage(CLOSED, ms)])).await.counted();
        assert_eq!(stats.of(RequestKind::Order).with_retry_after, stats.of(RequestKind::Order).refused.count());
        assert_eq!(
            stats.of(RequestKind::Query).done.count() + stats.of(RequestKind::Order).refused.count(),
            stats.sent()
        );
        stats.of(RequestKind::Query).done.count() > 0 && stats.of(RequestKind::Order).refused.count() > 0
    })
    .await;
}

#[tokio::test]
async fn in_an_open_loop_the_wait_for_a_connection_counts() {
    // Each response takes 50 ms, so four connections serve 80 per second; 1000 per second are due.
    let slow = async || tokio::time::sleep(Duration::from_millis(50)).await;
    let routes = Router::new().route("/products/{name}", get(slow)).route("/orders", post(slow));
    let store = store(routes).await;
    with_enough_requests(async |ms| {
        let stats = load(&plan(store.clone(), &[stage(LoadModel::constant(1000.0), ms)])).await.counted();
        let sent = stats.sent();
        assert!(stats.unsent > sent && sent + stats.unsent == ms, "{stats:?}");
        if sent <= 4 {
            return false; // Each request found a free connection.
        }
        let longest = |latency: fn(&LatencyHistograms) -> Latency| {
            RequestKind::OF_A_VISIT.map(|kind| latency(&stats.of(kind).done).max_us)
        };
        assert!(longest(LatencyHistograms::since_due) > longest(LatencyHistograms::since_sent), "{stats:?}");
        true
    })
    .await;
}

/// Longer than a busy machine stalls.
const STALL: Duration = Duration::from_secs(3);

/// A store that stalls for [`STALL`] once, at request number 200, and calls `done` at number 2000.
async fn stalling_once(done: CancellationToken) -> Address {
    let requests = Arc::new(AtomicU64::new(0));
    let answer = move || async move {
        match requests.fetch_add(1, Ordering::Relaxed) + 1 {
            200 => tokio::time::sleep(STALL).await,
            2000 => done.cancel(),
            _ => {}
        }
        "here"
    };
    store(Router::new().route("/products/{name}", get(answer))).await
}

/// Whether one request in a hundred waited for most of the stall.
fn shows_the_stall(latency: &hdrhistogram::Histogram<u64>) -> bool {
    latency.value_at_quantile(0.99) >= 2_000_000
}

/// The open loop sends 200 requests per second for 6 s: half of them are due during the stall, or
/// follow those. The closed loop sends as many requests as the store counts, however fast it is: a
/// single one of them is slow.
#[tokio::test]
async fn an_open_loop_reports_a_stall_that_a_closed_loop_hides() {
    let plan = |target, stage| LoadPlan {
        connections: 1,
        visit: Visit::OneRequest { order_share: 0.0 },
        ..plan(target, &[stage])
    };
    let done = CancellationToken::new();
    let (open, closed) = (
        plan(stalling_once(CancellationToken::new()).await, stage(LoadModel::constant(200.0), 6000)),
        plan(stalling_once(done.clone()).await, stage(LoadModel::Closed { shoppers: 1 }, 3_600_000)),
    );
    let (open, closed) = tokio::join!(load(&open), run(&closed, &done, |_| {}));
    let (open, closed) = (
        open.counted().of(RequestKind::Query).waited.clone(),
        closed.unwrap().counted().of(RequestKind::Query).waited.clone(),
    );
    assert!(shows_the_stall(open.histogram()), "{:?}", open.since_due());
    // An open loop without the wait for a connection hides it, too.
    assert!(!shows_the_stall(open.histogram_since_sent()), "{:?}", open.since_sent());
    assert!(!shows_the_stall(closed.histogram()), "{:?}", closed.since_due());
}

#[tokio::test]
async fn stages_follow_each_other_and_the_warm_up_does_not_count() {
    let routes = Router::new().route("/products/{name}", get(|| ready("here")));
    let store = store(routes).await;
    with_enough_requests(async |ms| {
        let warm_up = Stage { counted: false, ..stage(LoadModel::constant(100.0), 200) };
        let ramp = stage(LoadModel::Open { from_per_s: 0.0, to_per_s: 200.0 }, 500);
        let plan = LoadPlan {
            visit: Visit::ReadThenOrder { purchase_probability: 0.0 },
            ..plan(store.clone(), &[warm_up, ramp, stage(CLOSED, ms), time_for_late_visits()])
        };
        let mut intervals = Vec::new();
        let result = run(&plan, &CancellationToken::new(), |interval| intervals.push(interval.clone())).await.unwrap();
        let sent: Vec<_> = result.stages.iter().map(|(_, stats)| stats.sent()).collect();
        assert_eq!((&sent[..2], sent[3], result.counted().sent()), (&[20, 50][..], 0, 50 + sent[2]));
        assert_eq!(result.counted().measured, Duration::from_millis(500 + ms));
        let shown: u64 = intervals.iter().map(|interval| interval.stats.sent()).sum();
        assert_eq!(shown, sent.iter().sum::<u64>(), "every request is in some interval");
        sent[2] > 0
    })
    .await;
}

#[tokio::test]
async fn without_keep_alive_each_request_has_its_own_connection() {
    let routes = Router::new().route(
        "/products/{name}",
        get(|headers: HeaderMap| async move {
            assert_eq!(headers[header::CONNECTION], "close");
            "here"
        }),
    );
    let plan = LoadPlan {
        keep_alive: false,
        visit: Visit::OneRequest { order_share: 0.0 },
        ..plan(store(routes).await, &[stage(LoadModel::constant(100.0), 200), time_for_late_visits()])
    };
    let stats = load(&plan).await.counted();
    assert_eq!(
        (stats.of(RequestKind::Query).done.count(), stats.of(RequestKind::Query).failed()),
        (20, 0),
        "{stats:?}"
    );
}

#[tokio::test]
async fn a_load_without_a_store_is_an_error() {
    let (address, _reserved) = closed();
    let plan = plan(address, &[stage(CLOSED, 300)]);
    assert!(run(&plan, &CancellationToken::new(), |_| {}).await.is_err());
}

#[tokio::test]
async fn a_load_that_is_stopped_ends() {
    let routes = Router::new().route("/products/{name}", get(|| ready("here"))).route("/orders", post(|| ready("x")));
    let plan = plan(store(routes).await, &[stage(LoadModel::constant(10.0), 3_600_000), stage(CLOSED, 3_600_000)]);
    let stop = CancellationToken::new();
    let until_some_are_sent = |interval: &LoadInterval| {
        if interval.stats.sent() > 0 {
            stop.cancel();
        }
    };
    let running = tokio::time::timeout(Duration::from_mins(1), run(&plan, &stop, until_some_are_sent));
    let stats = running.await.expect("it ends").unwrap().counted();
    // One per 100 ms, the first at the start: sent, or due but not sent when the load was stopped.
    let due = u64::try_from(stats.measured.as_millis() / 100 + 1).unwrap();
    assert!(stats.sent() > 0 && stats.sent() + stats.unsent == due, "{stats:?}");
}

#[test]
fn the_longest_gap_between_acknowledgements_includes_the_start_and_the_end() {
    let gap_ms = |acknowledged_ms: &[u64], unanswered: usize| {
        let at = |ms| Moment(ms * 1_000_000);
        let call = |returned, outcome| OrderCall {
            client: ClientId(0),
            order_id: OrderId::random(),
            product: ProductName::new("Tux").unwrap(),
            quantity: Quantity::ONE,
            called: at(0),
            returned,
            outcome,
        };
        let acknowledged =
            acknowledged_ms.iter().map(|ms| call(Some(at(*ms)), OrderOutcome::Acknowledged(OrderNumber::FIRST)));
        let orders = acknowledged.chain((0..unanswered).map(|_| call(None, OrderOutcome::Unknown))).collect();
        let stats = LoadStats { measured: Duration::from_millis(50), ..LoadStats::default() };
        let stages = vec![(stage(CLOSED, 50), stats.clone()), (stage(CLOSED, 50), stats)];
        let log = Arc::new(AttemptLog::new(RunClock::start(), 0));
        LoadResult { stages, orders, log }.longest_ack_gap().map(|gap| gap.as_millis())
    };
    assert_eq!([gap_ms(&[10, 90, 50], 0), gap_ms(&[40, 60], 1), gap_ms(&[10, 20], 1)], [Some(40), Some(40), Some(80)]);
    assert_eq!([gap_ms(&[], 1), gap_ms(&[], 0)], [Some(100), None]);
}

/// An address that refuses connections, and the socket that reserves it.
fn closed() -> (Address, tokio::net::TcpSocket) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (Address::new("127.0.0.1", socket.local_addr().unwrap().port()), socket)
}

/// A load of 40 orders.
fn forty_orders(target: Address) -> LoadPlan {
    LoadPlan {
        visit: Visit::OneRequest { order_share: 1.0 },
        ..plan(target, &[stage(LoadModel::constant(200.0), 200), time_for_late_visits()])
    }
}

async fn toys(bug: Option<Bug>) -> FakeStore {
    FakeStore::open(&[("Magic 8-Ball", 1_000_000)], bug).await
}

async fn verified(store: &FakeStore) -> Verification {
    let plan = forty_orders(store.address.clone());
    let before =
        serde_json::from_value(json!([{"name": "Magic 8-Ball", "price": 1.0, "quantity": 1_000_000}])).unwrap();
    let result = load(&plan).await;
    verify(&plan, result, Some((before, None)), Duration::from_secs(30), &CancellationToken::new()).await
}

#[tokio::test]
async fn a_correct_store_passes_although_responses_were_lost() {
    let store = toys(None).await;
    // Every fifth first response is lost; the order is placed.
    for _ in 0..8 {
        store.faults("POST /orders", &[RequestFault::HangUp]);
        store.faults("POST /orders", &[RequestFault::Nothing; 4]);
    }
    let verification = verified(&store).await;
    assert_eq!(verification.checks().to_string(), "", "{verification}");
    assert_eq!(
        (verification.repeated, verification.read, verification.verdict.counts.acknowledged),
        (8, 40, 40),
        "{verification}"
    );
    assert!(
        verification.to_string().ends_with("1 products, 40 pieces sold, 0 restocked: it adds up"),
        "{verification}"
    );
}

#[tokio::test]
async fn duplicate_numbers_and_lost_orders_are_found() {
    let twice = verified(&toys(Some(Bug::OneNumber)).await).await;
    assert!(twice.verdict.counts.duplicated > 0 && twice.is_broken(), "{twice}");
    let nowhere = verified(&toys(Some(Bug::Lost)).await).await;
    assert!(nowhere.verdict.counts.lost > 0 && nowhere.is_broken(), "{nowhere}");
}

#[tokio::test]
async fn a_verification_uses_all_targets() {
    let store = toys(None).await;
    let mut plan = forty_orders(store.address.clone());
    let result = load(&plan).await;
    let (gone, _reserved) = closed();
    plan.targets.insert(0, gone);
    let timeout = Duration::from_secs(30);
    let verification = verify(&plan, result, None, timeout, &CancellationToken::new()).await;
    assert!(verification.checks().result() == report::CheckResult::Passed && verification.read == 40, "{verification}");
}

#[tokio::test]
async fn what_a_store_that_is_gone_has_promised_is_not_checked() {
    let store = toys(None).await;
    let mut plan = forty_orders(store.address.clone());
    let result = load(&plan).await;
    let (gone, _reserved) = closed();
    plan.targets = vec![gone];
    let verification = verify(&plan, result, None, Duration::ZERO, &CancellationToken::new()).await;
    assert_eq!((verification.read, verification.unread), (0, 40), "{verification}");
    assert_eq!(verification.checks().result(), report::CheckResult::NotChecked);
}
