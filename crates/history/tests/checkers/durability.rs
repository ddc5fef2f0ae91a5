//! I1.

use history::LedgerFile;

use crate::story::{SOLD_OUT, Story, UNKNOWN, acknowledged, ledger, line};

fn two_orders() -> Story {
    Story::of(5).order(1, 1, (0, 10), acknowledged(1)).order(2, 2, (20, 30), acknowledged(2))
}

fn with_ledgers(story: Story, ledgers: [Vec<u8>; 3]) -> Story {
    let mut story = story.finished();
    for (LedgerFile { bytes, .. }, ledger) in story.end.ledgers.iter_mut().zip(ledgers) {
        *bytes = ledger;
    }
    // The books are another checker's.
    story.end.accounts.clear();
    story
}

#[test]
fn what_is_there_is_accepted() {
    two_orders().looked_up(2, Some(2), (40, 50)).looked_up(1, Some(1), (1, 5)).accepted();
    // Not found, while it was being placed.
    two_orders().looked_up(2, None, (25, 50)).looked_up(3, None, (40, 50)).accepted();
    // A replica that is behind.
    let short = ledger(&[line(1, 1, 1)]);
    let long = ledger(&[line(1, 1, 1), line(2, 2, 2)]);
    with_ledgers(two_orders(), [short.clone(), long.clone(), ledger(&[])]).broken(&[]);
    // A write that was cut off.
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
fn an_acknowledged_order_is_what_was_ordered() {
    let right = || ledger(&[line(1, 1, 1), line(2, 2, 2)]);
    let other_quantity = ledger(&[line(1, 1, 1), line(2, 2, 1)]);
    with_ledgers(two_orders(), [right(), other_quantity, right()]).broken(&[
        "I1: client 2 ordered 2 × Tux (00000000-0000-0000-0000-000000000002) from 0.000 ms to 0.000 ms: acknowledged as order 2; \
         but replica 2's ledger has there order 2, 1 × Tux",
        "I3: the ledgers of replicas 2 and 1 differ from line 3 on",
    ]);
    let swapped = ledger(&[line(1, 2, 2), line(2, 1, 1)]);
    let verdict = with_ledgers(two_orders(), [swapped.clone(), swapped.clone(), swapped]).broken(&["I1: client"; 6]);
    assert_eq!(verdict.counts.lost, 2);
}

#[test]
fn an_acknowledged_order_is_found_as_it_was_ordered() {
    let verdict =
        two_orders().looked_up(2, None, (31, 50)).rejected(&["I1: an acknowledged order was not found later"]);
    assert_eq!(verdict.counts.lost, 1);
    two_orders().looked_up(2, Some(1), (40, 50)).rejected(&["I1: client 2 ordered 2 × Tux"]);
    // Even while it was being placed it can only be that.
    two_orders().looked_up(2, Some(1), (25, 26)).rejected(&["I1: client 2 ordered 2 × Tux"]);
}

#[test]
fn what_was_found_once_is_found_for_ever() {
    let unknown = || Story::of(5).order(1, 1, (0, 10), UNKNOWN);
    unknown().looked_up(1, Some(1), (20, 30)).looked_up(1, Some(1), (40, 50)).placed(1, 1, 1).accepted();
    unknown()
        .looked_up(1, Some(1), (20, 30))
        .looked_up(1, None, (40, 50))
        .placed(1, 1, 1)
        .rejected(&["I1: an order never"]);
    unknown().looked_up(1, Some(1), (20, 30)).looked_up(1, None, (25, 50)).placed(1, 1, 1).accepted();
    unknown().looked_up(1, Some(1), (20, 30)).looked_up(1, Some(2), (20, 30)).placed(1, 1, 1).rejected(&[
        "I1: an order never",
        "I1: client 101 read order 1 from 0.000 ms to 0.000 ms: 2 × Tux; but the longest ledger, replica 1's, has there order 1, 1",
    ]);
    // It was there to be read, and is gone.
    unknown().looked_up(1, Some(1), (20, 30)).rejected(&["I1: client 101 read order 1"]);
    Story::of(0).order(1, 1, (0, 10), SOLD_OUT).looked_up(1, None, (40, 50)).accepted();
}
