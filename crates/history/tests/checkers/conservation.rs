//! I4.

use api::catalog::StockAccount;
use history::Verdict;

use crate::story::{LEVEL, Story, UNKNOWN, acknowledged};

/// Two pieces of five are sold, and the books are changed. I5 judges the stock in the end, so it sees some of it, too.
fn judged(change: impl FnOnce(&mut StockAccount), quiet: bool) -> Verdict {
    let story = Story::of(5).order(1, 2, (0, 10), acknowledged(1)).with(|options| options.quiet = quiet);
    let mut story = story.finished();
    change(&mut story.end.accounts[0]);
    story.judge()
}

#[track_caller]
fn broken(change: impl FnOnce(&mut StockAccount), words: &[&str]) {
    let found = judged(change, true).violations;
    let found: Vec<_> = found.iter().map(ToString::to_string).filter(|text| text.starts_with("I4")).collect();
    let as_expected = found.len() == words.len() && found.iter().zip(words).all(|(text, word)| text.starts_with(word));
    assert!(as_expected, "expected {words:#?}, found {found:#?}");
}

#[test]
fn books_that_add_up_are_accepted() {
    broken(|_| {}, &[]);
    assert!(judged(|_| {}, true).is_clean());
}

#[test]
fn every_piece_is_somewhere() {
    broken(|account| account.stock.0 -= 1, &["I4: the books do not add up"]);
    broken(|account| account.stock.0 += 1, &["I4: the books do not add up"]);
    broken(|account| account.initial -= 3, &["I4: the books do not add up"]);
    broken(|account| account.initial = u64::MAX, &["I4: the books do not add up"]);
    broken(|account| account.restocked = u64::MAX, &["I4: the books do not add up", "I4: restocks bring 10"]);
    broken(|account| account.sold = u64::MAX, &["I4: the books do not add up", "I4: 2 pieces are in the orders"]);
}

#[test]
fn nothing_is_reserved_for_ever() {
    let leak = |account: &mut StockAccount| {
        account.stock.0 -= 1;
        account.reserved = 1;
    };
    broken(leak, &["I4: the store is quiet, and 1 pieces are still reserved"]);
    assert_eq!(judged(leak, true).counts.leaked_pieces, 1);
    assert!(judged(leak, false).is_clean(), "an order may be under way");
}

#[test]
fn what_is_sold_was_ordered() {
    let one_more_sold = |account: &mut StockAccount| {
        account.stock.0 -= 1;
        account.sold += 1;
    };
    broken(one_more_sold, &["I4: 2 pieces are in the orders, but the books say"]);
    let one_less_taken = |account: &mut StockAccount| {
        account.stock.0 += 1;
        account.sold -= 1;
    };
    broken(one_less_taken, &["I4: 2 pieces are in the orders, but the books say"]);
    let text = judged(one_less_taken, false).violations[0].to_string();
    assert!(text.starts_with("I4: 2 pieces are in the orders"), "{text}");
    let not_settled = |account: &mut StockAccount| (account.sold, account.reserved) = (0, 2);
    assert!(judged(not_settled, false).is_clean());
}

#[test]
fn restocks_bring_whole_levels() {
    let in_part = |account: &mut StockAccount| {
        account.restocked = LEVEL - 1;
        account.stock.0 += LEVEL - 1;
    };
    broken(in_part, &["I4: restocks bring 10 pieces each"]);
    let story = Story::of(2).order(1, 2, (0, 10), acknowledged(1)).restocked(1);
    assert_eq!(story.finished().judge().counts.restocks, 1);
    let story =
        Story::of(2).order(1, 2, (0, 10), acknowledged(1)).restocked(1).with(|options| options.restock_level = None);
    let text = story.finished().judge().violations[0].to_string();
    assert!(text.starts_with("I4: restocks bring 0 pieces each"), "{text}");
}

#[test]
fn a_product_has_books() {
    let mut story = Story::of(5).order(1, 2, (0, 10), acknowledged(1)).finished();
    story.end.accounts[0].name = api::ProductName::new("Fox").unwrap();
    let found: Vec<_> = story.judge().violations.iter().map(ToString::to_string).collect();
    assert!(found.iter().any(|text| text.starts_with("I4: the catalog has no such product")), "{found:#?}");
}

#[test]
fn an_unknown_order_counts_if_it_is_placed() {
    Story::of(5).order(1, 2, (0, 10), UNKNOWN).accepted();
    Story::of(5).order(1, 2, (0, 10), UNKNOWN).placed(1, 1, 2).accepted();
}
