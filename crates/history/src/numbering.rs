//! I2: an order id has at most one number, and a number belongs to one order id. I3: numbers have
//! no gaps at any time.

use std::collections::{BTreeMap, BTreeSet};

use api::OrderId;

use crate::call::OrderCall;
use crate::findings::Findings;
use crate::ledger::ParsedLedger;
use crate::order_index::{OrderIndex, RecordedOrder, returned_at};
use crate::verdict::Violation;

/// Checks the acknowledgements, and compares the longest ledger with the requests.
pub(crate) fn check(index: &OrderIndex<'_>, ledgers: &[ParsedLedger<'_>], findings: &mut Findings) {
    for calls in index.by_number.values() {
        let mut known = BTreeSet::from([calls[0].order_id]);
        for other in calls.iter().filter(|call| known.insert(call.order_id)) {
            findings.add(Violation::NumberShared { one: calls[0].clone(), other: (*other).clone() });
        }
    }
    one_number_per_id(index, findings);
    increasing_numbers(index, findings);
    if let Some(longest) = ledgers.first() {
        requested(index, longest, findings);
    }
}

/// Checks that each order id has one number and one order.
fn one_number_per_id(index: &OrderIndex<'_>, findings: &mut Findings) {
    let mut first: BTreeMap<OrderId, &OrderCall> = BTreeMap::new();
    for call in index.by_number.values().flatten() {
        let one = *first.entry(call.order_id).or_insert(call);
        if one.outcome != call.outcome {
            findings.add(Violation::TwoNumbers { one: one.clone(), other: (*call).clone() });
        } else if (&one.product, one.quantity) != (&call.product, call.quantity) {
            findings.add(Violation::KeyShared { one: one.clone(), other: (*call).clone() });
        }
    }
}

/// Checks I3: an order that is sent after a number was acknowledged gets a higher number.
fn increasing_numbers(index: &OrderIndex<'_>, findings: &mut Findings) {
    let mut first: Option<&OrderCall> = None;
    // In decreasing order of numbers. `first` is the earliest acknowledgement so far.
    for calls in index.by_number.values().rev() {
        let orders = index.by_id.get(&calls[0].order_id).into_iter().flatten();
        let sent = orders.map(RecordedOrder::first_called).min();
        if let Some(earlier) = first.filter(|earlier| sent.is_some_and(|sent| returned_at(earlier) < sent)) {
            findings.add(Violation::NumberTooLow { earlier: earlier.clone(), later: calls[0].clone() });
        }
        first = first.filter(|first| returned_at(first) <= returned_at(calls[0])).or(Some(calls[0]));
    }
}

/// Checks that each order in the ledger was requested.
fn requested(index: &OrderIndex<'_>, longest: &ParsedLedger<'_>, findings: &mut Findings) {
    for line in &longest.lines {
        let mut orders = index.by_id.get(&line.order_id).into_iter().flatten();
        if !orders.any(|order| *order.product() == line.product && order.quantity() == line.quantity) {
            findings.add(Violation::NeverOrdered { line: line.clone() });
        }
    }
}
