//! Random histories of a correct store are accepted, and one wrong answer in them is found.

use api::{Ordinal, Stock};
use history::{LedgerFile, Moment, OrderCall, OrderOutcome, ProductOutcome, Violation};
use proptest::prelude::*;

use crate::model::{Rng, Walk, reads, walk};
use crate::scenario::{HistoryScenario, LEVEL};

fn walks() -> impl Strategy<Value = (Walk, u64)> {
    let parts = (0_u64..40, 1_usize..12, 5_usize..120, any::<bool>(), 2_u64..40, any::<u64>());
    parts.prop_map(|(initial, clients, calls, releases, lost_once_in, seed)| {
        (Walk { initial, clients, calls, releases, lost_once_in }, seed)
    })
}

fn pieces(calls: &[OrderCall], counts: impl Fn(&OrderCall) -> bool) -> u64 {
    let mut seen = std::collections::BTreeSet::new();
    let counted = calls.iter().filter(|call| counts(call) && seen.insert(call.order_id));
    counted.map(|call| u64::from(call.quantity.get())).sum()
}

/// Changes the answer of a read. Returns whether the checker finds it.
fn falsify(scenario: &mut HistoryScenario, read: usize, stock: u64) -> bool {
    scenario.history.products[read].outcome = ProductOutcome::Quantity(Stock(stock));
    let call = &scenario.history.products[read];
    scenario
        .check()
        .violations
        .iter()
        .any(|found| matches!(found, Violation::StaleRead { call: named, .. } if named == call))
}

proptest! {
    #[test]
    fn a_correct_store_is_accepted((steps, seed) in walks()) {
        let scenario = walk(steps, &mut Rng(seed));
        let verdict = scenario.check();
        prop_assert!(verdict.is_clean() && verdict.counts.undecided == 0, "{:?}", verdict);
    }

    #[test]
    fn a_read_of_more_than_there_ever_was_is_found((steps, seed) in walks(), read in any::<prop::sample::Index>()) {
        let mut scenario = walk(steps, &mut Rng(seed));
        prop_assume!(!reads(&scenario).is_empty());
        let (read, most) = (read.index(reads(&scenario).len()), scenario.initial + scenario.restocks * LEVEL);
        prop_assert!(falsify(&mut scenario, read, most + 1));
    }

    /// Without restocks, the pieces of orders acknowledged before a read are gone, and only the
    /// pieces of orders called before it can be.
    #[test]
    fn a_stale_read_is_found((steps, seed) in walks(), read in any::<prop::sample::Index>(), above in any::<bool>()) {
        let mut scenario = walk(Walk { initial: 10_000, ..steps }, &mut Rng(seed));
        prop_assume!(!reads(&scenario).is_empty());
        let read = read.index(reads(&scenario).len());
        let (called, returned) = (scenario.history.products[read].called, scenario.history.products[read].returned.unwrap());
        let before = |call: &OrderCall| {
            matches!(call.outcome, OrderOutcome::Acknowledged(_)) && call.returned.is_some_and(|moment: Moment| moment < called)
        };
        let most = 10_000 - pieces(&scenario.history.orders, before);
        let least = 10_000 - pieces(&scenario.history.orders, |call| call.called <= returned);
        let wrong = if above { most + 1 } else { least - 1 };
        prop_assert!(falsify(&mut scenario, read, wrong));
    }

    #[test]
    fn a_lost_order_is_found((steps, seed) in walks(), cut in 1_usize..5) {
        let mut scenario = walk(steps, &mut Rng(seed));
        let acknowledged = scenario.check().counts.acknowledged;
        prop_assume!(acknowledged > 0);
        let text = String::from_utf8(scenario.end.ledgers[0].bytes.clone()).unwrap();
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        let kept = lines.len().saturating_sub(cut).max(1);
        let gone = lines[kept..].iter().filter(|line| {
            let id = line.split(',').nth(3).unwrap();
            scenario.history.orders.iter().any(|call| {
                call.order_id.to_string() == id && matches!(call.outcome, OrderOutcome::Acknowledged(_))
            })
        });
        let gone = gone.count() as u64;
        scenario.end.ledgers = vec![LedgerFile { ordinal: Ordinal(1), bytes: lines[..kept].concat().into_bytes() }];
        let verdict = scenario.check();
        prop_assert_eq!(verdict.counts.lost, gone, "{:?}", verdict);
    }
}
