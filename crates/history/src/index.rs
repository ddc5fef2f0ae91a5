//! The history's orders, put together: attempts by order id, acknowledgements by number.

use std::collections::BTreeMap;

use api::{OrderId, OrderNumber, ProductName, Quantity};

use crate::call::{History, Moment, OrderCall, OrderOutcome};
use crate::findings::Findings;

/// What was ordered under one id: all attempts with the same product and quantity.
#[derive(Debug)]
pub(crate) struct Wish<'a> {
    /// By the moment of the call; never empty.
    pub(crate) attempts: Vec<&'a OrderCall>,
}

impl<'a> Wish<'a> {
    pub(crate) fn product(&self) -> &'a ProductName {
        &self.attempts[0].product
    }

    pub(crate) fn quantity(&self) -> Quantity {
        self.attempts[0].quantity
    }

    pub(crate) fn first_called(&self) -> Moment {
        self.attempts[0].called
    }

    /// Since when `attempt` may have been decided: it joins those before it that were not answered yet, and shares their fate.
    pub(crate) fn under_way_since(&self, attempt: &OrderCall) -> Moment {
        let joined = |call: &&&OrderCall| call.outcome == OrderOutcome::Unknown || ended(call) >= attempt.called;
        self.attempts.iter().filter(joined).map(|call| call.called).fold(attempt.called, Moment::min)
    }

    /// The acknowledgement that was received first.
    pub(crate) fn acknowledgement(&self) -> Option<&'a OrderCall> {
        let acknowledged = |call: &&&OrderCall| matches!(call.outcome, OrderOutcome::Acknowledged(_));
        self.attempts.iter().filter(acknowledged).min_by_key(|call| ended(call)).copied()
    }

    /// The last refusal, if every attempt was refused.
    pub(crate) fn refusal(&self) -> Option<&'a OrderCall> {
        let refused = |call: &&OrderCall| matches!(call.outcome, OrderOutcome::Refused(_));
        if self.attempts.iter().all(refused) {
            self.attempts.iter().max_by_key(|call| ended(call)).copied()
        } else {
            None
        }
    }
}

/// When an answer was received; never, if there was none.
pub(crate) fn ended(call: &OrderCall) -> Moment {
    call.returned.unwrap_or(Moment::NEVER)
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Index<'a> {
    /// More than one wish under an id: its key was used for different orders.
    pub(crate) wishes: BTreeMap<OrderId, Vec<Wish<'a>>>,
    /// For each number its acknowledgements, the first received first.
    pub(crate) acknowledged: BTreeMap<OrderNumber, Vec<&'a OrderCall>>,
}

impl<'a> Index<'a> {
    pub(crate) fn new(history: &'a History) -> Self {
        let mut wishes: BTreeMap<OrderId, Vec<Wish<'a>>> = BTreeMap::new();
        let mut acknowledged: BTreeMap<OrderNumber, Vec<&'a OrderCall>> = BTreeMap::new();
        for call in &history.orders {
            let under_id = wishes.entry(call.order_id).or_default();
            match under_id.iter_mut().find(|wish| *wish.product() == call.product && wish.quantity() == call.quantity) {
                Some(wish) => wish.attempts.push(call),
                None => under_id.push(Wish { attempts: vec![call] }),
            }
            if let OrderOutcome::Acknowledged(number) = call.outcome {
                acknowledged.entry(number).or_default().push(call);
            }
        }
        for wish in wishes.values_mut().flatten() {
            wish.attempts.sort_by_key(|call| call.called);
        }
        for calls in acknowledged.values_mut() {
            calls.sort_by_key(|call| ended(call));
        }
        Self { wishes, acknowledged }
    }

    /// All wishes, by order id.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Wish<'a>> {
        self.wishes.values().flatten()
    }

    pub(crate) fn count(&self, findings: &mut Findings) {
        let counts = &mut findings.counts;
        for wishes in self.wishes.values() {
            if wishes.iter().any(|wish| wish.acknowledgement().is_some()) {
                counts.acknowledged += 1;
            } else if wishes.iter().all(|wish| wish.refusal().is_some()) {
                counts.refused += 1;
            } else {
                counts.unknown += 1;
            }
        }
    }
}
