//! I4: stock is conserved.

use api::catalog::StockAccount;
use history::Verdict;

use crate::scenario::{HistoryScenario, LEVEL, UNKNOWN, acknowledged};

/// Sells two of five pieces and changes the stock account. The checker of I5 finds some of these
/// changes too, because it checks the final stock.
fn checked(change: impl FnOnce(&mut StockAccount), quiet: bool) -> Verdict {
    let scenario = HistoryScenario::of(5).order(1, 2, (0, 10), acknowledged(1)).with(|options| options.quiet = quiet);
    let mut scenario = scenario.finished();
    change(&mut scenario.end.accounts[0]);
    scenario.check()
}

#[track_caller]
fn broken(change: impl FnOnce(&mut StockAccount), words: &[&str]) {
    let found = checked(change, true).violations;
    let found: Vec<_> = found.iter().map(ToString::to_string).filter(|text| text.starts_with("I4")).collect();
    let as_expected = found.len() == words.len() && found.iter().zip(words).all(|(text, word)| text.starts_with(word));
    assert!(as_expected, "expected {words:#?}, found {found:#?}");
}

#[test]
fn an_account_that_adds_up_is_accepted() {
    broken(|_| {}, &[]);
    assert!(checked(|_| {}, true).is_clean());
}

#[test]
fn every_piece_is_somewhere() {
    broken(|account| account.stock.0 -= 1, &["I4: the stock account does not add up"]);
    broken(|account| account.stock.0 += 1, &["I4: the stock account does not add up"]);
    broken(|account| account.initial -= 3, &["I4: the stock account does not add up"]);
    broken(|account| account.initial = u64::MAX, &["I4: the stock account does not add up"]);
    broken(
        |account| account.restocked = u64::MAX,
        &["I4: the stock account does not add up", "I4: each restock adds 10"],
    );
    broken(
        |account| account.sold = u64::MAX,
        &["I4: the stock account does not add up", "I4: the orders contain 2 pieces"],
    );
}

#[test]
fn nothing_is_reserved_in_a_quiet_store() {
    let leak = |account: &mut StockAccount| {
        account.stock.0 -= 1;
        account.reserved = 1;
    };
    broken(leak, &["I4: the store is quiet, but 1 pieces are still reserved"]);
    assert_eq!(checked(leak, true).counts.leaked_pieces, 1);
    assert!(checked(leak, false).is_clean(), "an order may be in flight");
}

#[test]
fn every_sold_piece_was_ordered() {
    let one_more_sold = |account: &mut StockAccount| {
        account.stock.0 -= 1;
        account.sold += 1;
    };
    broken(one_more_sold, &["I4: the orders contain 2 pieces, but the stock account is"]);
    let one_less_taken = |account: &mut StockAccount| {
        account.stock.0 += 1;
        account.sold -= 1;
    };
    broken(one_less_taken, &["I4: the orders contain 2 pieces, but the stock account is"]);
    let text = checked(one_less_taken, false).violations[0].to_string();
    assert!(text.starts_with("I4: the orders contain 2 pieces"), "{text}");
    let not_settled = |account: &mut StockAccount| (account.sold, account.reserved) = (0, 2);
    assert!(checked(not_settled, false).is_clean());
}

#[test]
fn restocked_pieces_are_a_multiple_of_the_level() {
    let in_part = |account: &mut StockAccount| {
        account.restocked = LEVEL - 1;
        account.stock.0 += LEVEL - 1;
    };
    broken(in_part, &["I4: each restock adds 10 pieces"]);
    let scenario = HistoryScenario::of(2).order(1, 2, (0, 10), acknowledged(1)).restocked(1);
    assert_eq!(scenario.finished().check().counts.restocks, 1);
    let scenario = HistoryScenario::of(2)
        .order(1, 2, (0, 10), acknowledged(1))
        .restocked(1)
        .with(|options| options.restock_level = None);
    let text = scenario.finished().check().violations[0].to_string();
    assert!(text.starts_with("I4: each restock adds 0 pieces"), "{text}");
}

#[test]
fn an_ordered_product_has_an_account() {
    let mut scenario = HistoryScenario::of(5).order(1, 2, (0, 10), acknowledged(1)).finished();
    scenario.end.accounts[0].name = api::ProductName::new("Fox").unwrap();
    let found: Vec<_> = scenario.check().violations.iter().map(ToString::to_string).collect();
    assert!(found.iter().any(|text| text.starts_with("I4: the catalog has no such product")), "{found:#?}");
}

#[test]
fn an_order_with_an_unknown_outcome_counts_if_it_is_placed() {
    HistoryScenario::of(5).order(1, 2, (0, 10), UNKNOWN).accepted();
    HistoryScenario::of(5).order(1, 2, (0, 10), UNKNOWN).placed(1, 1, 2).accepted();
}
