//! I5, in a store whose order leader never changed: what is taken stays taken.

use history::{Budget, GiveBacks, Options};

use crate::story::{SOLD_OUT, Story, UNKNOWN, acknowledged};

/// A story that is judged the same with and without give-backs: none is needed to explain it, and none explains it.
#[track_caller]
fn accepted(story: Story) {
    story.clone().with(|options| options.give_backs = GiveBacks::Never).accepted();
    story.accepted();
}

#[track_caller]
fn rejected(story: Story, words: &[&str]) {
    story.clone().with(|options| options.give_backs = GiveBacks::Never).rejected(words);
    story.rejected(words);
}

#[test]
fn a_read_tells_what_was_acknowledged_before_it() {
    let story = || Story::of(9).order(1, 2, (10, 20), acknowledged(1));
    accepted(story().read(9, (0, 5)).read(7, (30, 40)));
    rejected(story().read(7, (0, 5)), &["I5: a stale or impossible read: client 100 read Tux from 0.000 ms"]);
    let verdict = story().read(9, (30, 40)).rejected(&["I5: a stale or impossible read"]);
    assert_eq!((verdict.counts.stale_reads, verdict.counts.product_reads), (1, 1));
    let text = verdict.violations[0].to_string();
    assert!(text.ends_with("9 in stock; the orders acknowledged before and under way allow 7"), "{text}");
    // One moment in common is enough to be under way.
    accepted(story().read(9, (20, 30)));
    rejected(story().read(9, (21, 30)), &["I5: a stale"]);
}

#[test]
fn a_read_during_an_order_may_tell_either() {
    let story = || Story::of(9).order(1, 2, (10, 20), acknowledged(1));
    for stock in [9, 7] {
        accepted(story().read(stock, (12, 14)));
    }
    rejected(story().read(8, (12, 14)), &["I5: a stale"]);
    // Between two orders under way there are four possibilities, and 6 is none of them.
    let two = || story().order(2, 1, (10, 20), acknowledged(2));
    for stock in [9, 8, 7] {
        accepted(two().read(stock, (12, 14)));
    }
    accepted(two().read(6, (12, 14)));
    rejected(two().read(5, (12, 14)), &["I5: a stale"]);
}

#[test]
fn a_stale_read_through_another_frontend_is_found() {
    let story = Story::of(9)
        .order(1, 1, (0, 10), acknowledged(1))
        .read(8, (11, 12))
        .order(2, 1, (20, 30), acknowledged(2))
        .read(7, (31, 32))
        // The other frontend's cache.
        .read(8, (33, 34));
    rejected(story, &["I5: a stale"]);
}

#[test]
fn several_stale_reads_are_all_counted() {
    let story =
        Story::of(9).order(1, 1, (0, 10), acknowledged(1)).read(9, (11, 12)).read(8, (13, 14)).read(9, (15, 16));
    let verdict = story.rejected(&["I5: a stale", "I5: a stale"]);
    assert_eq!(verdict.counts.stale_reads, 2);
}

#[test]
fn many_clients_at_once_are_explained() {
    let mut story = Story::of(100);
    for n in 1..=16 {
        story = story.order(n, 1, (0, 100), acknowledged(u64::try_from(n).unwrap()));
    }
    let story = (0..=16).fold(story, |story, n| story.read(100 - n, (0, 100)));
    accepted(story.clone());
    rejected(story.clone().read(83, (0, 100)), &["I5: a stale"]);
    rejected(story.read(99, (101, 102)), &["I5: a stale"]);
}

#[test]
fn a_refusal_needs_a_moment_with_too_little() {
    accepted(Story::of(2).order(1, 3, (0, 10), SOLD_OUT));
    rejected(Story::of(3).order(1, 3, (0, 10), SOLD_OUT), &["I5: refused for want of stock although there was enough"]);
    let other = |during| Story::of(3).order(1, 1, during, acknowledged(1)).order(2, 3, (20, 30), SOLD_OUT);
    accepted(other((0, 10)));
    accepted(other((25, 40)));
    rejected(other((31, 40)), &["I5: refused for want of stock"]);
}

#[test]
fn an_order_that_is_sent_again_may_have_been_refused_before() {
    let story = |first, outcome| {
        Story::of(1)
            .order(1, 1, (0, 10), acknowledged(1))
            .order(2, 1, first, outcome)
            .read(10, (15, 16))
            .order(2, 1, (20, 30), SOLD_OUT)
            .restocked(1)
    };
    accepted(story((11, 12), UNKNOWN));
    accepted(story((11, 25), SOLD_OUT));
    let decided = "I5: refused for want of stock although there was enough";
    rejected(story((11, 12), SOLD_OUT), &[decided]);
    rejected(story((17, 18), UNKNOWN), &[decided]);
}

#[test]
fn no_more_is_sold_than_there_is() {
    let story = Story::of(2).order(1, 1, (0, 10), acknowledged(1)).order(2, 2, (20, 30), acknowledged(2)).finished();
    let texts: Vec<_> = story.judge().violations.iter().map(ToString::to_string).collect();
    assert!(texts.iter().any(|text| text.starts_with("I5: acknowledged although there was not enough")), "{texts:#?}");
}

#[test]
fn a_restock_comes_when_nothing_is_left() {
    let story = || Story::of(1).order(1, 1, (0, 10), acknowledged(1));
    accepted(story().read(0, (11, 12)).read(10, (13, 14)).restocked(1));
    // Sold, restocked, and the acknowledgement comes late.
    accepted(story().read(10, (5, 6)).read(10, (11, 12)).restocked(1));
    rejected(story().read(10, (11, 12)), &["I5: a stale"]);
    rejected(story().read(10, (11, 12)).read(0, (13, 14)).restocked(1), &["I5: a stale"]);
    // Not before it is sold out.
    let two = Story::of(2).order(1, 1, (0, 10), acknowledged(1)).read(11, (11, 12));
    rejected(two.restocked(1), &["I5: a stale", "I5: in the end Tux has 11 in stock, but the history allows 1"]);
}

#[test]
fn restocks_race_with_orders() {
    // All of ten pieces and of two restocks, while everything overlaps.
    let mut story = Story::of(10);
    for n in 1..=10_u64 {
        story = story.order(n.into(), 3, (0, 100), acknowledged(n));
    }
    // 10 − 3 × 3 = 1: never sold out. With orders of one piece in between it is.
    for n in 11..=15_u64 {
        story = story.order(n.into(), 1, (0, 100), acknowledged(n));
    }
    accepted(story.clone().read(0, (0, 100)).read(10, (0, 100)).restocked(3));
    let refused = story.order(99, 4, (0, 100), SOLD_OUT).restocked(3);
    accepted(refused);
}

#[test]
fn the_books_are_the_last_read() {
    let mut story = Story::of(5).order(1, 1, (0, 10), acknowledged(1)).finished();
    story.end.accounts[0].stock.0 = 3;
    story.end.accounts[0].sold = 2;
    story.broken(&["I4: 1 pieces are in the orders", "I5: in the end Tux has 3 in stock, but the history allows 4"]);
}

#[test]
fn an_order_without_an_answer_may_happen_much_later() {
    let story = || Story::of(9).order(1, 1, (0, 10), UNKNOWN);
    accepted(story().read(9, (20, 30)));
    accepted(story().read(9, (20, 30)).read(8, (1000, 1010)).read(8, (1020, 1030)).placed(1, 1, 1));
    // Also if it is never placed, in a store where nothing is given back: then nobody saw it.
    let seen = story().read(8, (20, 30));
    seen.clone().with(|options| options.give_backs = GiveBacks::Never).rejected(&["I5: a stale"]);
    seen.accepted();
    rejected(story().read(7, (20, 30)), &["I5: a stale"]);
}

#[test]
fn an_order_without_an_answer_is_placed_before_higher_numbers_are_known() {
    let story = || Story::of(9).order(1, 1, (0, 10), UNKNOWN).placed(1, 1, 1).order(2, 1, (20, 30), acknowledged(2));
    accepted(story().read(9, (15, 25)).read(7, (31, 32)));
    rejected(story().read(8, (31, 32)), &["I5: a stale"]);
    // Known by having been read.
    let read = Story::of(9).order(1, 1, (0, 10), UNKNOWN).placed(1, 1, 1).looked_up(1, Some(1), (20, 30));
    accepted(read.clone().read(8, (31, 32)));
    rejected(read.read(9, (31, 32)), &["I5: a stale"]);
}

#[test]
fn attempts_at_one_order_take_once() {
    let story = || Story::of(9).order(1, 1, (0, 10), UNKNOWN).order(1, 1, (20, 30), acknowledged(1));
    accepted(story().read(8, (5, 6)).read(8, (31, 32)));
    accepted(story().read(9, (15, 16)).read(8, (31, 32)));
    rejected(story().read(7, (31, 32)), &["I5: a stale"]);
    rejected(story().read(9, (31, 32)), &["I5: a stale"]);
    // Refused, then there was stock again.
    let refused = Story::of(1)
        .order(2, 1, (0, 10), acknowledged(1))
        .order(1, 1, (11, 20), SOLD_OUT)
        .order(1, 1, (30, 40), acknowledged(2))
        .restocked(1);
    accepted(refused.clone().read(0, (12, 13)).read(10, (25, 26)).read(9, (41, 42)));
    rejected(refused.read(10, (11, 12)).read(0, (13, 14)), &["I5: a stale"]);
}

#[test]
fn a_store_that_goes_on_may_have_orders_under_way() {
    let story = Story::of(9).order(1, 1, (0, 10), UNKNOWN).order(2, 1, (0, 10), acknowledged(1)).read(7, (20, 30));
    for give_backs in [GiveBacks::Never, GiveBacks::Anytime] {
        story.clone().with(|options| *options = Options { quiet: false, give_backs, ..options.clone() }).accepted();
    }
}

#[test]
fn what_is_not_decided_is_said_to_be() {
    let mut story = Story::of(100);
    for n in 1..=12_u64 {
        let quantity = 1 + n % 4;
        story = story.order(n.into(), quantity, (0, 100), acknowledged(n));
    }
    // Without give-backs this needs a search through all sets of takings.
    let story = story.read(71, (50, 60)).read(99, (61, 62)).with(|options| options.give_backs = GiveBacks::Never);
    story.clone().rejected(&["I5: a stale"]);
    let mut poor = story.finished();
    poor.options.budget = Budget { configurations_max: 20 };
    let verdict = poor.judge();
    assert_eq!((verdict.counts.violations, verdict.counts.undecided, verdict.counts.configurations), (0, 1, 20));
    assert!(verdict.is_clean());
}

#[test]
fn without_books_nothing_can_be_said() {
    let mut story = Story::of(9).order(1, 1, (0, 10), acknowledged(1)).read(3, (20, 30)).finished();
    story.end.accounts.clear();
    let verdict = story.judge();
    assert_eq!((verdict.counts.violations, verdict.counts.undecided), (0, 1));
}
