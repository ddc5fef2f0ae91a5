//! The search stays small: thousands of calls, more than a dozen at once.

use history::{GiveBacks, ProductOutcome};

use crate::model::{Dice, Walk, reads, walk};
use crate::story::Story;

const CALLS: usize = 5_000;

fn long(give_backs: bool, lost_once_in: u64) -> Story {
    walk(Walk { initial: 40, clients: 16, calls: CALLS, give_backs, lost_once_in }, &mut Dice(7))
}

#[test]
fn five_thousand_calls_of_sixteen_clients_are_explained_with_little_work() {
    for (give_backs, lost_once_in) in [(false, 1_000_000), (false, 50), (true, 1_000_000), (true, 50)] {
        let story = long(give_backs, lost_once_in);
        assert!(story.restocks > 20, "it is sold out often");
        let verdict = story.judge();
        assert!(verdict.is_clean(), "{give_backs} {lost_once_in}: {:?}", verdict.violations);
        let counts = verdict.counts;
        assert_eq!(counts.undecided, 0);
        assert!(counts.configurations < 10_000, "{give_backs} {lost_once_in}: {}", counts.configurations);
    }
}

#[test]
fn a_stale_read_among_five_thousand_calls_is_found_with_little_work() {
    for give_backs in [GiveBacks::Never, GiveBacks::Anytime] {
        let mut story = long(give_backs == GiveBacks::Anytime, 1_000_000);
        let read = reads(&story).len() / 2;
        let ProductOutcome::Quantity(stock) = &mut story.history.products[read].outcome else {
            unreachable!("an answer")
        };
        stock.0 += 60;
        let verdict = story.judge();
        assert_eq!((verdict.counts.stale_reads, verdict.counts.undecided), (1, 0), "{:?}", verdict.violations);
        assert!(verdict.counts.configurations < 20_000, "{give_backs:?}: {}", verdict.counts.configurations);
    }
}

/// How long it takes: `cargo test -p history --release --test checkers -- --ignored --nocapture how_long`.
#[test]
#[ignore = "measures, and judges nothing that the others do not"]
#[expect(clippy::print_stdout, reason = "the result of a measurement")]
fn how_long_it_takes() {
    for calls in [5_000, 200_000] {
        for (give_backs, lost_once_in) in [(false, 1_000_000), (true, 1_000_000), (true, 10)] {
            let story = walk(Walk { initial: 40, clients: 16, calls, give_backs, lost_once_in }, &mut Dice(7));
            let begun = std::time::Instant::now();
            let counts = story.judge().counts;
            println!("{calls} calls, give-backs {give_backs}: {:?}, {counts:?}", begun.elapsed());
        }
    }
}
