//! Shoppers against a real server: a correct one, one with faults, and one with bugs.

mod fake_store;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use api::Quantity;
use client::{Config, Mismatch, RequestSummary, RunError, RunType, ShoppingSummary, run};
use fake_store::{Bug, FakeStore, RequestFault};
use service::lifecycle::{ExitCode, ExitError};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use workload::{RequestKind, RetryPolicy, StoreClientError};

const TOYS: &[(&str, u64)] = &[("Magic 8-Ball?", 1_000_000), ("Tux", 1_000_000), ("Whale", 1_000_000)];

/// One shopper who orders in each of `sessions` sessions, and does not wait between attempts.
fn buyer(store: &FakeStore, folder: &TempDir, sessions: u32) -> Config {
    Config {
        front: store.address.clone(),
        shoppers: 1,
        sessions,
        order_probability: 1.0,
        run_type: RunType::SessionCheck,
        quantity_max: Quantity::ONE,
        orders_file: folder.path().join("new/orders.csv"),
        summary_file: None,
        seed: Some(1),
        retry_policy: RetryPolicy { retry_delay: Duration::from_millis(1), ..RetryPolicy::default() },
        time_limit: None,
        think_time: Duration::ZERO,
        show_progress: false,
    }
}

async fn shop(config: Config) -> ShoppingSummary {
    run(config, CancellationToken::new()).await.unwrap()
}

fn requests(summary: &ShoppingSummary, kind: RequestKind) -> RequestSummary {
    *summary.requests.iter().find(|request| request.kind == kind).unwrap()
}

/// The lines of the file, without the header.
fn recorded(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let (head, lines) = text.split_once('\n').unwrap();
    assert_eq!(head, "number,name,quantity,order_id");
    lines.lines().map(str::to_owned).collect()
}

/// The lines that should be in the file.
fn sold(store: &FakeStore) -> BTreeSet<String> {
    let line = |(id, order): &(api::OrderId, api::public::Order)| {
        format!("{},{},{},{id}", order.number, order.name, order.quantity)
    };
    store.records().orders.iter().map(line).collect()
}

#[tokio::test]
async fn a_correct_store_passes() {
    let (store, folder) = (FakeStore::open(TOYS, None).await, TempDir::new().unwrap());
    let summary_file = folder.path().join("also new/summary.json");
    let config = Config {
        shoppers: 4,
        order_probability: 0.5,
        quantity_max: Quantity::new(3).unwrap(),
        summary_file: Some(summary_file.clone()),
        ..buyer(&store, &folder, 25)
    };
    let summary = shop(config.clone()).await;

    assert_eq!(summary.exit_code(), ExitCode::Ok, "{summary}");
    let placed = store.records().orders.len() as u64;
    assert!((1..100).contains(&placed), "{placed}");
    assert_eq!((summary.acknowledged, summary.verification.as_ref().unwrap().matching), (placed, placed));
    assert_eq!(requests(&summary, RequestKind::Query).answered, 100);
    assert_eq!(requests(&summary, RequestKind::Order).answered, placed);
    assert_eq!(requests(&summary, RequestKind::Check).answered, placed);
    assert_eq!(requests(&summary, RequestKind::Repeat).answered, 4);
    assert_eq!(recorded(&config.orders_file), sold(&store));
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(summary_file).unwrap()).unwrap();
    assert_eq!(json["acknowledged"], placed);
}

#[tokio::test]
async fn each_shopper_has_one_session_over_one_connection() {
    let (store, folder) = (FakeStore::open(TOYS, None).await, TempDir::new().unwrap());
    let summary = shop(Config { shoppers: 3, ..buyer(&store, &folder, 10) }).await;
    assert!(summary.is_flawless(), "{summary}");
    let seen = store.records().sessions.clone();
    let sessions: BTreeSet<_> = seen.iter().map(|(session, _)| session).collect();
    // Three shoppers, and the client that listed the products.
    assert_eq!((seen.len(), sessions.len()), (4, 4), "{seen:?}");
}

#[tokio::test]
async fn temporary_failures_are_retried() {
    let (store, folder) = (FakeStore::open(TOYS, None).await, TempDir::new().unwrap());
    store.faults("POST /orders", &[RequestFault::Unavailable, RequestFault::BadGateway]);
    let summary = shop(buyer(&store, &folder, 5)).await;
    assert!(summary.is_flawless(), "{summary}");
    let orders = requests(&summary, RequestKind::Order);
    assert_eq!((orders.answered, orders.retries, orders.failed), (5, 2, 0));
}

#[tokio::test]
async fn an_order_whose_response_was_lost_is_not_placed_twice() {
    let (store, folder) = (FakeStore::open(TOYS, None).await, TempDir::new().unwrap());
    store.faults("POST /orders", &[RequestFault::HangUp, RequestFault::Silence]);
    let mut config = buyer(&store, &folder, 5);
    config.retry_policy.request_timeout = Duration::from_millis(500);
    // Two are used up by the faults; a machine that stalls takes more.
    config.retry_policy.tries = 10;
    let summary = shop(config.clone()).await;
    assert!(summary.is_flawless(), "{summary}");
    assert!(requests(&summary, RequestKind::Order).retries >= 2, "{summary}");
    assert_eq!((summary.acknowledged, store.records().orders.len()), (5, 5));
    assert_eq!(recorded(&config.orders_file), sold(&store));
}

#[tokio::test]
async fn a_request_that_fails_three_times_is_a_failure() {
    let (store, folder) = (FakeStore::open(TOYS, None).await, TempDir::new().unwrap());
    store.faults("POST /orders", &[RequestFault::Unavailable; 3]);
    let summary = shop(buyer(&store, &folder, 5)).await;
    assert_eq!(summary.exit_code(), ExitCode::Failure);
    let orders = requests(&summary, RequestKind::Order);
    assert_eq!((orders.answered, orders.retries, orders.failed), (4, 2, 1));
    assert_eq!((summary.sessions_done, summary.mismatches()), (5, 0));
    assert_eq!(summary.failures.listed, ["order: status 503: unavailable: no quorum"]);
}

#[tokio::test]
async fn a_shopper_leaves_a_dead_store_but_its_orders_are_checked() {
    let (store, folder) = (FakeStore::open(TOYS, None).await, TempDir::new().unwrap());
    store.faults("POST /orders", &[RequestFault::Unavailable; 2]);
    store.faults("GET /products/", &[RequestFault::Unavailable; 9]);
    let summary = shop(buyer(&store, &folder, 100)).await;
    assert_eq!((summary.sessions_done, summary.failures.total, summary.acknowledged), (4, 3, 1), "{summary}");
    assert_eq!(summary.verification.as_ref().unwrap().matching, 1);
    assert_eq!(summary.exit_code(), ExitCode::Failure);
}

#[tokio::test]
async fn an_order_that_could_not_be_sent_again_is_not_checked() {
    let (store, folder) = (FakeStore::open(TOYS, None).await, TempDir::new().unwrap());
    // The order is served, and its repetition is not.
    store.faults("POST /orders", &[RequestFault::Nothing]);
    store.faults("POST /orders", &[RequestFault::Unavailable; 3]);
    let summary = shop(buyer(&store, &folder, 1)).await;
    let verification = summary.verification.as_ref().unwrap();
    assert_eq!((verification.matching, verification.unrepeated), (1, 1), "{summary}");
    assert_eq!(summary.exit_code(), ExitCode::Unverified, "{summary}");
    assert!(summary.to_string().contains("NOT CHECKED: 1 shoppers could not send their last order again"), "{summary}");
}

#[tokio::test]
async fn a_store_that_is_killed_half_way_is_not_checked() {
    let (store, folder) = (FakeStore::open(TOYS, None).await, TempDir::new().unwrap());
    let mut config = buyer(&store, &folder, 1_000_000);
    config.summary_file = Some(folder.path().join("summary.json"));
    let running = tokio::spawn(run(config.clone(), CancellationToken::new()));
    store.has_served(20).await;
    drop(store);
    let summary = running.await.unwrap().unwrap();
    assert_eq!(summary.exit_code(), ExitCode::Unverified, "{summary}");
    let text = summary.to_string();
    let line = format!("NOT CHECKED: 0 of {0} acknowledged orders could be read at the end\n", summary.acknowledged);
    assert!(text.contains(&line) && text.contains("NOT ALL CHECKED: "), "{text}");
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(config.summary_file.unwrap()).unwrap()).unwrap();
    assert_eq!((&json["result"], json["not_checked"].as_array().unwrap().len()), (&"not_checked".into(), 2), "{json}");
}

#[tokio::test]
async fn a_faster_buyer_is_not_a_failure() {
    let (store, folder) = (FakeStore::open(&[("Tux", 3)], Some(Bug::Stock)).await, TempDir::new().unwrap());
    let summary = shop(buyer(&store, &folder, 10)).await;
    assert!(summary.is_flawless(), "{summary}");
    assert_eq!((summary.acknowledged, summary.sold_out), (3, 7));
    assert_eq!(requests(&summary, RequestKind::Order).answered, 10);
}

#[tokio::test]
async fn sold_out_products_are_not_ordered() {
    let (store, folder) = (FakeStore::open(&[("Tux", 3)], None).await, TempDir::new().unwrap());
    let summary = shop(buyer(&store, &folder, 10)).await;
    assert!(summary.is_flawless(), "{summary}");
    assert_eq!((summary.acknowledged, summary.sold_out), (3, 0));
    assert_eq!(requests(&summary, RequestKind::Order).answered, 3);
}

#[tokio::test]
async fn every_bug_in_orders_is_found() {
    for bug in [Bug::Quantity, Bug::Lost, Bug::OneNumber, Bug::NotIdempotent] {
        let (store, folder) = (FakeStore::open(&[("Tux", 100)], Some(bug)).await, TempDir::new().unwrap());
        let summary = shop(buyer(&store, &folder, 3)).await;
        assert_eq!(summary.exit_code(), ExitCode::Software, "{bug:?}: {summary}");
        assert_eq!(summary.failures.total, 0, "{bug:?}: {summary}");
        let verification = summary.verification.as_ref().unwrap();
        let found = verification.mismatches.listed.as_slice();
        match bug {
            Bug::Quantity => assert!(matches!(found, [Mismatch::Different { .. }, _, _]), "{found:?}"),
            Bug::Lost => assert!(matches!(found, [Mismatch::Lost(_), _, _]), "{found:?}"),
            Bug::NotIdempotent => assert!(matches!(found, [Mismatch::NotIdempotent { .. }]), "{found:?}"),
            _ => assert_eq!(summary.duplicate_numbers.total, 2, "{summary}"),
        }
    }
}

#[tokio::test]
async fn responses_must_match_the_request_and_return_the_session_id() {
    let (store, folder) = (FakeStore::open(&[("Tux", 100)], Some(Bug::Name)).await, TempDir::new().unwrap());
    let summary = shop(buyer(&store, &folder, 1)).await;
    let expected = "query: invalid response: requested product Tux, received Other";
    assert_eq!(summary.failures.listed, [expected]);

    let store = FakeStore::open(TOYS, Some(Bug::Session)).await;
    let error = run(buyer(&store, &folder, 1), CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, RunError::NotOpen { last: StoreClientError::InvalidResponse(_), .. }), "{error}");
}

#[tokio::test]
async fn a_query_run_orders_nothing_and_does_not_touch_the_file() {
    let (store, folder) = (FakeStore::open(TOYS, None).await, TempDir::new().unwrap());
    let config = Config { run_type: RunType::Query, ..buyer(&store, &folder, 10) };
    let summary = shop(config.clone()).await;
    assert!(summary.is_flawless(), "{summary}");
    assert_eq!(requests(&summary, RequestKind::Query).answered, 10);
    assert!(store.records().orders.is_empty() && !config.orders_file.exists());
}

#[tokio::test]
async fn the_same_seed_reads_the_same_products_under_different_keys() {
    let folder = TempDir::new().unwrap();
    let mut runs = Vec::new();
    for _ in 0..2 {
        let store = FakeStore::open(TOYS, None).await;
        assert!(shop(buyer(&store, &folder, 30)).await.is_flawless());
        let records = store.records();
        runs.push((records.queries.clone(), records.keys.keys().copied().collect::<BTreeSet<_>>()));
    }
    assert_eq!(runs[0].0, runs[1].0);
    assert!(runs[0].1.is_disjoint(&runs[1].1));
}

#[tokio::test]
async fn shoppers_wait_for_a_store_that_starts_late_but_not_for_a_dead_one() {
    let (store, folder) = (FakeStore::open(TOYS, None).await, TempDir::new().unwrap());
    store.faults("GET /products", &[RequestFault::Unavailable, RequestFault::HangUp]);
    let mut config = buyer(&store, &folder, 1);
    assert!(shop(config.clone()).await.is_flawless());

    // Bound, but not listening: the port stays reserved, and connections are refused.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    config.front = api::Address::new("127.0.0.1", closed.local_addr().unwrap().port());
    config.retry_policy.startup_timeout = Duration::ZERO;
    let recorded_before = recorded(&config.orders_file);
    let error = run(config.clone(), CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, RunError::NotOpen { last: StoreClientError::Unreachable(_), .. }), "{error}");
    assert_eq!(ExitError::from(error).code, ExitCode::Failure);
    assert_eq!(recorded(&config.orders_file), recorded_before, "the orders of the last run are not overwritten");
}

#[tokio::test]
async fn an_empty_store_and_a_file_that_cannot_be_created_are_errors() {
    let (store, folder) = (FakeStore::open(&[], None).await, TempDir::new().unwrap());
    let error = run(buyer(&store, &folder, 1), CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, RunError::NothingForSale(_)), "{error}");

    let store = FakeStore::open(TOYS, None).await;
    let config = Config { orders_file: folder.path().to_owned(), ..buyer(&store, &folder, 1) };
    let error = run(config, CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().starts_with(&folder.path().display().to_string()), "{error}");
    assert_eq!(ExitError::from(error).code, ExitCode::Io);
}

#[tokio::test]
async fn a_stopped_run_reports_how_far_it_came() {
    let (store, folder) = (FakeStore::open(TOYS, None).await, TempDir::new().unwrap());
    let config = Config { shoppers: 2, ..buyer(&store, &folder, 1_000_000) };
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(config.clone(), stop.clone()));
    store.has_placed(3).await;
    stop.cancel();
    let summary = running.await.unwrap().unwrap();

    assert!(summary.acknowledged >= 3 && summary.sessions_done < summary.sessions_planned, "{summary}");
    assert_eq!(summary.verification.as_ref().unwrap().unverified, summary.acknowledged);
    assert_eq!(summary.exit_code(), ExitCode::Unverified);
    assert_eq!(recorded(&config.orders_file), sold(&store));
}

#[tokio::test]
async fn orders_that_cannot_be_read_are_not_checked() {
    let (store, folder) = (FakeStore::open(TOYS, None).await, TempDir::new().unwrap());
    // Three tries for three orders; then the shopper gives up.
    store.faults("GET /orders/", &[RequestFault::Unavailable; 9]);
    let summary = shop(buyer(&store, &folder, 5)).await;
    assert_eq!(
        (summary.acknowledged, summary.verification.as_ref().unwrap().unverified, summary.mismatches()),
        (5, 5, 0),
        "{summary}"
    );
    assert_eq!(summary.exit_code(), ExitCode::Unverified, "{summary}");
    assert!(summary.to_string().contains("NOT CHECKED: 0 of 5 acknowledged orders could be read"), "{summary}");
}

#[tokio::test]
async fn a_stopped_run_does_not_wait_for_the_next_attempt() {
    let (store, folder) = (FakeStore::open(TOYS, None).await, TempDir::new().unwrap());
    store.faults("POST /orders", &[RequestFault::Unavailable]);
    let mut config = buyer(&store, &folder, 5);
    config.retry_policy.retry_delay = Duration::from_hours(1);
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(config, stop.clone()));
    store.has_failed(1).await;
    stop.cancel();
    let summary = tokio::time::timeout(Duration::from_mins(1), running).await.unwrap().unwrap().unwrap();
    assert_eq!((summary.sessions_done, summary.failures.total, summary.acknowledged), (1, 1, 0), "{summary}");
    assert_eq!(summary.exit_code(), ExitCode::Failure);
}

#[tokio::test]
async fn shoppers_stop_at_the_time_limit() {
    // A machine that is busy with other tests may stall for the whole of a short time limit.
    for limit in [200, 2000, 20_000].map(Duration::from_millis) {
        let (store, folder) = (FakeStore::open(TOYS, None).await, TempDir::new().unwrap());
        let summary = shop(Config { time_limit: Some(limit), ..buyer(&store, &folder, 1_000_000) }).await;
        assert!(summary.sessions_done < 1_000_000, "{summary}");
        assert!(summary.shopping >= limit && summary.is_flawless(), "{summary}");
        if summary.sessions_done > 0 {
            return;
        }
    }
    panic!("no session was run");
}

#[tokio::test]
async fn a_summary_that_cannot_be_written_is_still_returned() {
    let (store, folder) = (FakeStore::open(TOYS, None).await, TempDir::new().unwrap());
    let config = Config { summary_file: Some(folder.path().to_owned()), ..buyer(&store, &folder, 3) };
    let summary = shop(config).await;
    assert_eq!((summary.sessions_done, summary.exit_code()), (3, ExitCode::Io), "{summary}");
    assert!(summary.to_string().contains("NOT WRITTEN: "), "{summary}");
}
