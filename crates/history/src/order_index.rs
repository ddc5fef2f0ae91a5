//! Groups the attempts at orders by order id, and the acknowledgements by order number.

use std::collections::BTreeMap;

use api::{ErrorCode, OrderId, OrderNumber, ProductName, Quantity};

use crate::call::{History, Moment, OrderCall, OrderOutcome};
use crate::findings::Findings;
use crate::options::CheckOptions;

/// One order: all attempts with the same order id, product and quantity.
#[derive(Debug)]
pub(crate) struct RecordedOrder<'a> {
    /// In the order of their calls; never empty.
    pub(crate) attempts: Vec<&'a OrderCall>,
}

impl<'a> RecordedOrder<'a> {
    pub(crate) fn product(&self) -> &'a ProductName {
        &self.attempts[0].product
    }

    pub(crate) fn quantity(&self) -> Quantity {
        self.attempts[0].quantity
    }

    pub(crate) fn first_called(&self) -> Moment {
        self.attempts[0].called
    }

    /// The first received acknowledgement.
    pub(crate) fn acknowledgement(&self) -> Option<&'a OrderCall> {
        let acknowledged = |call: &&&OrderCall| matches!(call.outcome, OrderOutcome::Acknowledged(_));
        self.attempts.iter().filter(acknowledged).min_by_key(|call| returned_at(call)).copied()
    }

    /// The answers that are final for the key (I7).
    pub(crate) fn final_answers(&self) -> impl Iterator<Item = &'a OrderCall> {
        self.attempts.iter().copied().filter(|call| call.outcome.is_final())
    }

    /// The first received final answer.
    pub(crate) fn final_answer(&self) -> Option<&'a OrderCall> {
        self.final_answers().min_by_key(|call| returned_at(call))
    }

    /// The first received refusal with this code.
    pub(crate) fn refused_with(&self, code: ErrorCode) -> Option<&'a OrderCall> {
        self.final_answers()
            .filter(|call| call.outcome == OrderOutcome::Refused(code))
            .min_by_key(|call| returned_at(call))
    }

    /// The refusal after which the order is certainly not placed any more: the first one that is
    /// final for its key, or the last one if every attempt was refused and no request can have
    /// arrived twice.
    pub(crate) fn refusal(&self, options: &CheckOptions) -> Option<&'a OrderCall> {
        let is_refusal = |call: &&OrderCall| matches!(call.outcome, OrderOutcome::Refused(_));
        let final_refusal = self.final_answers().filter(|call| is_refusal(call)).min_by_key(|call| returned_at(call));
        final_refusal.or_else(|| {
            let all_refused = !options.duplicated_requests && self.attempts.iter().all(is_refusal);
            all_refused.then(|| self.attempts.iter().max_by_key(|call| returned_at(call)).copied()).flatten()
        })
    }
}

/// When the answer was received, or [`Moment::NEVER`] if there was none.
pub(crate) fn returned_at(call: &OrderCall) -> Moment {
    call.returned.unwrap_or(Moment::NEVER)
}

/// All orders of a history.
#[derive(Debug)]
pub(crate) struct OrderIndex<'a> {
    /// The orders by id. There is more than one under an id if its key was used for different
    /// orders.
    pub(crate) by_id: BTreeMap<OrderId, Vec<RecordedOrder<'a>>>,
    /// The acknowledgements of each order number, in the order in which they were received.
    pub(crate) by_number: BTreeMap<OrderNumber, Vec<&'a OrderCall>>,
}

impl<'a> OrderIndex<'a> {
    pub(crate) fn new(history: &'a History) -> Self {
        let mut by_id: BTreeMap<OrderId, Vec<RecordedOrder<'a>>> = BTreeMap::new();
        let mut by_number: BTreeMap<OrderNumber, Vec<&'a OrderCall>> = BTreeMap::new();
        for call in &history.orders {
            let orders = by_id.entry(call.order_id).or_default();
            match orders.iter_mut().find(|order| *order.product() == call.product && order.quantity() == call.quantity)
            {
                Some(order) => order.attempts.push(call),
                None => orders.push(RecordedOrder { attempts: vec![call] }),
            }
            if let OrderOutcome::Acknowledged(number) = call.outcome {
                by_number.entry(number).or_default().push(call);
            }
        }
        for order in by_id.values_mut().flatten() {
            order.attempts.sort_by_key(|call| call.called);
        }
        for calls in by_number.values_mut() {
            calls.sort_by_key(|call| returned_at(call));
        }
        Self { by_id, by_number }
    }

    /// All orders, by order id.
    pub(crate) fn all(&self) -> impl Iterator<Item = &RecordedOrder<'a>> {
        self.by_id.values().flatten()
    }

    /// Counts the orders by their outcome.
    pub(crate) fn count(&self, options: &CheckOptions, findings: &mut Findings) {
        let counts = &mut findings.counts;
        for orders in self.by_id.values() {
            if orders.iter().any(|order| order.acknowledgement().is_some()) {
                counts.acknowledged += 1;
            } else if orders.iter().all(|order| order.refusal(options).is_some()) {
                counts.refused += 1;
            } else {
                counts.unknown += 1;
            }
        }
    }
}
