//! `toystore load` against a real server, honest and lying: what the process ends with is the verdict.

// The module is shared with the shoppers' tests, which use the rest of it.
#[allow(dead_code)]
mod toy;

use std::collections::BTreeMap;

use client::loadtest::{Config, run, settings};
use service::lifecycle::ExitCode;
use service::settings::{Values, command};
use tokio_util::sync::CancellationToken;
use toy::{Lie, Toy};

/// Orders for half a second; what it ends with.
async fn verdict(lie: Option<Lie>, threshold: &str) -> ExitCode {
    let toy = Toy::open(&[("Tux", 1_000_000)], lie).await;
    let (settings, store) = (settings(), format!("--targets={}", toy.address));
    let args = ["load", &store, "--rate=100", "--seconds=1", "--warm-up-seconds=0", "--p=1", "--thresholds", threshold];
    let matches = command("load", "loads", &settings).try_get_matches_from(args).unwrap();
    let mut values = Values::read(&settings, &matches, &BTreeMap::new());
    let config = Config::read(&mut values);
    let report = run(values.finish(config).unwrap(), CancellationToken::new()).await.unwrap();
    assert!(report.reckoning.is_some(), "{report}");
    report.exit_code()
}

#[tokio::test]
async fn a_store_that_keeps_its_word_and_every_threshold() {
    assert_eq!(verdict(None, "errors<1%").await, ExitCode::Ok);
}

#[tokio::test]
async fn a_missed_threshold_is_told_from_a_broken_word() {
    assert_eq!(verdict(None, "p50<0.001ms").await, ExitCode::Missed);
    for lie in [Lie::Lost, Lie::OneNumber] {
        assert_eq!(verdict(Some(lie), "p50<0.001ms").await, ExitCode::Software, "{lie:?}");
    }
}
