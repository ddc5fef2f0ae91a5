//! I5 in a store whose order leaders die: a reservation is visible, released, and possibly
//! repeated.

use history::Releases;

use crate::scenario::{HistoryScenario, SOLD_OUT, UNKNOWN, acknowledged};

/// The history is linearizable only with releases.
#[track_caller]
fn only_with_releases(scenario: HistoryScenario) {
    let never = scenario.clone().with(|options| options.releases = Releases::Never).finished();
    assert!(!never.check().is_clean(), "it is linearizable without releases");
    scenario.accepted();
}

#[test]
fn a_reservation_may_come_and_go_while_its_order_is_in_flight() {
    let scenario = || HistoryScenario::of(9).order(1, 2, (0, 100), acknowledged(1));
    only_with_releases(scenario().read(7, (10, 11)).read(9, (20, 21)).read(7, (30, 31)).read(9, (40, 41)));
    // Once the order is acknowledged, its pieces stay taken.
    scenario().read(9, (101, 102)).rejected(&["I5: a stale"]);
    // They are taken only once.
    scenario().read(5, (10, 11)).rejected(&["I5: a stale"]);
}

#[test]
fn an_order_without_an_answer_may_come_and_go_for_ever() {
    let scenario = || HistoryScenario::of(9).order(1, 2, (0, 10), UNKNOWN);
    only_with_releases(scenario().read(7, (500, 501)).read(9, (600, 601)).read(7, (700, 701)));
    scenario().read(7, (500, 501)).read(8, (600, 601)).rejected(&["I5: a stale"]);
    // Before its call.
    scenario().order(2, 1, (0, 1), SOLD_OUT).rejected(&["I5: refused as out"]);
    let before = HistoryScenario::of(9).order(1, 2, (10, 20), UNKNOWN).read(7, (0, 9));
    before.rejected(&["I5: a stale"]);
}

#[test]
fn a_placed_order_keeps_its_pieces() {
    // A read has seen the order, it is in the ledger, and a higher number was acknowledged. Then a
    // read no longer sees it.
    let scenario =
        HistoryScenario::of(9).order(1, 2, (0, 10), UNKNOWN).placed(1, 1, 2).order(2, 1, (20, 30), acknowledged(2));
    scenario.clone().read(7, (12, 13)).read(6, (40, 41)).accepted();
    scenario.read(7, (12, 13)).read(8, (40, 41)).rejected(&["I5: a stale"]);
}

#[test]
fn a_refused_order_may_have_held_stock_until_it_was_refused() {
    // Reserved by a leader that died, released, sold to another order, and then refused.
    let scenario = || HistoryScenario::of(2).order(1, 2, (0, 100), SOLD_OUT).order(2, 1, (0, 100), acknowledged(1));
    only_with_releases(scenario().read(0, (10, 11)).read(2, (20, 21)).read(1, (30, 31)));
    scenario().read(1, (101, 102)).accepted();
    scenario().read(0, (101, 102)).rejected(&["I5: a stale"]);
    // Its own reservation is no reason to refuse it.
    HistoryScenario::of(2).order(1, 2, (0, 100), SOLD_OUT).rejected(&["I5: refused as out of stock"]);
}

#[test]
fn a_key_with_a_number_holds_nothing_for_another_order() {
    let misused = |during| HistoryScenario::of(9).order(1, 1, (10, 20), acknowledged(1)).order(1, 3, during, UNKNOWN);
    // Both were in flight. It is unknown which of them a dead leader had reserved.
    misused((5, 15)).read(6, (16, 17)).accepted();
    misused((5, 15)).read(6, (21, 22)).rejected(&["I5: a stale"]);
    misused((30, 40)).read(5, (31, 32)).rejected(&["I5: a stale"]);
}

#[test]
fn reservations_of_others_are_a_reason_to_refuse() {
    let scenario = |called| HistoryScenario::of(2).order(1, 1, (called, 90), UNKNOWN).order(2, 2, (20, 30), SOLD_OUT);
    only_with_releases(scenario(0));
    scenario(31).rejected(&["I5: refused as out of stock"]);
}

#[test]
fn a_restock_is_possible_while_all_pieces_are_reserved() {
    // One piece is reserved, ten are restocked, and the reservation is released: eleven.
    let scenario = || HistoryScenario::of(1).order(1, 1, (0, 10), UNKNOWN);
    only_with_releases(scenario().read(0, (5, 6)).read(10, (7, 8)).read(11, (20, 21)).restocked(1));
    scenario().read(11, (20, 21)).rejected(&["I5: a stale"]);
    let two = HistoryScenario::of(2).order(1, 1, (0, 10), UNKNOWN).read(12, (20, 21)).restocked(1);
    two.rejected(&["I5: a stale", "I5: at the end Tux has 12 in stock, but the history allows 2"]);
}

#[test]
fn many_orders_overlap() {
    let mut scenario = HistoryScenario::of(7);
    for n in 1..=5_u64 {
        scenario = scenario.order(n.into(), n, (0, 1000), acknowledged(n));
    }
    // 1 + 2 + 3 + 4 + 5 of 7 + 10: every sum is possible at any moment and in any order.
    let stocks = [7, 0, 6, 1, 5, 2, 4, 3, 7];
    let scenario =
        stocks.iter().zip(1..).fold(scenario, |scenario, (stock, at)| scenario.read(*stock, (at * 10, at * 10 + 5)));
    only_with_releases(scenario.clone().restocked(1));
    scenario.read(18, (900, 901)).restocked(1).rejected(&["I5: a stale"]);
}
