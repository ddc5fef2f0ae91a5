//! Shoppers against a real server, honest, faulty and lying.

mod toy;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use api::Quantity;
use client::{Config, Mismatch, Patience, RequestKind, RequestSummary, RunError, RunType, StoreError, Summary, run};
use service::lifecycle::ExitCode;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use toy::{Fault, Lie, Toy};

const TOYS: &[(&str, u64)] = &[("Magic 8-Ball?", 1_000_000), ("Tux", 1_000_000), ("Whale", 1_000_000)];

/// One shopper who orders in each of `sessions` sessions, and does not wait between tries.
fn buyer(toy: &Toy, folder: &TempDir, sessions: u32) -> Config {
    Config {
        front: toy.address.clone(),
        shoppers: 1,
        sessions,
        order_probability: 1.0,
        run_type: RunType::SessionCheck,
        quantity_max: Quantity::ONE,
        orders_file: folder.path().join("new/orders.csv"),
        summary_file: None,
        seed: Some(1),
        patience: Patience { pause: Duration::from_millis(1), ..Patience::default() },
        time_limit: None,
        is_shown: false,
    }
}

async fn shop(config: Config) -> Summary {
    run(config, CancellationToken::new()).await.unwrap()
}

fn requests(summary: &Summary, kind: RequestKind) -> RequestSummary {
    *summary.requests.iter().find(|request| request.kind == kind).unwrap()
}

/// The file's lines, without the head line.
fn recorded(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let (head, lines) = text.split_once('\n').unwrap();
    assert_eq!(head, "number,name,quantity,order_id");
    lines.lines().map(str::to_owned).collect()
}

/// What should be in the file.
fn sold(toy: &Toy) -> BTreeSet<String> {
    let line = |(id, order): &(api::OrderId, api::public::Order)| {
        format!("{},{},{},{id}", order.number, order.name, order.quantity)
    };
    toy.books().orders.iter().map(line).collect()
}

#[tokio::test]
async fn an_honest_store_is_found_honest() {
    let (toy, folder) = (Toy::open(TOYS, None).await, TempDir::new().unwrap());
    let summary_file = folder.path().join("also new/summary.json");
    let config = Config {
        shoppers: 4,
        order_probability: 0.5,
        quantity_max: Quantity::new(3).unwrap(),
        summary_file: Some(summary_file.clone()),
        ..buyer(&toy, &folder, 25)
    };
    let summary = shop(config.clone()).await;

    assert_eq!(summary.exit_code(), ExitCode::Ok, "{summary}");
    let placed = toy.books().orders.len() as u64;
    assert!((1..100).contains(&placed), "{placed}");
    assert_eq!((summary.acknowledged, summary.checked.as_ref().unwrap().matching), (placed, placed));
    assert_eq!(requests(&summary, RequestKind::Query).answered, 100);
    assert_eq!(requests(&summary, RequestKind::Order).answered, placed);
    assert_eq!(requests(&summary, RequestKind::Check).answered, placed);
    assert_eq!(requests(&summary, RequestKind::Repeat).answered, 4);
    assert_eq!(recorded(&config.orders_file), sold(&toy));
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(summary_file).unwrap()).unwrap();
    assert_eq!(json["acknowledged"], placed);
}

#[tokio::test]
async fn each_shopper_has_one_session_over_one_connection() {
    let (toy, folder) = (Toy::open(TOYS, None).await, TempDir::new().unwrap());
    let summary = shop(Config { shoppers: 3, ..buyer(&toy, &folder, 10) }).await;
    assert!(summary.is_flawless(), "{summary}");
    let seen = toy.books().sessions.clone();
    let sessions: BTreeSet<_> = seen.iter().map(|(session, _)| session).collect();
    // Three shoppers, and the one that learned what is for sale.
    assert_eq!((seen.len(), sessions.len()), (4, 4), "{seen:?}");
}

#[tokio::test]
async fn a_failure_that_passes_is_overcome() {
    let (toy, folder) = (Toy::open(TOYS, None).await, TempDir::new().unwrap());
    toy.faults("POST /orders", &[Fault::Unavailable, Fault::BadGateway]);
    let summary = shop(buyer(&toy, &folder, 5)).await;
    assert!(summary.is_flawless(), "{summary}");
    let orders = requests(&summary, RequestKind::Order);
    assert_eq!((orders.answered, orders.retries, orders.failed), (5, 2, 0));
}

#[tokio::test]
async fn an_order_whose_answer_was_lost_is_not_placed_twice() {
    let (toy, folder) = (Toy::open(TOYS, None).await, TempDir::new().unwrap());
    toy.faults("POST /orders", &[Fault::HangUp, Fault::Silence]);
    let mut config = buyer(&toy, &folder, 5);
    config.patience.answer_timeout = Duration::from_millis(500);
    let summary = shop(config.clone()).await;
    assert!(summary.is_flawless(), "{summary}");
    assert!(requests(&summary, RequestKind::Order).retries >= 2, "{summary}");
    assert_eq!((summary.acknowledged, toy.books().orders.len()), (5, 5));
    assert_eq!(recorded(&config.orders_file), sold(&toy));
}

#[tokio::test]
async fn a_request_that_fails_three_times_is_a_failure() {
    let (toy, folder) = (Toy::open(TOYS, None).await, TempDir::new().unwrap());
    toy.faults("POST /orders", &[Fault::Unavailable; 3]);
    let summary = shop(buyer(&toy, &folder, 5)).await;
    assert_eq!(summary.exit_code(), ExitCode::Failure);
    let orders = requests(&summary, RequestKind::Order);
    assert_eq!((orders.answered, orders.retries, orders.failed), (4, 2, 1));
    assert_eq!((summary.sessions_done, summary.mismatches()), (5, 0));
    assert_eq!(summary.failures.listed, ["order: status 503: unavailable: no quorum"]);
}

#[tokio::test]
async fn a_shopper_leaves_a_dead_store_but_its_orders_are_checked() {
    let (toy, folder) = (Toy::open(TOYS, None).await, TempDir::new().unwrap());
    toy.faults("POST /orders", &[Fault::Unavailable; 2]);
    toy.faults("GET /products/", &[Fault::Unavailable; 9]);
    let summary = shop(buyer(&toy, &folder, 100)).await;
    assert_eq!((summary.sessions_done, summary.failures.total, summary.acknowledged), (4, 3, 1), "{summary}");
    assert_eq!(summary.checked.as_ref().unwrap().matching, 1);
    assert_eq!(summary.exit_code(), ExitCode::Failure);
}

#[tokio::test]
async fn a_faster_buyer_is_no_failure() {
    let (toy, folder) = (Toy::open(&[("Tux", 3)], Some(Lie::Stock)).await, TempDir::new().unwrap());
    let summary = shop(buyer(&toy, &folder, 10)).await;
    assert!(summary.is_flawless(), "{summary}");
    assert_eq!((summary.acknowledged, summary.sold_out), (3, 7));
    assert_eq!(requests(&summary, RequestKind::Order).answered, 10);
}

#[tokio::test]
async fn what_is_shown_as_sold_out_is_not_ordered() {
    let (toy, folder) = (Toy::open(&[("Tux", 3)], None).await, TempDir::new().unwrap());
    let summary = shop(buyer(&toy, &folder, 10)).await;
    assert!(summary.is_flawless(), "{summary}");
    assert_eq!((summary.acknowledged, summary.sold_out), (3, 0));
    assert_eq!(requests(&summary, RequestKind::Order).answered, 3);
}

#[tokio::test]
async fn every_lie_about_orders_is_found_out() {
    for lie in [Lie::Quantity, Lie::Lost, Lie::OneNumber, Lie::NotIdempotent] {
        let (toy, folder) = (Toy::open(&[("Tux", 100)], Some(lie)).await, TempDir::new().unwrap());
        let summary = shop(buyer(&toy, &folder, 3)).await;
        assert_eq!(summary.exit_code(), ExitCode::Failure, "{lie:?}: {summary}");
        assert_eq!(summary.failures.total, 0, "{lie:?}: {summary}");
        let checked = summary.checked.as_ref().unwrap();
        let found = checked.mismatches.listed.as_slice();
        match lie {
            Lie::Quantity => assert!(matches!(found, [Mismatch::Different { .. }, _, _]), "{found:?}"),
            Lie::Lost => assert!(matches!(found, [Mismatch::Lost(_), _, _]), "{found:?}"),
            Lie::NotIdempotent => assert!(matches!(found, [Mismatch::NotIdempotent { .. }]), "{found:?}"),
            _ => assert_eq!(summary.numbered_twice.total, 2, "{summary}"),
        }
    }
}

#[tokio::test]
async fn answers_must_be_about_the_question_and_carry_the_session() {
    let (toy, folder) = (Toy::open(&[("Tux", 100)], Some(Lie::Name)).await, TempDir::new().unwrap());
    let summary = shop(buyer(&toy, &folder, 1)).await;
    let expected = "query: the answer is not as it should be: asked for Tux, it shows Other";
    assert_eq!(summary.failures.listed, [expected]);

    let toy = Toy::open(TOYS, Some(Lie::Session)).await;
    let error = run(buyer(&toy, &folder, 1), CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, RunError::NotOpen { last: StoreError::Nonsense(_), .. }), "{error}");
}

#[tokio::test]
async fn queries_alone_order_nothing_and_leave_the_file_alone() {
    let (toy, folder) = (Toy::open(TOYS, None).await, TempDir::new().unwrap());
    let config = Config { run_type: RunType::Query, ..buyer(&toy, &folder, 10) };
    let summary = shop(config.clone()).await;
    assert!(summary.is_flawless(), "{summary}");
    assert_eq!(requests(&summary, RequestKind::Query).answered, 10);
    assert!(toy.books().orders.is_empty() && !config.orders_file.exists());
}

#[tokio::test]
async fn one_seed_asks_for_the_same_products_under_other_keys() {
    let folder = TempDir::new().unwrap();
    let mut runs = Vec::new();
    for _ in 0..2 {
        let toy = Toy::open(TOYS, None).await;
        assert!(shop(buyer(&toy, &folder, 30)).await.is_flawless());
        let books = toy.books();
        runs.push((books.queries.clone(), books.keys.keys().copied().collect::<BTreeSet<_>>()));
    }
    assert_eq!(runs[0].0, runs[1].0);
    assert!(runs[0].1.is_disjoint(&runs[1].1));
}

#[tokio::test]
async fn a_store_that_opens_late_is_waited_for_and_a_closed_one_is_not() {
    let (toy, folder) = (Toy::open(TOYS, None).await, TempDir::new().unwrap());
    toy.faults("GET /products", &[Fault::Unavailable, Fault::HangUp]);
    let mut config = buyer(&toy, &folder, 1);
    assert!(shop(config.clone()).await.is_flawless());

    // Bound, but not listening: the port is ours, and connections are refused.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    config.front = api::Address::new("127.0.0.1", closed.local_addr().unwrap().port());
    config.patience.opening = Duration::ZERO;
    let error = run(config, CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, RunError::NotOpen { last: StoreError::Unreachable(_), .. }), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Failure);
}

#[tokio::test]
async fn an_empty_store_and_a_file_that_cannot_be_made_are_told() {
    let (toy, folder) = (Toy::open(&[], None).await, TempDir::new().unwrap());
    let error = run(buyer(&toy, &folder, 1), CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, RunError::NothingForSale(_)), "{error}");

    let config = Config { orders_file: folder.path().to_owned(), ..buyer(&toy, &folder, 1) };
    let error = run(config, CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().starts_with(&folder.path().display().to_string()), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Io);
}

#[tokio::test]
async fn whoever_is_told_to_stop_says_how_far_it_came() {
    let (toy, folder) = (Toy::open(TOYS, None).await, TempDir::new().unwrap());
    let config = Config { shoppers: 2, ..buyer(&toy, &folder, 1_000_000) };
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(config.clone(), stop.clone()));
    toy.has_placed(3).await;
    stop.cancel();
    let summary = running.await.unwrap().unwrap();

    assert!(summary.acknowledged >= 3 && summary.sessions_done < summary.sessions_planned, "{summary}");
    assert_eq!(summary.checked.as_ref().unwrap().unverified, summary.acknowledged);
    assert_eq!(summary.exit_code(), ExitCode::Failure);
    assert_eq!(recorded(&config.orders_file), sold(&toy));
}

#[tokio::test]
async fn nobody_waits_for_the_next_try_once_told_to_stop() {
    let (toy, folder) = (Toy::open(TOYS, None).await, TempDir::new().unwrap());
    toy.faults("POST /orders", &[Fault::Unavailable]);
    let mut config = buyer(&toy, &folder, 5);
    config.patience.pause = Duration::from_hours(1);
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(config, stop.clone()));
    toy.has_misbehaved(1).await;
    stop.cancel();
    let summary = tokio::time::timeout(Duration::from_mins(1), running).await.unwrap().unwrap().unwrap();
    assert_eq!((summary.sessions_done, summary.failures.total, summary.acknowledged), (1, 1, 0), "{summary}");
    assert_eq!(summary.exit_code(), ExitCode::Failure);
}

#[tokio::test]
async fn shoppers_go_home_in_time() {
    // A machine that is busy with other tests may stand still for all of a short time.
    for limit in [200, 2000, 20_000].map(Duration::from_millis) {
        let (toy, folder) = (Toy::open(TOYS, None).await, TempDir::new().unwrap());
        let summary = shop(Config { time_limit: Some(limit), ..buyer(&toy, &folder, 1_000_000) }).await;
        assert!(summary.sessions_done < 1_000_000, "{summary}");
        assert!(summary.shopping >= limit && summary.is_flawless(), "{summary}");
        if summary.sessions_done > 0 {
            return;
        }
    }
    panic!("nobody has shopped");
}
