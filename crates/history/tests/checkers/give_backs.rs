//! I5, in a store whose order leaders die: a reservation is seen, given back, and perhaps made again.

use history::GiveBacks;

use crate::story::{SOLD_OUT, Story, UNKNOWN, acknowledged};

/// Explained by a leader's death, and by nothing else.
#[track_caller]
fn only_with_give_backs(story: Story) {
    let never = story.clone().with(|options| options.give_backs = GiveBacks::Never).finished();
    assert!(!never.judge().is_clean(), "it is explained without give-backs");
    story.accepted();
}

#[test]
fn a_reservation_may_come_and_go_while_its_order_is_under_way() {
    let story = || Story::of(9).order(1, 2, (0, 100), acknowledged(1));
    only_with_give_backs(story().read(7, (10, 11)).read(9, (20, 21)).read(7, (30, 31)).read(9, (40, 41)));
    // Once it is acknowledged it stays taken.
    story().read(9, (101, 102)).rejected(&["I5: a stale"]);
    // And it takes once.
    story().read(5, (10, 11)).rejected(&["I5: a stale"]);
}

#[test]
fn an_order_without_an_answer_may_come_and_go_for_ever() {
    let story = || Story::of(9).order(1, 2, (0, 10), UNKNOWN);
    only_with_give_backs(story().read(7, (500, 501)).read(9, (600, 601)).read(7, (700, 701)));
    story().read(7, (500, 501)).read(8, (600, 601)).rejected(&["I5: a stale"]);
    // It was not called yet.
    story().order(2, 1, (0, 1), SOLD_OUT).rejected(&["I5: refused for want"]);
    let before = Story::of(9).order(1, 2, (10, 20), UNKNOWN).read(7, (0, 9));
    before.rejected(&["I5: a stale"]);
}

#[test]
fn what_is_placed_does_not_go_any_more() {
    // It was seen, and it is in the ledger; a later number was acknowledged. Then it vanishes.
    let story = Story::of(9).order(1, 2, (0, 10), UNKNOWN).placed(1, 1, 2).order(2, 1, (20, 30), acknowledged(2));
    story.clone().read(7, (12, 13)).read(6, (40, 41)).accepted();
    story.read(7, (12, 13)).read(8, (40, 41)).rejected(&["I5: a stale"]);
}

#[test]
fn a_refused_order_may_have_held_stock_until_it_was_refused() {
    // Reserved by a leader that died; given back; sold to another one, and then it was refused.
    let story = || Story::of(2).order(1, 2, (0, 100), SOLD_OUT).order(2, 1, (0, 100), acknowledged(1));
    only_with_give_backs(story().read(0, (10, 11)).read(2, (20, 21)).read(1, (30, 31)));
    story().read(1, (101, 102)).accepted();
    story().read(0, (101, 102)).rejected(&["I5: a stale"]);
    // What it held itself is no reason to refuse it.
    Story::of(2).order(1, 2, (0, 100), SOLD_OUT).rejected(&["I5: refused for want of stock"]);
}

#[test]
fn a_key_that_has_its_number_holds_nothing_for_another_order() {
    let misused = |during| Story::of(9).order(1, 1, (10, 20), acknowledged(1)).order(1, 3, during, UNKNOWN);
    // Both were under way; which of them a leader that died had reserved, nobody knows.
    misused((5, 15)).read(6, (16, 17)).accepted();
    misused((5, 15)).read(6, (21, 22)).rejected(&["I5: a stale"]);
    misused((30, 40)).read(5, (31, 32)).rejected(&["I5: a stale"]);
}

#[test]
fn others_that_come_and_go_are_a_reason_to_refuse() {
    let story = |called| Story::of(2).order(1, 1, (called, 90), UNKNOWN).order(2, 2, (20, 30), SOLD_OUT);
    only_with_give_backs(story(0));
    story(31).rejected(&["I5: refused for want of stock"]);
}

#[test]
fn a_restock_may_find_nothing_because_all_is_reserved() {
    // One piece, reserved, restocked to ten, given back: eleven.
    let story = || Story::of(1).order(1, 1, (0, 10), UNKNOWN);
    only_with_give_backs(story().read(0, (5, 6)).read(10, (7, 8)).read(11, (20, 21)).restocked(1));
    story().read(11, (20, 21)).rejected(&["I5: a stale"]);
    let two = Story::of(2).order(1, 1, (0, 10), UNKNOWN).read(12, (20, 21)).restocked(1);
    two.rejected(&["I5: a stale", "I5: in the end Tux has 12 in stock, but the history allows 2"]);
}

#[test]
fn everything_overlaps() {
    let mut story = Story::of(7);
    for n in 1..=5_u64 {
        story = story.order(n.into(), n, (0, 1000), acknowledged(n));
    }
    // 1 + 2 + 3 + 4 + 5 of 7 + 10: every sum is possible at any moment, in any order.
    let stocks = [7, 0, 6, 1, 5, 2, 4, 3, 7];
    let story = stocks.iter().zip(1..).fold(story, |story, (stock, at)| story.read(*stock, (at * 10, at * 10 + 5)));
    only_with_give_backs(story.clone().restocked(1));
    story.read(18, (900, 901)).restocked(1).rejected(&["I5: a stale"]);
}
