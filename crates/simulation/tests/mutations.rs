//! The simulation finds bugs: each of these is made on purpose, and found within a bounded number of seeds.

use service::mutation::Mutation;
use simulation::{Options, run, run_mutated};

/// Seeds that may be tried, starting with 1.
const SEEDS_MAX: u64 = 300;

fn find(mutation: Mutation) {
    for seed in 1..=SEEDS_MAX {
        let report = run_mutated(seed, Options::default(), mutation);
        if !report.is_clean() {
            eprintln!("{} was found after {seed} seeds: {}", mutation.name(), report.broken[0]);
            let without = run(seed, Options::default());
            assert!(without.is_clean(), "the mutation is what seed {seed} found: {without}");
            return;
        }
    }
    panic!("{} was not found within {SEEDS_MAX} seeds", mutation.name());
}

#[test]
fn acknowledge_before_the_majority() {
    find(Mutation::AcknowledgeBeforeMajority);
}

#[test]
fn skip_the_fence() {
    find(Mutation::SkipFence);
}

#[test]
fn ignore_the_lease() {
    find(Mutation::IgnoreLease);
}

#[test]
fn store_a_raced_fill() {
    find(Mutation::StoreRacedFill);
}

#[test]
fn do_not_deduplicate() {
    find(Mutation::PlaceTwice);
}

#[test]
fn sync_after_the_acknowledgement() {
    find(Mutation::SyncAfterAcknowledgement);
}

#[test]
fn elect_without_the_longest_log() {
    find(Mutation::ElectShorterLog);
}
