//! I2: one order id has at most one number, and one number belongs to one order id.

use std::collections::BTreeMap;

use api::{ErrorCode, OrderId};

use crate::call::{OrderCall, OrderOutcome};
use crate::findings::Findings;
use crate::index::{Index, Wish, ended};
use crate::ledger::Ledger;
use crate::options::Options;
use crate::verdict::Violation;

/// Judges the acknowledgements by themselves, and the longest ledger by what was asked for.
pub(crate) fn check(index: &Index<'_>, ledgers: &[Ledger<'_>], options: &Options, findings: &mut Findings) {
    for calls in index.acknowledged.values() {
        if let Some(other) = calls.iter().find(|call| call.order_id != calls[0].order_id) {
            findings.add(Violation::NumberShared { one: calls[0].clone(), other: (*other).clone() });
        }
    }
    one_number_per_id(index, findings);
    same_on_every_retry(index, findings);
    rising(index, findings);
    if let Some(longest) = ledgers.first() {
        asked_for(index, longest, options, findings);
    }
}

fn one_number_per_id(index: &Index<'_>, findings: &mut Findings) {
    let mut first: BTreeMap<OrderId, &OrderCall> = BTreeMap::new();
    for call in index.acknowledged.values().flatten() {
        let one = *first.entry(call.order_id).or_insert(call);
        if one.outcome != call.outcome {
            findings.add(Violation::TwoNumbers { one: one.clone(), other: (*call).clone() });
        } else if (&one.product, one.quantity) != (&call.product, call.quantity) {
            findings.add(Violation::KeyShared { one: one.clone(), other: (*call).clone() });
        }
    }
}

/// Numbers have no gaps at any time: an order that is sent after a number was acknowledged gets a higher one (I3).
fn rising(index: &Index<'_>, findings: &mut Findings) {
    let mut first: Option<&OrderCall> = None;
    // By falling numbers; `first` is what was received first of those so far.
    for calls in index.acknowledged.values().rev() {
        let wishes = index.wishes.get(&calls[0].order_id).into_iter().flatten();
        let sent = wishes.map(Wish::first_called).min();
        if let Some(earlier) = first.filter(|earlier| sent.is_some_and(|sent| ended(earlier) < sent)) {
            findings.add(Violation::NumberTooLow { earlier: earlier.clone(), later: calls[0].clone() });
        }
        first = first.filter(|first| ended(first) <= ended(calls[0])).or(Some(calls[0]));
    }
}

/// Once acknowledged, an order is not refused any more.
fn same_on_every_retry(index: &Index<'_>, findings: &mut Findings) {
    use ErrorCode::{IdempotencyKeyReused, NoSuchProduct, OutOfStock};
    for wish in index.all() {
        let Some(call) = wish.acknowledgement() else { continue };
        let refused = |again: &&&OrderCall| {
            matches!(again.outcome, OrderOutcome::Refused(IdempotencyKeyReused | NoSuchProduct | OutOfStock))
        };
        if let Some(again) = wish.attempts.iter().filter(refused).find(|again| again.called > ended(call)) {
            findings.add(Violation::RefusedAgain { call: call.clone(), again: (*again).clone() });
        }
    }
}

fn asked_for(index: &Index<'_>, longest: &Ledger<'_>, options: &Options, findings: &mut Findings) {
    for line in &longest.lines {
        let wishes = index.wishes.get(&line.order_id).into_iter().flatten();
        let wish = { wishes }.find(|wish| *wish.product() == line.product && wish.quantity() == line.quantity);
        let Some(wish) = wish else {
            findings.add(Violation::NeverOrdered { line: line.clone() });
            continue;
        };
        if let Some(call) = wish.refusal().filter(|_| options.refusals_final) {
            findings.add(Violation::RefusedButPlaced { call: call.clone(), line: line.clone() });
        }
    }
}
