//! I1: acknowledged orders are durable.

use history::LedgerFile;

use crate::scenario::{HistoryScenario, SOLD_OUT, UNKNOWN, acknowledged, ledger, line};

fn two_orders() -> HistoryScenario {
    HistoryScenario::of(5).order(1, 1, (0, 10), acknowledged(1)).order(2, 2, (20, 30), acknowledged(2))
}

fn with_ledgers(scenario: HistoryScenario, ledgers: [Vec<u8>; 3]) -> HistoryScenario {
    let mut scenario = scenario.finished();
    for (LedgerFile { bytes, .. }, ledger) in scenario.end.ledgers.iter_mut().zip(ledgers) {
        *bytes = ledger;
    }
    // Another checker checks the stock accounts.
    scenario.end.accounts.clear();
    scenario
}

#[test]
fn durable_orders_are_accepted() {
    two_orders().looked_up(2, Some(2), (40, 50)).looked_up(1, Some(1), (1, 5)).accepted();
    // Not found while it was being placed.
    two_orders().looked_up(2, None, (25, 50)).looked_up(3, None, (40, 50)).accepted();
    // A replica that lags behind.
    let short = ledger(&[line(1, 1, 1)]);
    let long = ledger(&[line(1, 1, 1), line(2, 2, 2)]);
    with_ledgers(two_orders(), [short.clone(), long.clone(), ledger(&[])]).broken(&[]);
    // An incomplete write.
    with_ledgers(two_orders(), [[short, b"2,Tux,".to_vec()].concat(), long, Vec::new()]).broken(&[]);
}

#[test]
fn an_acknowledged_order_is_in_the_longest_ledger() {
    let short = ledger(&[line(1, 1, 1)]);
    let verdict = with_ledgers(two_orders(), [short.clone(), short.clone(), short])
        .broken(&["I1: an acknowledged order is lost: client 2 ordered 2 × Tux"]);
    assert_eq!((verdict.counts.acknowledged, verdict.counts.lost), (2, 1));
    let none = || ledger(&[]);
    let verdict = with_ledgers(two_orders(), [none(), none(), none()]).broken(&["I1: an ack", "I1: an ack"]);
    assert_eq!(verdict.counts.lost, 2);
}

#[test]
fn an_acknowledged_order_is_in_the_ledger_as_it_was_ordered() {
    let right = || ledger(&[line(1, 1, 1), line(2, 2, 2)]);
    let other_quantity = ledger(&[line(1, 1, 1), line(2, 2, 1)]);
    with_ledgers(two_orders(), [right(), other_quantity, right()]).broken(&[
        "I1: client 2 ordered 2 × Tux (00000000-0000-0000-0000-000000000002) from 0.000 ms to 0.000 ms: acknowledged as order 2; \
         but under this number, the ledger of replica 2 has order 2, 1 × Tux",
        "I3: the ledgers of replicas 2 and 1 differ from line 3 on",
    ]);
    let swapped = ledger(&[line(1, 2, 2), line(2, 1, 1)]);
    let verdict = with_ledgers(two_orders(), [swapped.clone(), swapped.clone(), swapped]).broken(&["I1: client"; 6]);
    assert_eq!(verdict.counts.lost, 2);
}

#[test]
fn an_acknowledged_order_is_read_as_it_was_ordered() {
    let verdict =
        two_orders().looked_up(2, None, (31, 50)).rejected(&["I1: an acknowledged order was not found later"]);
    assert_eq!(verdict.counts.lost, 1);
    two_orders().looked_up(2, Some(1), (40, 50)).rejected(&["I1: client 2 ordered 2 × Tux"]);
    // Even while it was being placed, a read can only return this order.
    two_orders().looked_up(2, Some(1), (25, 26)).rejected(&["I1: client 2 ordered 2 × Tux"]);
}

#[test]
fn an_order_that_was_read_once_never_changes() {
    let unknown = || HistoryScenario::of(5).order(1, 1, (0, 10), UNKNOWN);
    unknown().looked_up(1, Some(1), (20, 30)).looked_up(1, Some(1), (40, 50)).placed(1, 1, 1).accepted();
    unknown()
        .looked_up(1, Some(1), (20, 30))
        .looked_up(1, None, (40, 50))
        .placed(1, 1, 1)
        .rejected(&["I1: an order never"]);
    unknown().looked_up(1, Some(1), (20, 30)).looked_up(1, None, (25, 50)).placed(1, 1, 1).accepted();
    unknown().looked_up(1, Some(1), (20, 30)).looked_up(1, Some(2), (20, 30)).placed(1, 1, 1).rejected(&[
        "I1: an order never",
        "I1: client 101 read order 1 from 0.000 ms to 0.000 ms: 2 × Tux; but under this number, the longest ledger (replica 1) has order 1, 1",
    ]);
    // It was read, and is missing in the ledger.
    unknown().looked_up(1, Some(1), (20, 30)).rejected(&["I1: client 101 read order 1"]);
    HistoryScenario::of(0).order(1, 1, (0, 10), SOLD_OUT).looked_up(1, None, (40, 50)).accepted();
}
