//! I7: the first final answer for an order's key never changes. A client that was told "refused"
//! never finds the order placed.
//!
//! The final answers are a number, and the refusals that are [final for a
//! key](api::ErrorCode::is_final). Any other refusal concerns one request only: the next one with
//! the same key may be placed.

use api::{ErrorCode, OrderId};

use crate::call::{OrderCall, OrderOutcome};
use crate::findings::Findings;
use crate::ledger::ParsedLedger;
use crate::options::CheckOptions;
use crate::order_index::{OrderIndex, RecordedOrder};
use crate::verdict::{LedgerLine, Violation};

/// Checks the answers for each key, and compares the refusals with the longest ledger.
pub(crate) fn check(
    index: &OrderIndex<'_>,
    ledgers: &[ParsedLedger<'_>],
    options: &CheckOptions,
    findings: &mut Findings,
) {
    for orders in index.by_id.values() {
        check_key(orders, findings);
    }
    for line in ledgers.first().into_iter().flat_map(|longest| &longest.lines) {
        if let Some(call) = refusal_of(index, line, options) {
            findings.add(Violation::RefusedButPlaced { call: call.clone(), line: line.clone() });
        }
    }
}

/// Checks all orders under one key.
fn check_key(orders: &[RecordedOrder<'_>], findings: &mut Findings) {
    let mut owner: Option<&OrderCall> = None;
    for order in orders {
        let Some(first) = order.final_answer() else { continue };
        if let Some(other) = order.final_answers().find(|other| differ(first, other)) {
            findings.add(Violation::AnswerChanged { first: first.clone(), other: other.clone() });
        }
        // Of several orders under one key, at most one has another answer than "key reused".
        if first.outcome != OrderOutcome::Refused(ErrorCode::IdempotencyKeyReused) {
            let owner = *owner.get_or_insert(first);
            if (&owner.product, owner.quantity) != (&first.product, first.quantity) && !both_placed(owner, first) {
                findings.add(Violation::AnswerChanged { first: owner.clone(), other: first.clone() });
            }
        }
    }
}

fn differ(one: &OrderCall, other: &OrderCall) -> bool {
    one.outcome != other.outcome && !both_placed(one, other)
}

/// Two numbers for one order, or two orders with a number, violate I2 instead.
fn both_placed(one: &OrderCall, other: &OrderCall) -> bool {
    [one, other].iter().all(|call| matches!(call.outcome, OrderOutcome::Acknowledged(_)))
}

/// The refusal because of which this order must not be in the ledger. If the order was acknowledged
/// too, the check of the answers finds it.
fn refusal_of<'a>(index: &'a OrderIndex<'_>, line: &LedgerLine, options: &CheckOptions) -> Option<&'a OrderCall> {
    let orders = index.by_id.get::<OrderId>(&line.order_id)?;
    if orders.iter().any(|order| order.acknowledgement().is_some()) {
        return None;
    }
    orders.iter().find_map(|order| {
        let same = *order.product() == line.product && order.quantity() == line.quantity;
        let for_another = OrderOutcome::Refused(ErrorCode::IdempotencyKeyReused);
        if same { order.refusal(options) } else { order.final_answer().filter(|call| call.outcome != for_another) }
    })
}
