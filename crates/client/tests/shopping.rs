//! Shoppers against a real server: a correct one, one with faults, and one with bugs.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use api::Quantity;
use client::{Config, RequestSummary, RunError, RunType, ShoppingSummary, run};
use history::Violation;
use service::lifecycle::{ExitCode, ExitError};
use tempfile::TempDir;
use test_support::{Bug, FakeStore, RequestFault};
use tokio_util::sync::CancellationToken;
use workload::verification::Verification;
use workload::{RequestKind, RetryPolicy, StoreClientError};

const TOYS: &[(&str, u64)] = &[("Magic 8-Ball?", 1_000_000), ("Tux", 1_000_000), ("Whale", 1_000_000)];

/// One shopper who orders in each of `sessions` sessions, and does not wait between attempts.
fn buyer(store: &FakeStore, folder: &TempDir, sessions: u32) -> Config {
    Config {
        front: store.address.clone(),
        shoppers: 1,
        sessions,
        order_probability: 1.0,
        orders_file: folder.path().join("new/orders.csv"),
        seed: Some(1),
        retry_policy: RetryPolicy { retry_delay: Duration::from_millis(1), ..RetryPolicy::default() },
        show_progress: false,
        ..Config::default()
    }
}

async fn shop(config: Config) -> ShoppingSummary {
    run(config, CancellationToken::new()).await.unwrap()
}

fn verification(summary: &ShoppingSummary) -> &Verification {
    summary.verification.as_ref().unwrap()
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
    assert_eq!((summary.acknowledged, verification(&summary).read), (placed, placed));
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
    assert_eq!((summary.sessions_done, summary.checks.to_string().as_str()), (5, ""));
    assert_eq!(summary.failures, ["order: status 503: unavailable: no quorum"]);
}

#[tokio::test]
async fn a_shopper_leaves_a_dead_store_but_its_orders_are_checked() {
    let (store, folder) = (FakeStore::open(TOYS, None).await, TempDir::new().unwrap());
    store.faults("POST /orders", &[RequestFault::Unavailable; 2]);
    store.faults("GET /products/", &[RequestFault::Unavailable; 9]);
    let summary = shop(buyer(&store, &folder, 100)).await;
    assert_eq!((summary.sessions_done, summary.failed(), summary.acknowledged), (4, 3, 1), "{summary}");
    assert_eq!(verification(&summary).read, 1);
    assert_eq!(summary.exit_code(), ExitCode::Failure);
}

#[tokio::test]
async fn an_order_that_could_not_be_sent_again_is_not_checked() {
    let (store, folder) = (FakeStore::open(TOYS, None).await, TempDir::new().unwrap());
    // The order is served, and its repetition is not.
    store.faults("POST /orders", &[RequestFault::Nothing]);
    store.faults("POST /orders", &[RequestFault::Unavailable; 3]);
    let summary = shop(buyer(&store, &folder, 1)).await;
    assert_eq!((verification(&summary).read, verification(&summary).unrepeated), (1, 1), "{summary}");
    assert_eq!(summary.exit_code(), ExitCode::Unverified, "{summary}");
    let line = "NOT CHECKED: whether 1 orders keep their numbers when they are sent again\n";
    assert!(summary.to_string().contains(line), "{summary}");
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
    let line = format!("NOT CHECKED: 0 of {0} acknowledged orders could be read back\n", summary.acknowledged);
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
        assert_eq!(summary.failed(), 0, "{bug:?}: {summary}");
        let found = verification(&summary).verdict.violations.as_slice();
        let is_found = |is_it: fn(&Violation) -> bool, times| found.iter().filter(|it| is_it(it)).count() == times;
        assert!(
            match bug {
                Bug::Quantity => is_found(|it| matches!(it, Violation::ReadDiffers { .. }), 3),
                Bug::Lost => is_found(|it| matches!(it, Violation::Vanished { .. }), 3),
                Bug::NotIdempotent => is_found(|it| matches!(it, Violation::TwoNumbers { .. }), 1),
                _ => is_found(|it| matches!(it, Violation::NumberShared { .. }), 2),
            },
            "{bug:?}: {found:?}"
        );
    }
}

#[tokio::test]
async fn responses_must_match_the_request_and_return_the_session_id() {
    let (store, folder) = (FakeStore::open(&[("Tux", 100)], Some(Bug::Name)).await, TempDir::new().unwrap());
    let summary = shop(buyer(&store, &folder, 1)).await;
    let expected = "query: invalid response: requested product Tux, received Other";
    assert_eq!(summary.failures, [expected]);

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
    assert_eq!(verification(&summary).unread, summary.acknowledged);
    assert_eq!(summary.exit_code(), ExitCode::Unverified);
    assert_eq!(recorded(&config.orders_file), sold(&store));
}

#[tokio::test]
async fn orders_that_cannot_be_read_are_not_checked() {
    let (store, folder) = (FakeStore::open(TOYS, None).await, TempDir::new().unwrap());
    // Three tries for three orders; then the shopper gives up.
    store.faults("GET /orders/", &[RequestFault::Unavailable; 9]);
    let summary = shop(buyer(&store, &folder, 5)).await;
    assert_eq!((summary.acknowledged, verification(&summary).unread), (5, 5), "{summary}");
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
    assert_eq!((summary.sessions_done, summary.failed(), summary.acknowledged), (1, 1, 0), "{summary}");
    assert_eq!(summary.exit_code(), ExitCode::Unverified, "whether the order was placed");
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

/// The exit code and the text of a run that only checks the orders of an earlier one.
async fn check(config: &Config) -> (ExitCode, String) {
    let summary = shop(Config { run_type: RunType::Check, shoppers: 2, ..config.clone() }).await;
    (summary.exit_code(), summary.to_string())
}

#[tokio::test]
async fn the_orders_of_an_earlier_run_are_checked() {
    let (store, folder) = (FakeStore::open(TOYS, None).await, TempDir::new().unwrap());
    let config = buyer(&store, &folder, 5);
    assert!(shop(config.clone()).await.is_flawless());
    let (held, placed) = (check(&config).await, store.records().orders.len());
    assert!(held.0 == ExitCode::Ok && held.1.ends_with("all orders match"), "{held:?}");
    assert_eq!((placed, recorded(&config.orders_file).len()), (5, 5), "nothing was ordered, and the file was kept");

    // Another store, without these orders; then none.
    let other = FakeStore::open(&[], None).await;
    let broken = check(&Config { front: other.address.clone(), ..config.clone() }).await;
    assert!(broken.0 == ExitCode::Software && broken.1.contains("BROKEN: I1: an acknowledged order"), "{broken:?}");
    drop((store, other));
    let mut gone = config.clone();
    gone.retry_policy.startup_timeout = Duration::ZERO;
    let gone = check(&gone).await;
    let line = "NOT CHECKED: 0 of 5 acknowledged orders could be read back\n";
    assert!(gone.0 == ExitCode::Unverified && gone.1.contains(line), "{gone:?}");

    let store = FakeStore::open(TOYS, None).await;
    std::fs::write(&config.orders_file, "number,name,quantity,order_id\n").unwrap();
    let config = Config { front: store.address.clone(), ..config };
    let empty = check(&config).await;
    assert!(empty.0 == ExitCode::Unverified && empty.1.contains("has no orders\n"), "{empty:?}");
    std::fs::write(&config.orders_file, "number,name\n1,Tux\n").unwrap();
    for file in [config.orders_file.clone(), folder.path().join("nowhere.csv")] {
        let config = Config { run_type: RunType::Check, orders_file: file, ..config.clone() };
        let error = run(config, CancellationToken::new()).await.unwrap_err();
        assert!(matches!(error, RunError::File { .. }), "{error}");
    }
}
