//! Runs a short drill with the real binary, and checks its report.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn drill(arguments: &[&str], json: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toystore"));
    command.arg("drill").args(arguments).arg("--json").arg(json).args(["--orders-per-s", "200"]);
    command.output().unwrap()
}

/// One round of the faults that take little time, of different kinds.
#[test]
fn one_short_round_keeps_every_promise() {
    let directory = tempfile::tempdir().unwrap();
    let (json, data) = (directory.path().join("report.json"), directory.path().join("data"));
    let faults = ["kill-leader", "kill-all", "wipe-follower", "partition-leader", "partition-deaf-frontend"];
    let output = drill(
        &["--rounds", "1", "--seed", "1", "--faults", &faults.join(","), "--data-dir", data.to_str().unwrap()],
        &json,
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let log = || std::fs::read_to_string(data.join("drill.log")).unwrap_or_default();
    assert!(output.status.success(), "{text}\n{}\n{}", String::from_utf8_lossy(&output.stderr), log());
    assert!(text.contains("every promise was kept"), "{text}");

    let read = || serde_json::from_slice::<Value>(&std::fs::read(&json).unwrap()).unwrap();
    let report = read();
    let events = report["events"].as_array().unwrap();
    let mut done: Vec<_> = events.iter().map(|event| event["fault"].as_str().unwrap()).collect();
    done.sort_unstable();
    assert_eq!(done, ["kill-all", "kill-leader", "partition-deaf-frontend", "partition-leader", "wipe-follower"]);
    for event in events {
        assert!(event["gap_us"].as_u64().unwrap() > 0, "{event}");
    }
    // The stages of a failover are taken from the log lines of several processes. They are missing
    // if these lines arrive out of order: then some more leaders are killed.
    let stages = |report: Value| {
        let mut killed = report["events"].as_array().unwrap().iter().filter(|event| event["fault"] == "kill-leader");
        killed.find_map(|event| event["stages"].as_object().cloned())
    };
    let stages = stages(report.clone()).or_else(|| {
        let data = directory.path().join("more");
        drill(&["--rounds", "3", "--faults", "kill-leader", "--data-dir", data.to_str().unwrap()], &json);
        stages(read())
    });
    let stages = stages.unwrap_or_else(|| panic!("no failover has stages: {report}\n{}", log()));
    let part = |name: &str| stages[name].as_u64().unwrap();
    let sum = part("detection_us") + part("election_us") + part("take_over_us") + part("first_order_us");
    assert!(part("fail_over_us").abs_diff(sum) < 10, "the parts are not the whole: {stages:?}");
    assert!(report["counts"]["acknowledged"].as_u64().unwrap() > 100, "{report}");
    assert!(report["counts"]["product_reads"].as_u64().unwrap() > 100, "{report}");
    assert_eq!(report["ledgers_identical"], true);
}

#[test]
fn a_wrong_option_is_a_usage_error() {
    let directory = tempfile::tempdir().unwrap();
    let output = drill(&["--faults", "kill-time"], &directory.path().join("report.json"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{error}");
    assert!(error.contains("there is no fault \"kill-time\"") && error.contains("rolling-restart"), "{error}");
}
