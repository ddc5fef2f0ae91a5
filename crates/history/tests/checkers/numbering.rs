//! I2 and I3: order ids, numbers and ledgers.

use api::ErrorCode;
use history::{LedgerFile, OrderOutcome};

use crate::scenario::{HistoryScenario, UNKNOWN, acknowledged, ledger, line};

fn with_ledger(scenario: HistoryScenario, bytes: &[u8]) -> HistoryScenario {
    let mut scenario = scenario.finished();
    for ledger in &mut scenario.end.ledgers {
        ledger.bytes = bytes.to_vec();
    }
    scenario.end.accounts.clear();
    scenario
}

#[test]
fn retries_with_the_same_answer_are_accepted() {
    HistoryScenario::of(5)
        .order(1, 1, (0, 10), UNKNOWN)
        .order(1, 1, (20, 30), acknowledged(1))
        .order(1, 1, (25, 60), acknowledged(1))
        .order(1, 1, (70, 80), acknowledged(1))
        .order(1, 1, (70, 80), OrderOutcome::Refused(ErrorCode::Overloaded))
        .order(1, 2, (70, 80), OrderOutcome::Refused(ErrorCode::IdempotencyKeyReused))
        .accepted();
}

#[test]
fn an_order_has_one_number_and_a_number_one_order() {
    let verdict = HistoryScenario::of(5)
        .order(1, 1, (0, 10), acknowledged(1))
        .order(1, 1, (20, 30), acknowledged(2))
        .rejected(&["I2: one order got two numbers", "I2: replica 1's ledger has one order twice", "I5: at the end"]);
    assert_eq!((verdict.counts.acknowledged, verdict.counts.duplicated), (1, 1));
    let verdict =
        HistoryScenario::of(5).order(1, 1, (0, 10), acknowledged(1)).order(2, 1, (0, 10), acknowledged(1)).finished();
    let texts: Vec<_> = verdict.check().violations.iter().map(ToString::to_string).collect();
    assert!(texts.iter().any(|text| text.starts_with("I2: one number was given to two orders")), "{texts:#?}");
}

#[test]
fn a_key_belongs_to_one_order() {
    let scenario =
        HistoryScenario::of(5).order(1, 1, (0, 10), acknowledged(1)).order(1, 2, (20, 30), acknowledged(1)).finished();
    let texts: Vec<_> = scenario.check().violations.iter().map(ToString::to_string).collect();
    assert!(texts.iter().any(|text| text.starts_with("I2: one key was acknowledged for two")), "{texts:#?}");
}

#[test]
fn every_placed_order_was_requested() {
    HistoryScenario::of(5).order(1, 1, (0, 10), UNKNOWN).placed(1, 1, 1).accepted();
    HistoryScenario::of(5)
        .placed(1, 1, 1)
        .rejected(&["I2: no client requested this order: order 1", "I5: at the end Tux has 4"]);
    let other = HistoryScenario::of(5).order(1, 2, (0, 10), UNKNOWN).placed(1, 1, 1);
    other.rejected(&["I2: no client requested this order: order 1", "I5: at the end Tux has 4"]);
}

#[test]
fn numbers_have_no_gaps() {
    let scenario = || HistoryScenario::of(5).order(1, 1, (0, 10), UNKNOWN).order(2, 1, (0, 10), UNKNOWN);
    with_ledger(scenario(), &ledger(&[line(1, 1, 1), line(3, 2, 1)])).broken(&[1, 2, 3].map(|_| "I3: in the ledger"));
    with_ledger(scenario(), &ledger(&[line(2, 1, 1), line(1, 2, 1)])).broken(&["I3: in the ledger"; 3]);
    with_ledger(scenario(), &ledger(&[line(1, 1, 1), line(2, 2, 1)])).broken(&[]);
}

#[test]
fn a_number_is_not_skipped_and_assigned_later() {
    let scenario =
        |sent| HistoryScenario::of(5).order(1, 1, (0, 10), acknowledged(2)).order(2, 1, (sent, 30), acknowledged(1));
    scenario(5).accepted();
    scenario(10).accepted();
    scenario(11).rejected(&["I3: a number was skipped and assigned later"]);
}

#[test]
fn ledgers_are_identical_up_to_the_end_of_the_shorter_one() {
    let scenario = HistoryScenario::of(5).order(1, 1, (0, 10), UNKNOWN).order(2, 1, (0, 10), UNKNOWN).finished();
    let [one, other] = [[line(1, 1, 1), line(2, 2, 1)], [line(1, 1, 1), line(2, 1, 1)]].map(|lines| ledger(&lines));
    let mut diverged = scenario.clone();
    diverged.end.accounts.clear();
    diverged.end.ledgers[0].bytes.clone_from(&one);
    diverged.end.ledgers[1].bytes.clone_from(&one);
    diverged.end.ledgers[2].bytes = other;
    diverged
        .broken(&["I3: the ledgers of replicas 3 and 1 differ from line 3 on (the header is line 1): \"2,Tux,1,0000"]);
}

#[test]
fn names_may_contain_commas_and_quotes() {
    let name = api::ProductName::new("Ball, \"magic\"").unwrap();
    let mut scenario = HistoryScenario::of(5).order(1, 1, (0, 10), acknowledged(1)).finished();
    scenario.history.orders[0].product = name.clone();
    scenario.end.accounts[0].name = name;
    let content = "1,\"Ball, \"\"magic\"\"\",1,00000000-0000-0000-0000-000000000001";
    // In the first version of the format.
    let line = format!("{content},{:08x}\n", crc32c::crc32c(content.as_bytes()));
    for ledger in &mut scenario.end.ledgers {
        ledger.bytes = [b"number,name,quantity,order_id,checksum\n", line.as_bytes()].concat();
    }
    scenario.broken(&[]);
}

#[test]
fn a_damaged_ledger_is_detected() {
    let right = ledger(&[line(1, 1, 1), line(2, 2, 1)]);
    let scenario = || HistoryScenario::of(5).order(1, 1, (0, 10), UNKNOWN).order(2, 1, (0, 10), UNKNOWN).finished();
    let damage = |at: usize| {
        let mut scenario = scenario();
        scenario.end.accounts.clear();
        let mut bytes = right.clone();
        bytes[at] ^= 1;
        scenario.end.ledgers.truncate(1);
        scenario.end.ledgers = vec![LedgerFile { bytes, ..scenario.end.ledgers.remove(0) }];
        scenario.check()
    };
    // Not the last line feed: without it, the last line would be an incomplete write.
    for at in 0..right.len() - 1 {
        let text = damage(at).violations.first().unwrap_or_else(|| panic!("byte {at} was changed")).to_string();
        assert!(text.starts_with("I3: replica 1's ledger is damaged in line"), "{text}");
    }
}
