//! The simulation finds bugs: each of these deliberate bugs is found within a bounded number of
//! seeds.

use std::path::Path;

use service::mutation::Mutation;
use simulation::{SimulationOptions, run, run_mutated, script};

/// The maximum number of seeds that are run, starting with 1.
const SEEDS_MAX: u64 = 300;

/// Runs the seed that is known to find the bug; then, if it no longer does, the first seeds.
fn find(mutation: Mutation, known: u64) {
    for seed in [known].into_iter().chain(1..=SEEDS_MAX) {
        let report = run_mutated(seed, SimulationOptions::default(), mutation);
        if !report.is_clean() {
            eprintln!("{} is found by seed {seed}: {}", mutation.name(), report.failures[0]);
            let without = run(seed, SimulationOptions::default());
            assert!(without.is_clean(), "seed {seed} fails without the mutation, too: {without}");
            return;
        }
    }
    panic!("{} was not found within {SEEDS_MAX} seeds", mutation.name());
}

/// A script that fails with each bug.
const SCRIPTS: [(Mutation, &str); 9] = [
    (Mutation::AcknowledgeBeforeMajority, "log_repair_uncommitted_entry"),
    (Mutation::SkipFence, "fence_refuses_a_late_reservation"),
    (Mutation::IgnoreLease, "lease_lost"),
    (Mutation::StoreRacedFill, "lease_raced_fill"),
    (Mutation::PlaceTwice, "repeat_through_another_frontend"),
    (Mutation::SyncAfterAcknowledgement, "log_repair_after_a_power_failure"),
    (Mutation::ElectShorterLog, "election_longest_log"),
    (Mutation::ForgetRefusals, "refusal_outlives_its_leader"),
    (Mutation::TrustOldDisk, "rewound_disk"),
];

#[test]
fn a_script_fails_with_each_bug() {
    let mut missed = Vec::new();
    for (mutation, name) in SCRIPTS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name);
        let text = std::fs::read_to_string(path).unwrap();
        let clean = script::run(&text).unwrap();
        assert!(clean.failures.is_empty() && clean.text == text, "{name} fails without a bug, too");
        let found = script::run_mutated(&text, mutation).unwrap();
        let line = text.lines().zip(found.text.lines()).find(|(expected, found)| expected != found);
        eprintln!("{} in {name}: {}; first line that differs: {line:?}", mutation.name(), found.failures.join("; "));
        if found == clean {
            missed.push((mutation, name));
        }
    }
    assert!(missed.is_empty(), "these bugs do not show: {missed:?}");
}

#[test]
fn acknowledge_before_the_majority() {
    find(Mutation::AcknowledgeBeforeMajority, 5);
}

#[test]
fn skip_the_fence() {
    find(Mutation::SkipFence, 4);
}

#[test]
fn ignore_the_lease() {
    find(Mutation::IgnoreLease, 67);
}

#[test]
fn store_a_raced_fill() {
    find(Mutation::StoreRacedFill, 9);
}

#[test]
fn do_not_deduplicate() {
    find(Mutation::PlaceTwice, 1);
}

#[test]
fn forget_refusals() {
    find(Mutation::ForgetRefusals, 4);
}

#[test]
fn sync_after_the_acknowledgement() {
    find(Mutation::SyncAfterAcknowledgement, 4);
}

#[test]
fn elect_without_the_longest_log() {
    find(Mutation::ElectShorterLog, 24);
}

#[test]
fn trust_an_old_disk() {
    find(Mutation::TrustOldDisk, 4);
}
