use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use api::public::NewOrder;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::*;
use crate::Latency;

async fn store(routes: Router) -> Address {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, routes).await });
    Address::new("127.0.0.1", address.port())
}

fn stage(pace: Pace, ms: u64) -> Stage {
    Stage { name: "steady".into(), pace, length: Duration::from_millis(ms), counted: true }
}

/// In which nothing is due: what is begun late has time until its end, for which nobody waits. (A visit that is not begun when the load is over
/// is dropped, and a machine that is busy with other tests is late with any.)
fn time_for_late_visits() -> Stage {
    Stage { counted: false, ..stage(Pace::steady(0.0), 60_000) }
}

fn plan(target: Address, stages: &[Stage]) -> Plan {
    let products = vec![ProductName::new("Magic 8-Ball").unwrap()];
    let plan = Plan::of_requests(target, products, 0.5, stages.to_vec());
    Plan { connections: 4, answer_timeout: Duration::from_secs(20), seed: 1, ..plan }
}

async fn load(plan: &Plan) -> Loaded {
    run(plan, &CancellationToken::new(), |_| {}).await.unwrap()
}

const UNPACED: Pace = Pace::Closed { shoppers: 4 };

/// Puts on loads of so many milliseconds until enough came of one to be looked at: a machine that is busy with other tests may stand still for all
/// of a short one.
async fn tried(is_enough: impl AsyncFn(u64) -> bool) {
    for ms in [300, 3000, 30_000] {
        if is_enough(ms).await {
            return;
        }
    }
    panic!("too little came of half a minute");
}

#[tokio::test]
async fn what_came_is_told_apart() {
    let full = || ready((StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], "full"));
    let routes = Router::new().route("/products/{name}", get(|| ready("here"))).route("/orders", post(full));
    let store = store(routes).await;
    tried(async |ms| {
        let outcome = load(&plan(store.clone(), &[stage(UNPACED, ms)])).await.counted();
        assert_eq!(outcome.orders.told_when, outcome.orders.refused.count());
        assert_eq!(outcome.queries.done.count() + outcome.orders.refused.count(), outcome.sent());
        outcome.queries.done.count() > 0 && outcome.orders.refused.count() > 0
    })
    .await;
}

#[tokio::test]
async fn in_an_open_loop_the_wait_for_a_connection_counts() {
    // Each answer takes 50 ms, so that four connections do 80 per second; 1000 per second are due.
    let slow = async || tokio::time::sleep(Duration::from_millis(50)).await;
    let routes = Router::new().route("/products/{name}", get(slow)).route("/orders", post(slow));
    let store = store(routes).await;
    tried(async |ms| {
        let outcome = load(&plan(store.clone(), &[stage(Pace::steady(1000.0), ms)])).await.counted();
        let sent = outcome.sent();
        assert!(outcome.unsent > sent && sent + outcome.unsent == ms, "{outcome:?}");
        if sent <= 4 {
            return false; // Each went over a connection that was free.
        }
        let longest = |latency: fn(&Latencies) -> Latency| Kind::ALL.map(|kind| latency(&outcome.of(kind).done).max_us);
        assert!(longest(Latencies::since_due) > longest(Latencies::since_sent), "{outcome:?}");
        true
    })
    .await;
}

/// Stops for 300 ms once per [`PERIOD`]. (Long enough that no busy machine looks like it.)
async fn stalling() -> Address {
    let begin = Instant::now();
    let answer = move || async move {
        let into = Duration::from_nanos(u64::try_from(begin.elapsed().as_nanos() % PERIOD.as_nanos()).unwrap());
        if into >= WORKING {
            tokio::time::sleep(PERIOD.saturating_sub(into)).await;
        }
        "here"
    };
    store(Router::new().route("/products/{name}", get(answer))).await
}

const PERIOD: Duration = Duration::from_secs(1);
const WORKING: Duration = Duration::from_millis(700);

/// One in three visits of an open loop comes during a stall, and one in ten waits for two thirds of it.
fn tells_of_the_stall(latency: &hdrhistogram::Histogram<u64>) -> bool {
    [0.99, 0.999].iter().all(|quantile| latency.value_at_quantile(*quantile) >= 200_000)
}

#[tokio::test]
async fn an_open_loop_reports_a_stall_that_a_closed_loop_hides() {
    let plan = |target, pace| Plan {
        connections: 1,
        visit: Visit::OneRequest { order_share: 0.0 },
        ..plan(target, &[stage(pace, 3000)])
    };
    let mut hidden = (Latency::default(), Latency::default());
    for _ in 0..3 {
        let (open, closed) =
            (plan(stalling().await, Pace::steady(200.0)), plan(stalling().await, Pace::Closed { shoppers: 1 }));
        let (open, closed) = tokio::join!(load(&open), load(&closed));
        let (open, closed) = (open.counted().queries.waited, closed.counted().queries.waited);
        assert!(tells_of_the_stall(open.histogram()), "{:?}", open.since_due());
        // The same store, the same question: who waits for the answer before asking again, or forgets the wait for a connection, sees
        // three slow answers among hundreds or thousands. Where the machine itself stands still now and then, it sees more: then once more.
        if !tells_of_the_stall(open.histogram_since_sent()) && !tells_of_the_stall(closed.histogram()) {
            return;
        }
        hidden = (open.since_sent(), closed.since_due());
    }
    panic!("the stall is not hidden: {hidden:?}");
}

#[tokio::test]
async fn stages_follow_each_other_and_the_warm_up_does_not_count() {
    let routes = Router::new().route("/products/{name}", get(|| ready("here")));
    let store = store(routes).await;
    tried(async |ms| {
        let warm_up = Stage { counted: false, ..stage(Pace::steady(100.0), 200) };
        let ramp = stage(Pace::Open { from_per_s: 0.0, to_per_s: 200.0 }, 500);
        let plan = Plan {
            visit: Visit::LookThenBuy { purchase_probability: 0.0 },
            ..plan(store.clone(), &[warm_up, ramp, stage(UNPACED, ms), time_for_late_visits()])
        };
        let mut seconds = Vec::new();
        let loaded = run(&plan, &CancellationToken::new(), |second| seconds.push(second.clone())).await.unwrap();
        let sent: Vec<_> = loaded.stages.iter().map(|(_, outcome)| outcome.sent()).collect();
        assert_eq!((&sent[..2], sent[3], loaded.counted().sent()), (&[20, 50][..], 0, 50 + sent[2]));
        assert_eq!(loaded.counted().measured, Duration::from_millis(500 + ms));
        let shown: u64 = seconds.iter().map(|second| second.outcome.sent()).sum();
        assert_eq!(shown, sent.iter().sum::<u64>(), "every request is in some second");
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
    let plan = Plan {
        keep_alive: false,
        visit: Visit::OneRequest { order_share: 0.0 },
        ..plan(store(routes).await, &[stage(Pace::steady(100.0), 200), time_for_late_visits()])
    };
    let outcome = load(&plan).await.counted();
    assert_eq!((outcome.queries.done.count(), outcome.queries.failed()), (20, 0), "{outcome:?}");
}

#[tokio::test]
async fn nobody_is_there() {
    // Bound, but not listening: the port is ours, and connections are refused.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = Address::new("127.0.0.1", closed.local_addr().unwrap().port());
    let plan = plan(address, &[stage(UNPACED, 300)]);
    assert!(run(&plan, &CancellationToken::new(), |_| {}).await.is_err());
}

#[tokio::test]
async fn a_load_that_is_stopped_ends() {
    let routes = Router::new().route("/products/{name}", get(|| ready("here"))).route("/orders", post(|| ready("x")));
    let plan = plan(store(routes).await, &[stage(Pace::steady(10.0), 3_600_000), stage(UNPACED, 3_600_000)]);
    let stop = CancellationToken::new();
    let until_some_are_sent = |second: &Second| {
        if second.outcome.sent() > 0 {
            stop.cancel();
        }
    };
    let running = tokio::time::timeout(Duration::from_mins(1), run(&plan, &stop, until_some_are_sent));
    let outcome = running.await.expect("it ends").unwrap().counted();
    // One per 100 ms, the first at the begin: sent, or due and not sent when it was stopped.
    let due = u64::try_from(outcome.measured.as_millis() / 100 + 1).unwrap();
    assert!(outcome.sent() > 0 && outcome.sent() + outcome.unsent == due, "{outcome:?}");
}

/// A store in memory, with a fault.
#[derive(Default)]
struct Shelf {
    placed: Mutex<BTreeMap<String, u64>>,
    asked: AtomicU64,
}

/// `answer` decides on the answer to an order from its number and how many were asked for before.
async fn shelf(answer: fn(u64, u64) -> Result<u64, StatusCode>, sold_for_free: u64) -> Address {
    let shelf = Arc::new(Shelf::default());
    let (orders, reads, all) = (Arc::clone(&shelf), Arc::clone(&shelf), shelf);
    let place = move |headers: HeaderMap, Json(_): Json<NewOrder>| async move {
        let key = headers["idempotency-key"].to_str().unwrap().to_owned();
        let asked = orders.asked.fetch_add(1, Ordering::Relaxed);
        let mut placed = orders.placed.lock().unwrap();
        let next = placed.len() as u64 + 1;
        let number = *placed.entry(key).or_insert(next);
        answer(number, asked).map(|number| Json(json!({"data": {"order_number": number}})))
    };
    let read = move |Path(number): Path<u64>| async move {
        let order = json!({"data": {"number": number, "name": "Magic 8-Ball", "quantity": 1}});
        let nothing = json!({"error": {"code": "no_such_order", "message": "no"}});
        let found = reads.placed.lock().unwrap().len() as u64 >= number;
        if found { (StatusCode::OK, Json(order)) } else { (StatusCode::NOT_FOUND, Json(nothing)) }
    };
    let products = move |headers: HeaderMap| async move {
        let stock = 1_000_000 - all.placed.lock().unwrap().len() as u64 - sold_for_free;
        let answer = json!({"data": [{"name": "Magic 8-Ball", "price": 1.0, "quantity": stock}]});
        ([("session-id", headers["session-id"].clone())], Json::<Value>(answer))
    };
    let routes = Router::new().route("/orders", post(place)).route("/orders/{number}", get(read));
    store(routes.route("/products", get(products))).await
}

async fn reckoned(target: Address) -> reckoning::Reckoning {
    let plan = Plan {
        visit: Visit::OneRequest { order_share: 1.0 },
        ..plan(target, &[stage(Pace::steady(200.0), 200), time_for_late_visits()])
    };
    let before =
        serde_json::from_value(json!([{"name": "Magic 8-Ball", "price": 1.0, "quantity": 1_000_000}])).unwrap();
    let loaded = load(&plan).await;
    reckoning::reckon(&plan, loaded, Some((before, None)), &CancellationToken::new()).await
}

#[tokio::test]
async fn an_honest_store_keeps_its_word_although_answers_were_lost() {
    // Every fifth first answer is lost on the way; the order is placed.
    let reckoning = reckoned(
        shelf(|number, asked| if asked % 5 == 0 && asked < 40 { Err(StatusCode::BAD_GATEWAY) } else { Ok(number) }, 0)
            .await,
    )
    .await;
    assert!(!reckoning.is_broken() && reckoning.is_complete(), "{reckoning}");
    assert_eq!((reckoning.repeated, reckoning.read, reckoning.verdict.counts.acknowledged), (8, 40, 40), "{reckoning}");
    assert!(reckoning.to_string().ends_with("1 products, 40 pieces sold, 0 restocked: it adds up"), "{reckoning}");
}

#[tokio::test]
async fn a_number_that_is_given_twice_or_leads_nowhere_is_seen() {
    let twice = reckoned(shelf(|number, _| Ok(number.min(39)), 0).await).await;
    assert!(twice.verdict.counts.duplicated > 0 && twice.is_broken(), "{twice}");
    let nowhere = reckoned(shelf(|number, _| Ok(number + 1), 0).await).await;
    assert!(nowhere.verdict.counts.lost > 0 && nowhere.is_broken(), "{nowhere}");
}
