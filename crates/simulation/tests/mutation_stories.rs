//! Each deliberate bug has a story: it is shrunk, ends when a promise is broken, and names the two
//! facts that contradict each other.

use service::mutation::Mutation;
use simulation::SimulationOptions;
use simulation::story::{PAGE_BYTES_MAX, ShrinkLimits, StoryLimits, tell_mutated};

/// Few: `toystore simulate --mutation` may take more.
const LIMITS: ShrinkLimits = ShrinkLimits { runs_max: 15 };

/// The words are in the facts, in this order.
fn story(mutation: Mutation, seed: u64, words: [&str; 2]) {
    let told = tell_mutated(seed, SimulationOptions::default(), mutation, LIMITS);
    let (report, story, shrunk) = told.unwrap_or_else(|| panic!("seed {seed} does not show {}", mutation.name()));
    let broken = story.broken().expect("a promise is broken");
    let page = story.html(StoryLimits::default());
    let [one, other] = &broken.facts;
    eprintln!("{}: {} KB; {shrunk}", mutation.name(), page.len() / 1000);
    eprintln!("  {}\n  {} ms: {}\n  {} ms: {}", broken.promise, one.at, one.text, other.at, other.text);
    assert!(!report.is_clean());
    assert!(one.at <= other.at && other.at <= story.ends_at() && story.ends_at() <= other.at + 100, "{broken:?}");
    assert!(one.text != other.text, "{broken:?}");
    for (fact, word) in broken.facts.iter().zip(words) {
        assert!(fact.text.contains(word), "{word:?} is not in {:?}", fact.text);
    }
    assert!(page.len() < PAGE_BYTES_MAX && page.contains(mutation.name()));
    assert!(shrunk.runs <= LIMITS.runs_max + 2, "{shrunk:?}");
    assert!(shrunk.faults[1] <= shrunk.faults[0] && shrunk.shoppers[1] <= shrunk.shoppers[0], "{shrunk:?}");
}

#[test]
fn acknowledge_before_the_majority() {
    // Not the seed of lesson 7: the engine has more assertions in a debug build.
    story(Mutation::AcknowledgeBeforeMajority, 3, ["this is order 1", "looks for order 1: it is"]);
}

#[test]
fn skip_the_fence() {
    story(Mutation::SkipFence, 81, ["the leader of term 2", "the leader of term 1"]);
}

#[test]
fn ignore_the_lease() {
    story(Mutation::IgnoreLease, 67, ["could be in stock", "in stock"]);
}

#[test]
fn store_a_raced_fill() {
    story(Mutation::StoreRacedFill, 9, ["could be in stock", "in stock"]);
}

#[test]
fn place_an_order_twice() {
    story(Mutation::PlaceTwice, 1, ["this is order", "this is order"]);
}

#[test]
fn sync_after_the_acknowledgement() {
    story(Mutation::SyncAfterAcknowledgement, 16, ["has these orders on its disks", "is damaged"]);
}

#[test]
fn elect_without_the_longest_log() {
    story(Mutation::ElectShorterLog, 78, ["leads the order group", "acknowledged entries are lost"]);
}

#[test]
fn forget_refusals() {
    story(Mutation::ForgetRefusals, 4, ["refused, out of stock", "this is order"]);
}

#[test]
fn trust_an_old_disk() {
    story(Mutation::TrustOldDisk, 4, ["says that its log ends", "says that its log ends"]);
}
