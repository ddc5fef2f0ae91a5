//! `toystore load` against a real server: a correct one, one with bugs, and one that is killed. The
//! exit code is the verdict.

use std::collections::BTreeMap;
use std::path::Path;

use client::loadtest::{Config, LoadReport, run, settings};
use service::lifecycle::ExitCode;
use service::settings::{Values, command};
use test_support::{Bug, FakeStore};
use tokio_util::sync::CancellationToken;

/// One second of orders, at 100 per second, unless `more` says otherwise.
fn config(store: &FakeStore, more: &[&str]) -> Config {
    let (settings, store) = (settings(), format!("--targets={}", store.address));
    let args = ["load", &store, "--rate=100", "--seconds=1", "--warm-up-seconds=0"];
    let matches = command("load", "Loads a store", &settings).try_get_matches_from([&args, more].concat()).unwrap();
    let mut values = Values::read(&settings, &matches, &BTreeMap::from([("P", "1")]));
    let config = Config::read(&mut values);
    values.finish(config).unwrap()
}

/// The exit code of a load test against a store with or without a bug.
async fn verdict(bug: Option<Bug>, threshold: &str) -> ExitCode {
    let store = FakeStore::open(&[("Tux", 1_000_000)], bug).await;
    let config = config(&store, &["--thresholds", threshold]);
    let report = run(config, CancellationToken::new()).await.unwrap();
    assert!(report.verification.is_some(), "{report}");
    report.exit_code()
}

#[tokio::test]
async fn a_store_that_keeps_its_promises_and_every_threshold() {
    assert_eq!(verdict(None, "errors<1%").await, ExitCode::Ok);
}

#[tokio::test]
async fn a_missed_threshold_and_a_broken_promise_have_different_exit_codes() {
    assert_eq!(verdict(None, "p50<0.001ms").await, ExitCode::Missed);
    for bug in [Bug::Lost, Bug::OneNumber] {
        assert_eq!(verdict(Some(bug), "p50<0.001ms").await, ExitCode::Software, "{bug:?}");
    }
}

/// The report of a load test whose store is killed half-way.
async fn killed_half_way(more: &[&str]) -> LoadReport {
    let store = FakeStore::open(&[("Tux", 1_000_000)], None).await;
    let config = config(&store, &[&["--check-seconds=0"], more].concat());
    let kill = async move {
        store.has_served(20).await;
        drop(store);
    };
    let (report, ()) = tokio::join!(run(config, CancellationToken::new()), kill);
    report.unwrap()
}

#[tokio::test]
async fn orders_that_could_not_be_checked_do_not_pass() {
    // A threshold that is also missed does not hide it.
    for more in [&[][..], &["--thresholds", "errors<0.1%"]] {
        let report = killed_half_way(more).await;
        let verification = report.verification.as_ref().unwrap();
        assert!(verification.verdict.counts.acknowledged > 0 && verification.unread > 0, "{report}");
        assert_eq!(report.exit_code(), ExitCode::Unverified, "{report}");
        let text = report.to_string();
        assert!(text.contains("acknowledged orders could be read back\n"), "{text}");
        assert!(report.longest_ack_gap_ms.unwrap() > 0, "{text}");
        assert!(text.contains("The longest time without an acknowledged order was "), "{text}");
    }
}

/// Without orders to read back, or without the check, the store must still answer at the end.
#[tokio::test]
async fn a_store_that_is_gone_at_the_end_does_not_pass() {
    for more in ["--p=0", "--no-check"] {
        let report = killed_half_way(&[more]).await;
        assert_eq!(report.exit_code(), ExitCode::Unverified, "{more}: {report}");
        let text = report.to_string();
        assert!(text.contains("NOT CHECKED: the store at 127.0.0.1:"), "{more}: {text}");
    }
}

#[tokio::test]
async fn a_stock_that_could_not_be_compared_does_not_pass() {
    let report = killed_half_way(&["--sole-buyer"]).await;
    let stock = report.verification.as_ref().unwrap().stock.as_ref().unwrap();
    assert!(stock.unknown.is_some(), "{report}");
    assert!(report.to_string().contains("stock: NOT CHECKED"), "{report}");
}

#[tokio::test]
async fn a_report_that_cannot_be_written_is_still_returned() {
    let dir = tempfile::tempdir().unwrap();
    let occupied = dir.path().join("report.json");
    for (bug, code) in [(None, ExitCode::Io), (Some(Bug::Lost), ExitCode::Software)] {
        // A directory stands where a file should be.
        std::fs::create_dir_all(&occupied).unwrap();
        let store = FakeStore::open(&[("Tux", 1_000_000)], bug).await;
        let report = run(reporting(&store, dir.path()), CancellationToken::new()).await.unwrap();
        assert_eq!(report.exit_code(), code, "{report}");
        let text = report.to_string();
        assert!(text.contains("steady") || text.contains("order"), "{text}");
        assert!(text.contains("could not be written") && text.contains("report.json"), "{text}");
    }
    std::fs::remove_dir(&occupied).unwrap();
    let store = FakeStore::open(&[("Tux", 1_000_000)], None).await;
    let report = run(reporting(&store, dir.path()), CancellationToken::new()).await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Ok, "{report}");
    assert!(
        ["report.html", "report.json", "seconds.csv", "latency.hlog"].iter().all(|it| dir.path().join(it).is_file())
    );
}

fn reporting(store: &FakeStore, dir: &Path) -> Config {
    config(store, &["--report-dir", dir.to_str().unwrap()])
}
