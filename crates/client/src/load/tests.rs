use std::future::ready;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::{get, post};

use super::*;
use crate::Latency;

async fn store(routes: Router) -> Address {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, routes).await });
    Address::new("127.0.0.1", address.port())
}

fn plan(target: Address, pace: Pace) -> Plan {
    Plan {
        target,
        connections: 4,
        pace,
        order_share: 0.5,
        products: vec![ProductName::new("Magic 8-Ball").unwrap()],
        warm_up: Duration::ZERO,
        measured: Duration::from_millis(300),
        answer_timeout: Duration::from_secs(20),
    }
}

#[tokio::test]
async fn what_came_is_told_apart() {
    let full = || ready((StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], "full"));
    let routes = Router::new().route("/products/{name}", get(|| ready("here"))).route("/orders", post(full));
    let plan = plan(store(routes).await, Pace::Unpaced);
    let outcome = run(&plan).await.unwrap();
    assert!(outcome.queries.done.count() > 0 && outcome.orders.refused.count() > 0, "{outcome:?}");
    assert_eq!(outcome.orders.told_when, outcome.orders.refused.count());
    assert_eq!(outcome.queries.done.count() + outcome.orders.refused.count(), outcome.sent());
}

#[tokio::test]
async fn in_an_open_loop_the_wait_for_a_connection_counts() {
    // Each answer takes 50 ms, so that four connections do 80 per second; 1000 per second are due.
    let slow = async || tokio::time::sleep(Duration::from_millis(50)).await;
    let routes = Router::new().route("/products/{name}", get(slow)).route("/orders", post(slow));
    let plan = plan(store(routes).await, Pace::PerSecond(1000.0));
    let outcome = run(&plan).await.unwrap();
    let sent = outcome.sent();
    assert!(sent > 0 && outcome.unsent > sent, "{outcome:?}");
    assert_eq!(outcome.queries.done.count() + outcome.orders.done.count(), sent);
    let longest = |latency: fn(&Latencies) -> Latency| Kind::ALL.map(|kind| latency(&outcome.of(kind).done).max_us);
    assert!(longest(Latencies::since_due) > longest(Latencies::since_sent), "{outcome:?}");
}

#[tokio::test]
async fn nobody_is_there() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::new("127.0.0.1", listener.local_addr().unwrap().port());
    drop(listener);
    assert!(run(&plan(address, Pace::Unpaced)).await.is_err());
}
