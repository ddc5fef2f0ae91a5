//! Runs a very small experiment with the real binary, and checks its output and its files.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use toystore::local::{LocalStore, PortBase, StoreLayout};

fn experiment(arguments: &[&str], report_dir: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toystore"));
    // Each measurement is longer than the delay of the first request on a busy machine.
    command.args(["experiment", "--quick", "--repetitions", "1", "--seconds", "2", "--rounds", "1", "--seed", "7"]);
    command.args(arguments).arg("--report-dir").arg(report_dir).output().unwrap()
}

fn read(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The lines of a CSV file as columns, without the header.
fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines().skip(1).map(|line| line.split(',').collect()).collect()
}

#[test]
fn a_new_store_is_measured_inspected_and_killed() {
    let directory = tempfile::tempdir().unwrap();
    let report_dir = directory.path().join("report");
    let document = directory.path().join("mine.md");
    std::fs::write(&document, "# Mine\n<!-- experiment: begin; what follows is written by `toystore experiment --document` -->\n<!-- experiment: end -->\n").unwrap();
    let output = experiment(&["--document", document.to_str().unwrap()], &report_dir);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("Every promise was kept"), "{text}");

    let page = read(&report_dir, "report.html");
    assert!(page.contains("<svg") && page.contains("0 differences") && !page.contains("verdict bad"), "{text}");
    let markdown = read(&report_dir, "report.md");
    for plot in ["query", "buy", "lookup", "sessions", "hits", "cache", "kill-follower", "kill-leader"] {
        assert!(markdown.contains(&format!("](plots/{plot}.svg)")), "{plot}: {markdown}");
        assert!(read(&report_dir, &format!("plots/{plot}.svg")).starts_with("<svg "), "{plot}");
        assert!(directory.path().join(format!("mine/{plot}.svg")).is_file(), "{plot}");
    }
    assert!(read(directory.path(), "mine.md").contains("## In short"));
    for timeline in ["kill-follower-1", "kill-leader-1"] {
        assert!(markdown.contains(&format!("](plots/{timeline}.svg)")), "{timeline}: {markdown}");
    }
    let timelines = read(&report_dir, "timelines.csv");
    let of_the_leader: Vec<_> = rows(&timelines).into_iter().filter(|row| row[1] == "kill-leader").collect();
    let kinds = ["leader_suspected", "election_started", "takes_orders", "batch_placed"];
    let mut at = 0;
    for kind in kinds {
        let found = of_the_leader.iter().skip(at).position(|row| row[4] == kind);
        at += found.unwrap_or_else(|| panic!("{kind} is not after line {at}: {timelines}")) + 1;
    }
    assert!(page.contains("drill injects kill-leader: ") && page.contains("<details>"), "{timelines}");

    let latency = read(&report_dir, "latency.csv");
    let combinations: BTreeSet<_> =
        rows(&latency).into_iter().map(|row| (row[1], row[2])).map(|(p, c)| format!("{p} {c}")).collect();
    assert_eq!(combinations.len(), 12, "{latency}");
    assert_eq!(rows(&read(&report_dir, "cache.csv")).len(), 1000);
    let kills = read(&report_dir, "kills.csv");
    let faults: Vec<_> = rows(&kills).into_iter().map(|row| row[1]).collect();
    assert_eq!(faults, ["kill-follower", "kill-leader"], "{kills}");
    assert!(rows(&kills).iter().all(|row| row[4].parse::<u64>().unwrap() > 0), "no gap: {kills}");
    assert_eq!(rows(&read(&report_dir, "acknowledged.csv")).len(), 2 * 100);
}

#[tokio::test]
async fn an_existing_store_is_only_used_as_a_client() {
    let directory = tempfile::tempdir().unwrap();
    let layout = StoreLayout::new(directory.path().join("store"), PortBase::ephemeral().unwrap());
    let mut store = LocalStore::new(layout, env!("CARGO_BIN_EXE_toystore"), std::sync::Arc::new(|_, _| {}));
    store.start_all().unwrap();
    store.ready(std::time::Duration::from_mins(1)).await.unwrap();
    let (target, report_dir) = (store.layout().public(1).to_string(), directory.path().join("report"));
    let pids: Vec<_> = store.processes().map(|process| process.pid()).collect();
    let dir = report_dir.clone();
    let output = tokio::task::spawn_blocking(move || experiment(&["--target", &target], &dir)).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let markdown = read(&report_dir, "report.md");
    for left_out in
        ["No process was killed", "The cache could not be inspected", "nothing was measured with the cache off"]
    {
        assert!(markdown.contains(left_out), "{left_out}: {markdown}");
    }
    let latency = read(&report_dir, "latency.csv");
    assert!(!rows(&latency).is_empty() && rows(&latency).iter().all(|row| row[2] == "cache on"), "{latency}");
    assert!(store.processes().all(|process| process.is_running() && pids.contains(&process.pid())));
    store.stop().await;
}
