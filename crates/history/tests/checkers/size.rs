//! The search stays small for thousands of calls and more than a dozen concurrent clients.

use history::{ProductOutcome, Releases};

use crate::model::{Rng, Walk, reads, walk};
use crate::scenario::HistoryScenario;

const CALLS: usize = 5_000;

fn long(releases: bool, lost_once_in: u64) -> HistoryScenario {
    walk(Walk { initial: 40, clients: 16, calls: CALLS, releases, lost_once_in }, &mut Rng(7))
}

#[test]
fn five_thousand_calls_of_sixteen_clients_need_little_work() {
    for (releases, lost_once_in) in [(false, 1_000_000), (false, 50), (true, 1_000_000), (true, 50)] {
        let scenario = long(releases, lost_once_in);
        assert!(scenario.restocks > 20, "it is sold out often");
        let verdict = scenario.check();
        assert!(verdict.is_clean(), "{releases} {lost_once_in}: {:?}", verdict.violations);
        let counts = verdict.counts;
        assert_eq!(counts.undecided, 0);
        assert!(counts.configurations < 10_000, "{releases} {lost_once_in}: {}", counts.configurations);
    }
}

#[test]
fn a_stale_read_among_five_thousand_calls_needs_little_work() {
    for releases in [Releases::Never, Releases::Anytime] {
        let mut scenario = long(releases == Releases::Anytime, 1_000_000);
        let read = reads(&scenario).len() / 2;
        let ProductOutcome::Quantity(stock) = &mut scenario.history.products[read].outcome else {
            unreachable!("an answer")
        };
        stock.0 += 60;
        let verdict = scenario.check();
        assert_eq!((verdict.counts.stale_reads, verdict.counts.undecided), (1, 0), "{:?}", verdict.violations);
        assert!(verdict.counts.configurations < 20_000, "{releases:?}: {}", verdict.counts.configurations);
    }
}

/// Measures the time of a check:
/// `cargo test -p history --release --test checkers -- --ignored --nocapture how_long`.
#[test]
#[ignore = "a measurement that asserts nothing"]
#[expect(clippy::print_stdout, reason = "the result of a measurement")]
fn how_long_it_takes() {
    for calls in [5_000, 200_000] {
        for (releases, lost_once_in) in [(false, 1_000_000), (true, 1_000_000), (true, 10)] {
            let scenario = walk(Walk { initial: 40, clients: 16, calls, releases, lost_once_in }, &mut Rng(7));
            let begun = std::time::Instant::now();
            let counts = scenario.check().counts;
            println!("{calls} calls, releases {releases}: {:?}, {counts:?}", begun.elapsed());
        }
    }
}
