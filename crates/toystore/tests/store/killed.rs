//! Programs that check a store, and a store that is killed from outside half-way. None of them may
//! pass, none may say that the store broke a promise, and each says what it could not check.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};
use toystore::local::StoreMember;

use crate::harness::{BINARY, TIMEOUT, TestStore, awaited, eventually};

/// Starts `toystore` with these arguments.
fn start(directory: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(BINARY);
    command.args(arguments).current_dir(directory).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for the end of a program that could not check everything, and returns its output.
async fn not_checked(program: Child) -> String {
    let output = tokio::time::timeout(2 * TIMEOUT, program.wait_with_output()).await.expect("it ends").unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{text}\n{errors}");
    assert!(text.contains("NOT CHECKED: ") && errors.contains("NOT ALL CHECKED: "), "{text}\n{errors}");
    text
}

fn pid(program: &Child) -> Pid {
    Pid::from_raw(program.id().unwrap().cast_signed()).unwrap()
}

/// The processes that `parent` has started, with the names of their subcommands.
fn children(parent: Pid) -> Vec<(Pid, String)> {
    let child = |entry: fs::DirEntry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // After the name, in parentheses: the state, and the id of the parent.
        let (_, fields) = stat.rsplit_once(')')?;
        let its_parent: i32 = fields.split_whitespace().nth(1)?.parse().ok()?;
        let arguments = fs::read_to_string(entry.path().join("cmdline")).ok()?;
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let name = arguments.split('\0').nth(1)?.to_owned();
        (its_parent == parent.as_raw_nonzero().get()).then_some((pid, name))
    };
    fs::read_dir("/proc").unwrap().filter_map(|entry| child(entry.unwrap())).collect()
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

#[tokio::test]
async fn shoppers_and_a_load_test_say_what_they_could_not_check() {
    let mut store = TestStore::start().await;
    let directory = tempfile::tempdir().unwrap();
    let address = store.store.layout().public(1).to_string();
    let (_, port) = address.rsplit_once(':').unwrap();
    let load = ["load", "--targets", &address, "--p=0", "--seconds=3600", "--check-seconds=0"];
    let load = start(directory.path(), &load);
    let reads = async || {
        let metrics = store.internal_text(StoreMember::Frontend(1), "/metrics").await;
        let hits = metrics.lines().find_map(|line| line.strip_prefix("toystore_cache_hits_total "));
        hits.is_some_and(|hits| hits.parse::<f64>().unwrap() > 20.0)
    };
    eventually("the load test reads", reads).await;
    let client = ["client", "--front-port", port, "--n-threads=1", "--n-repeats=1000000", "--p=0.1", "--tries=1"];
    let client = start(directory.path(), &client);
    let orders = directory.path().join("data/client_orders.csv");
    eventually("the shopper orders", async || lines(&orders) > 3).await;

    for process in store.store.processes() {
        process.kill().await.unwrap();
    }
    let text = not_checked(client).await;
    assert!(text.contains("acknowledged orders could be read back\n"), "{text}");
    kill_process(pid(&load), Signal::TERM).unwrap();
    let text = not_checked(load).await;
    assert!(text.contains(&format!("NOT CHECKED: the store at {address} does not list its products")), "{text}");
}

#[tokio::test]
async fn a_drill_without_its_catalog_ends_early_and_checks_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let drill = ["drill", "--faults=kill-follower", "--rounds=1000", "--data-dir=data", "--json=report.json"];
    let drill = start(directory.path(), &drill);
    let log = directory.path().join("data/drill.log");
    let one_is_healed = async || fs::read_to_string(&log).is_ok_and(|text| text.contains("| healed"));
    eventually("a fault is healed", one_is_healed).await;
    let catalogs = async || children(pid(&drill)).into_iter().find(|(_, name)| name == "catalog");
    let (catalog, _) = awaited("the drill has a catalog", catalogs).await;
    kill_process(catalog, Signal::KILL).unwrap();
    let text = not_checked(drill).await;
    assert!(text.contains("catalog has exited (signal: 9 (SIGKILL))") && !text.contains("BROKEN"), "{text}");
    let report: Value = serde_json::from_slice(&fs::read(directory.path().join("report.json")).unwrap()).unwrap();
    assert_eq!((&report["result"], &report["ledgers_identical"]), (&"not_checked".into(), &true.into()), "{report}");
    // Everything was started again: only the faults that were left out are not checked.
    assert_eq!(report["not_checked"].as_array().unwrap().len(), 1, "{report}");
}

/// The ledger of the first replica of the experiment's first store.
fn ledger(directory: &Path) -> Option<PathBuf> {
    let experiment = fs::read_dir(directory).ok()?.next()?.ok()?;
    Some(experiment.path().join("store/log1.csv"))
}

#[tokio::test]
async fn an_experiment_whose_store_dies_reports_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let size = ["--quick", "--repetitions=1", "--seconds=20", "--rounds=1"];
    let experiment = [&["experiment", "--data-dir=data", "--report-dir=report"], &size[..]].concat();
    let experiment = start(directory.path(), &experiment);
    let data = directory.path().join("data");
    eventually("it shops", async || ledger(&data).is_some_and(|ledger| lines(&ledger) > 10)).await;
    for (process, _) in children(pid(&experiment)) {
        kill_process(process, Signal::KILL).unwrap();
    }
    let text = not_checked(experiment).await;
    assert!(text.contains("of 14 latency measurements were made") && !text.contains("BROKEN"), "{text}");
    let report = fs::read_to_string(directory.path().join("report/report.md")).unwrap();
    assert!(report.contains("**NOT CHECKED: the store: the ledgers: "), "{report}");
    // The kills have a store of their own.
    assert_eq!(lines(&directory.path().join("report/kills.csv")), 1 + 2);
}
