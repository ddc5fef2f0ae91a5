//! I5 in a store whose order leader never changed: taken pieces stay taken.

use history::{Budget, CheckOptions, Releases};

use crate::scenario::{HistoryScenario, SOLD_OUT, UNKNOWN, acknowledged};

/// The history is linearizable with and without releases.
#[track_caller]
fn accepted(scenario: HistoryScenario) {
    scenario.clone().with(|options| options.releases = Releases::Never).accepted();
    scenario.accepted();
}

/// The history is linearizable neither with nor without releases.
#[track_caller]
fn rejected(scenario: HistoryScenario, words: &[&str]) {
    scenario.clone().with(|options| options.releases = Releases::Never).rejected(words);
    scenario.rejected(words);
}

#[test]
fn a_read_sees_all_earlier_acknowledged_orders() {
    let scenario = || HistoryScenario::of(9).order(1, 2, (10, 20), acknowledged(1));
    accepted(scenario().read(9, (0, 5)).read(7, (30, 40)));
    rejected(scenario().read(7, (0, 5)), &["I5: a stale or impossible read: client 100 read Tux from 0.000 ms"]);
    let verdict = scenario().read(9, (30, 40)).rejected(&["I5: a stale or impossible read"]);
    assert_eq!((verdict.counts.stale_reads, verdict.counts.product_reads), (1, 1));
    let text = verdict.violations[0].to_string();
    assert!(text.ends_with("9 in stock; the orders acknowledged before and in flight allow 7"), "{text}");
    // One common moment is enough to be concurrent.
    accepted(scenario().read(9, (20, 30)));
    rejected(scenario().read(9, (21, 30)), &["I5: a stale"]);
}

#[test]
fn a_read_during_an_order_may_return_either_stock() {
    let scenario = || HistoryScenario::of(9).order(1, 2, (10, 20), acknowledged(1));
    for stock in [9, 7] {
        accepted(scenario().read(stock, (12, 14)));
    }
    rejected(scenario().read(8, (12, 14)), &["I5: a stale"]);
    // Two orders in flight allow four different stocks.
    let two = || scenario().order(2, 1, (10, 20), acknowledged(2));
    for stock in [9, 8, 7] {
        accepted(two().read(stock, (12, 14)));
    }
    accepted(two().read(6, (12, 14)));
    rejected(two().read(5, (12, 14)), &["I5: a stale"]);
}

#[test]
fn a_stale_read_through_another_frontend_is_found() {
    let scenario = HistoryScenario::of(9)
        .order(1, 1, (0, 10), acknowledged(1))
        .read(8, (11, 12))
        .order(2, 1, (20, 30), acknowledged(2))
        .read(7, (31, 32))
        // From the cache of the other frontend.
        .read(8, (33, 34));
    rejected(scenario, &["I5: a stale"]);
}

#[test]
fn every_stale_read_is_counted() {
    let scenario = HistoryScenario::of(9)
        .order(1, 1, (0, 10), acknowledged(1))
        .read(9, (11, 12))
        .read(8, (13, 14))
        .read(9, (15, 16));
    let verdict = scenario.rejected(&["I5: a stale", "I5: a stale"]);
    assert_eq!(verdict.counts.stale_reads, 2);
}

#[test]
fn calls_of_many_concurrent_clients_are_linearizable() {
    let mut scenario = HistoryScenario::of(100);
    for n in 1..=16 {
        scenario = scenario.order(n, 1, (0, 100), acknowledged(u64::try_from(n).unwrap()));
    }
    let scenario = (0..=16).fold(scenario, |scenario, n| scenario.read(100 - n, (0, 100)));
    accepted(scenario.clone());
    rejected(scenario.clone().read(83, (0, 100)), &["I5: a stale"]);
    rejected(scenario.read(99, (101, 102)), &["I5: a stale"]);
}

#[test]
fn a_refusal_needs_a_moment_with_too_little_stock() {
    accepted(HistoryScenario::of(2).order(1, 3, (0, 10), SOLD_OUT));
    rejected(
        HistoryScenario::of(3).order(1, 3, (0, 10), SOLD_OUT),
        &["I5: refused as out of stock although there was enough"],
    );
    let other = |during| HistoryScenario::of(3).order(1, 1, during, acknowledged(1)).order(2, 3, (20, 30), SOLD_OUT);
    accepted(other((0, 10)));
    accepted(other((25, 40)));
    rejected(other((31, 40)), &["I5: refused as out of stock"]);
}

#[test]
fn a_retried_order_may_have_been_refused_earlier() {
    let scenario = |first, outcome| {
        HistoryScenario::of(1)
            .order(1, 1, (0, 10), acknowledged(1))
            .order(2, 1, first, outcome)
            .read(10, (15, 16))
            .order(2, 1, (20, 30), SOLD_OUT)
            .restocked(1)
    };
    accepted(scenario((11, 12), UNKNOWN));
    accepted(scenario((11, 25), SOLD_OUT));
    accepted(scenario((11, 12), SOLD_OUT));
    let decided = "I5: refused as out of stock although there was enough";
    rejected(scenario((17, 18), UNKNOWN), &[decided]);
    rejected(scenario((17, 18), SOLD_OUT), &[decided]);
}

#[test]
fn no_more_is_sold_than_is_in_stock() {
    let scenario =
        HistoryScenario::of(2).order(1, 1, (0, 10), acknowledged(1)).order(2, 2, (20, 30), acknowledged(2)).finished();
    let texts: Vec<_> = scenario.check().violations.iter().map(ToString::to_string).collect();
    assert!(texts.iter().any(|text| text.starts_with("I5: acknowledged although there was not enough")), "{texts:#?}");
}

#[test]
fn a_restock_happens_when_a_product_is_sold_out() {
    let scenario = || HistoryScenario::of(1).order(1, 1, (0, 10), acknowledged(1));
    accepted(scenario().read(0, (11, 12)).read(10, (13, 14)).restocked(1));
    // Sold and restocked before the acknowledgement.
    accepted(scenario().read(10, (5, 6)).read(10, (11, 12)).restocked(1));
    rejected(scenario().read(10, (11, 12)), &["I5: a stale"]);
    rejected(scenario().read(10, (11, 12)).read(0, (13, 14)).restocked(1), &["I5: a stale"]);
    // There is no restock before the product is sold out.
    let two = HistoryScenario::of(2).order(1, 1, (0, 10), acknowledged(1)).read(11, (11, 12));
    rejected(two.restocked(1), &["I5: a stale", "I5: at the end Tux has 11 in stock, but the history allows 1"]);
}

#[test]
fn restocks_race_with_orders() {
    // Ten pieces and two restocks are sold, and all calls overlap.
    let mut scenario = HistoryScenario::of(10);
    for n in 1..=10_u64 {
        scenario = scenario.order(n.into(), 3, (0, 100), acknowledged(n));
    }
    // 10 − 3 × 3 = 1: it is never sold out. With orders of one piece in between, it is.
    for n in 11..=15_u64 {
        scenario = scenario.order(n.into(), 1, (0, 100), acknowledged(n));
    }
    accepted(scenario.clone().read(0, (0, 100)).read(10, (0, 100)).restocked(3));
    let refused = scenario.order(99, 4, (0, 100), SOLD_OUT).restocked(3);
    accepted(refused);
}

#[test]
fn the_final_stock_is_the_last_read() {
    let mut scenario = HistoryScenario::of(5).order(1, 1, (0, 10), acknowledged(1)).finished();
    scenario.end.accounts[0].stock.0 = 3;
    scenario.end.accounts[0].sold = 2;
    scenario
        .broken(&["I4: the orders contain 1 pieces", "I5: at the end Tux has 3 in stock, but the history allows 4"]);
}

#[test]
fn an_order_without_an_answer_may_take_effect_much_later() {
    let scenario = || HistoryScenario::of(9).order(1, 1, (0, 10), UNKNOWN);
    accepted(scenario().read(9, (20, 30)));
    accepted(scenario().read(9, (20, 30)).read(8, (1000, 1010)).read(8, (1020, 1030)).placed(1, 1, 1));
    // If it is never placed, and nothing is released, then no read may see it.
    let seen = scenario().read(8, (20, 30));
    seen.clone().with(|options| options.releases = Releases::Never).rejected(&["I5: a stale"]);
    seen.accepted();
    rejected(scenario().read(7, (20, 30)), &["I5: a stale"]);
}

#[test]
fn an_order_without_an_answer_is_placed_before_higher_numbers_are_known() {
    let scenario =
        || HistoryScenario::of(9).order(1, 1, (0, 10), UNKNOWN).placed(1, 1, 1).order(2, 1, (20, 30), acknowledged(2));
    accepted(scenario().read(9, (15, 25)).read(7, (31, 32)));
    rejected(scenario().read(8, (31, 32)), &["I5: a stale"]);
    // The number is known because the order was read.
    let read = HistoryScenario::of(9).order(1, 1, (0, 10), UNKNOWN).placed(1, 1, 1).looked_up(1, Some(1), (20, 30));
    accepted(read.clone().read(8, (31, 32)));
    rejected(read.read(9, (31, 32)), &["I5: a stale"]);
}

#[test]
fn several_attempts_at_one_order_take_once() {
    let scenario = || HistoryScenario::of(9).order(1, 1, (0, 10), UNKNOWN).order(1, 1, (20, 30), acknowledged(1));
    accepted(scenario().read(8, (5, 6)).read(8, (31, 32)));
    accepted(scenario().read(9, (15, 16)).read(8, (31, 32)));
    rejected(scenario().read(7, (31, 32)), &["I5: a stale"]);
    rejected(scenario().read(9, (31, 32)), &["I5: a stale"]);
    // Refused, and refused again when there is stock.
    let refused = HistoryScenario::of(1)
        .order(2, 1, (0, 10), acknowledged(1))
        .order(1, 1, (11, 20), SOLD_OUT)
        .order(1, 1, (30, 40), SOLD_OUT)
        .restocked(1);
    accepted(refused.clone().read(0, (12, 13)).read(10, (25, 26)).read(10, (41, 42)));
    rejected(refused.read(10, (11, 12)).read(0, (13, 14)), &["I5: a stale"]);
}

#[test]
fn a_store_that_is_not_quiet_may_have_orders_in_flight() {
    let scenario =
        HistoryScenario::of(9).order(1, 1, (0, 10), UNKNOWN).order(2, 1, (0, 10), acknowledged(1)).read(7, (20, 30));
    for releases in [Releases::Never, Releases::Anytime] {
        scenario
            .clone()
            .with(|options| *options = CheckOptions { quiet: false, releases, ..options.clone() })
            .accepted();
    }
}

#[test]
fn a_product_beyond_the_budget_is_reported_as_undecided() {
    let mut scenario = HistoryScenario::of(100);
    for n in 1..=12_u64 {
        let quantity = 1 + n % 4;
        scenario = scenario.order(n.into(), quantity, (0, 100), acknowledged(n));
    }
    // Without releases, this needs a search through all sets of orders.
    let scenario = scenario.read(71, (50, 60)).read(99, (61, 62)).with(|options| options.releases = Releases::Never);
    scenario.clone().rejected(&["I5: a stale"]);
    let mut limited = scenario.finished();
    limited.options.budget = Budget { configurations_max: 20 };
    let verdict = limited.check();
    assert_eq!((verdict.counts.violations, verdict.counts.undecided, verdict.counts.configurations), (0, 1, 20));
    assert!(verdict.is_clean());
}

#[test]
fn without_accounts_a_product_is_undecided() {
    let mut scenario = HistoryScenario::of(9).order(1, 1, (0, 10), acknowledged(1)).read(3, (20, 30)).finished();
    scenario.end.accounts.clear();
    let verdict = scenario.check();
    assert_eq!((verdict.counts.violations, verdict.counts.undecided), (0, 1));
}
