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
    let pages = directory.path().join("pages");
    let faults = ["kill-leader", "kill-all", "wipe-follower", "partition-leader", "partition-deaf-frontend"];
    let dirs = ["--data-dir", data.to_str().unwrap(), "--report-dir", pages.to_str().unwrap()];
    let output = drill(&[&["--rounds", "1", "--seed", "1", "--faults", &faults.join(",")], &dirs[..]].concat(), &json);
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
    assert!(report["counts"]["acknowledged"].as_u64().unwrap() > 100, "{report}");
    assert!(report["counts"]["product_reads"].as_u64().unwrap() > 100, "{report}");
    assert_eq!(report["ledgers_identical"], true);

    every_page_has_the_timelines(&pages, events);
    assert!(!text.contains(" suspects "), "a terminal shows no timelines: {text}");

    // On a busy machine a frontend may have started the election just before the kill, because the
    // leader was late. Such a failover has no stages: then some more leaders are killed.
    let failover = |events: &[Value]| events.iter().find(|event| event["stages"].is_object()).cloned();
    let killed: Vec<_> = events.iter().filter(|event| event["fault"] == "kill-leader").cloned().collect();
    let killed = failover(&killed).or_else(|| {
        let data = directory.path().join("more");
        drill(&["--rounds", "3", "--faults", "kill-leader", "--data-dir", data.to_str().unwrap()], &json);
        failover(read()["events"].as_array().unwrap())
    });
    let killed = killed.unwrap_or_else(|| panic!("no failover has stages: {report:#}\n{}", log()));
    let part = |name: &str| killed["stages"][name].as_u64().unwrap();
    let sum = part("detection_us") + part("election_us") + part("take_over_us") + part("first_order_us");
    assert_eq!(part("fail_over_us"), sum, "the parts are not the whole: {killed}");
    the_failover_is_in_order(&killed);
}

/// Suspicion, election, takeover and the first order after that, in the order of time, and what
/// the killed process could not tell any more.
fn the_failover_is_in_order(killed: &Value) {
    let (timeline, victim) = (&killed["timeline"], killed["victims"].as_str().unwrap());
    let entries = timeline["entries"].as_array().unwrap_or_else(|| panic!("{killed}"));
    let times: Vec<_> = entries.iter().map(|entry| entry["at_us"].as_i64().unwrap()).collect();
    assert!(times.is_sorted(), "{timeline}");
    let after = |from: i64, what: &str, is_it: &dyn Fn(&Value) -> bool| {
        let found = entries.iter().find(|entry| entry["at_us"].as_i64().unwrap() >= from && is_it(entry));
        found.unwrap_or_else(|| panic!("no {what} after {from}: {timeline:#}")).clone()
    };
    let of_orders = |kind: &'static str| move |it: &Value| it["kind"] == kind && it["group"] == "order";
    let at = |entry: &Value| entry["at_us"].as_i64().unwrap();
    let injected = after(0, "injection", &|it| it["process"] == "drill");
    assert_eq!((at(&injected), &injected["text"]), (0, &format!("drill injects kill-leader: {victim}").into()));
    let election = after(0, "election", &of_orders("election_started"));
    // On a busy machine a frontend may notice the silence of the leader first.
    if election["reason"] == "suspected" {
        let suspicion = after(i64::MIN, "suspicion", &of_orders("leader_suspected"));
        assert!(at(&suspicion) <= at(&election), "{timeline:#}");
    }
    let vote = after(at(&election), "vote", &|it| it["kind"] == "voted");
    let serves = after(at(&vote), "leader that takes orders", &|it| it["kind"] == "takes_orders");
    let is_its_batch = |it: &Value| it["kind"] == "batch_placed" && it["term"] == serves["term"];
    let placed = after(at(&serves), "order in its term", &is_its_batch);
    assert_eq!(placed["process"], serves["process"]);
    assert_ne!(serves["process"], victim);
    let text = placed["text"].as_str().unwrap();
    assert!(text.starts_with(placed["process"].as_str().unwrap()) && text.contains(" has placed "), "{text}");
    // An order that the killed leader had placed can be acknowledged before new ones are taken.
    after(at(&vote), "acknowledgement", &|it| it["process"] == "shoppers");
    after(0, "start of the killed process", &|it| it["process"] == victim && it["kind"] == "replica_started");
    let gap = timeline["gap_to_us"].as_i64().unwrap() - timeline["gap_from_us"].as_i64().unwrap();
    assert!(killed["gap_us"].as_i64().unwrap().abs_diff(gap) < 10, "{killed}");
    let missing = timeline["missing"].as_array().unwrap();
    assert!(
        missing.iter().any(|it| it.as_str().unwrap().starts_with(&format!("What {victim} did between"))),
        "{timeline}"
    );
}

fn every_page_has_the_timelines(pages: &Path, events: &[Value]) {
    let read = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap();
    let (page, markdown) = (read("report.html"), read("report.md"));
    assert_eq!(page.matches("<details>").count(), events.len(), "{markdown}");
    assert!(read("report.json").contains("\"timeline\""));
    let plot = read("plots/kill-leader-1.svg");
    for event in events {
        let entries = event["timeline"]["entries"].as_array().unwrap_or_else(|| panic!("{event}"));
        for entry in entries {
            let process = entry["process"].as_str().unwrap();
            assert!(markdown.contains(process) && page.contains(process), "{process}");
            // Other kinds of sentences contain characters that have to be escaped.
            if entry["kind"] == "leads" || entry["kind"] == "leader_suspected" {
                let text = entry["text"].as_str().unwrap();
                assert!(markdown.contains(text) && page.contains(text), "{text}: {markdown}");
            }
        }
    }
    assert!(plot.contains("order-1") && plot.contains("no order for "), "{plot}");
}

#[test]
fn a_wrong_option_is_a_usage_error() {
    let directory = tempfile::tempdir().unwrap();
    let output = drill(&["--faults", "kill-time"], &directory.path().join("report.json"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{error}");
    assert!(error.contains("there is no fault \"kill-time\"") && error.contains("rolling-restart"), "{error}");
}
