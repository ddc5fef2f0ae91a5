//! I2 and I3.

use api::ErrorCode;
use history::{LedgerFile, OrderOutcome};

use crate::story::{SOLD_OUT, Story, UNKNOWN, acknowledged, ledger, line};

fn with_ledger(story: Story, bytes: &[u8]) -> Story {
    let mut story = story.finished();
    for ledger in &mut story.end.ledgers {
        ledger.bytes = bytes.to_vec();
    }
    story.end.accounts.clear();
    story
}

#[test]
fn retries_with_the_same_answer_are_accepted() {
    Story::of(5)
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
    let verdict = Story::of(5)
        .order(1, 1, (0, 10), acknowledged(1))
        .order(1, 1, (20, 30), acknowledged(2))
        .rejected(&["I2: one order got two numbers", "I2: replica 1's ledger has one order twice", "I5: in the end"]);
    assert_eq!((verdict.counts.acknowledged, verdict.counts.duplicated), (1, 1));
    let verdict = Story::of(5).order(1, 1, (0, 10), acknowledged(1)).order(2, 1, (0, 10), acknowledged(1)).finished();
    let texts: Vec<_> = verdict.judge().violations.iter().map(ToString::to_string).collect();
    assert!(texts.iter().any(|text| text.starts_with("I2: one number was given to two orders")), "{texts:#?}");
}

#[test]
fn a_key_stands_for_one_order() {
    let story = Story::of(5).order(1, 1, (0, 10), acknowledged(1)).order(1, 2, (20, 30), acknowledged(1)).finished();
    let texts: Vec<_> = story.judge().violations.iter().map(ToString::to_string).collect();
    assert!(texts.iter().any(|text| text.starts_with("I2: one key was acknowledged for two")), "{texts:#?}");
}

#[test]
fn what_was_acknowledged_is_not_refused_later() {
    let again = |outcome, during| Story::of(1).order(1, 1, (0, 10), acknowledged(1)).order(1, 1, during, outcome);
    again(SOLD_OUT, (20, 30)).rejected(&["I2: an acknowledged order was refused when it was repeated"]);
    again(OrderOutcome::Refused(ErrorCode::IdempotencyKeyReused), (20, 30))
        .rejected(&["I2: an acknowledged order was"]);
    again(OrderOutcome::Refused(ErrorCode::Overloaded), (20, 30)).accepted();
}

#[test]
fn what_is_placed_was_ordered_and_not_refused() {
    Story::of(5).order(1, 1, (0, 10), UNKNOWN).placed(1, 1, 1).accepted();
    Story::of(5).placed(1, 1, 1).rejected(&["I2: nobody asked for this order: order 1", "I5: in the end Tux has 4"]);
    let other = Story::of(5).order(1, 2, (0, 10), UNKNOWN).placed(1, 1, 1);
    other.rejected(&["I2: nobody asked for this order: order 1", "I5: in the end Tux has 4"]);
    let refused = || Story::of(1).order(2, 1, (0, 40), acknowledged(1)).order(1, 1, (0, 30), SOLD_OUT).restocked(1);
    refused().accepted();
    refused().placed(2, 1, 1).rejected(&["I2: an order was refused and is placed all the same"]);
    refused().placed(2, 1, 1).with(|options| options.refusals_final = false).accepted();
    refused().order(1, 1, (50, 60), UNKNOWN).placed(2, 1, 1).accepted();
}

#[test]
fn numbers_have_no_gaps() {
    let story = || Story::of(5).order(1, 1, (0, 10), UNKNOWN).order(2, 1, (0, 10), UNKNOWN);
    with_ledger(story(), &ledger(&[line(1, 1, 1), line(3, 2, 1)])).broken(&[1, 2, 3].map(|_| "I3: in replica"));
    with_ledger(story(), &ledger(&[line(2, 1, 1), line(1, 2, 1)])).broken(&["I3: in replica"; 3]);
    with_ledger(story(), &ledger(&[line(1, 1, 1), line(2, 2, 1)])).broken(&[]);
}

#[test]
fn a_number_is_not_left_out_and_given_later() {
    let story = |sent| Story::of(5).order(1, 1, (0, 10), acknowledged(2)).order(2, 1, (sent, 30), acknowledged(1));
    story(5).accepted();
    story(10).accepted();
    story(11).rejected(&["I3: a number was left out and given later"]);
}

#[test]
fn ledgers_are_the_same_bytes_up_to_the_shorter_one() {
    let story = Story::of(5).order(1, 1, (0, 10), UNKNOWN).order(2, 1, (0, 10), UNKNOWN).finished();
    let [one, other] = [[line(1, 1, 1), line(2, 2, 1)], [line(1, 1, 1), line(2, 1, 1)]].map(|lines| ledger(&lines));
    let mut diverged = story.clone();
    diverged.end.accounts.clear();
    diverged.end.ledgers[0].bytes.clone_from(&one);
    diverged.end.ledgers[1].bytes.clone_from(&one);
    diverged.end.ledgers[2].bytes = other;
    diverged
        .broken(&["I3: the ledgers of replicas 3 and 1 differ from line 3 on (the header is line 1): \"2,Tux,1,0000"]);
}

#[test]
fn names_may_have_commas_and_quotes() {
    let name = api::ProductName::new("Ball, \"magic\"").unwrap();
    let mut story = Story::of(5).order(1, 1, (0, 10), acknowledged(1)).finished();
    story.history.orders[0].product = name.clone();
    story.end.accounts[0].name = name;
    let content = "1,\"Ball, \"\"magic\"\"\",1,00000000-0000-0000-0000-000000000001";
    let line = format!("{content},{:08x}\n", crc32c::crc32c(content.as_bytes()));
    for ledger in &mut story.end.ledgers {
        ledger.bytes = [b"number,name,quantity,order_id,checksum\n", line.as_bytes()].concat();
    }
    story.broken(&[]);
}

#[test]
fn a_damaged_ledger_is_seen() {
    let right = ledger(&[line(1, 1, 1), line(2, 2, 1)]);
    let story = || Story::of(5).order(1, 1, (0, 10), UNKNOWN).order(2, 1, (0, 10), UNKNOWN).finished();
    let damage = |at: usize| {
        let mut story = story();
        story.end.accounts.clear();
        let mut bytes = right.clone();
        bytes[at] ^= 1;
        story.end.ledgers.truncate(1);
        story.end.ledgers = vec![LedgerFile { bytes, ..story.end.ledgers.remove(0) }];
        story.judge()
    };
    // Without the last line feed, which would make the last line one that was cut off.
    for at in 0..right.len() - 1 {
        let text = damage(at).violations.first().unwrap_or_else(|| panic!("byte {at} was changed")).to_string();
        assert!(text.starts_with("I3: replica 1's ledger is damaged in line"), "{text}");
    }
}
