//! The broken promises of a run, as its summary lists them.

use std::fmt;

use api::public::Order;
use api::{OrderId, OrderNumber};
use history::{OrderCall, OrderOutcome, OrderRead, OrderReadOutcome, Violation};
use serde::Serialize;
use workload::verification::Verification;

use crate::orders_file::AcknowledgedOrder;
use crate::shopping_stats::CappedList;

/// How many violations are told apart. Further ones only count.
pub(crate) const VIOLATIONS_MAX: usize = 10_000;

/// A promise that the store broke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mismatch {
    /// An acknowledged order does not exist.
    Lost(AcknowledgedOrder),
    /// The order exists, but is not what was ordered.
    Different {
        /// What was acknowledged.
        acknowledged: AcknowledgedOrder,
        /// What the store returns for that number.
        found: Order,
    },
    /// Two orders were acknowledged under the same number.
    DuplicateNumber {
        /// The number.
        number: OrderNumber,
        /// The two orders.
        order_ids: [OrderId; 2],
    },
    /// An order that was sent again with its key did not get the same number again.
    NotIdempotent {
        /// What was acknowledged.
        acknowledged: AcknowledgedOrder,
        /// The number that it got the second time; `None` if it was refused.
        again: Option<OrderNumber>,
    },
    /// Anything else.
    Other(Violation),
}

impl Mismatch {
    /// The mismatch that the checkers found.
    pub(crate) fn new(violation: &Violation) -> Self {
        Self::known(violation).unwrap_or_else(|| Self::Other(violation.clone()))
    }

    fn known(violation: &Violation) -> Option<Self> {
        match violation {
            Violation::Vanished { call, .. } => acknowledged(call).map(Self::Lost),
            Violation::ReadDiffers { call, read } => {
                Some(Self::Different { acknowledged: acknowledged(call)?, found: found(read)? })
            }
            Violation::NumberShared { one, other } => Some(Self::DuplicateNumber {
                number: acknowledged(one)?.number,
                order_ids: [one.order_id, other.order_id],
            }),
            Violation::TwoNumbers { one, other } | Violation::AnswerChanged { first: one, other } => {
                let again = acknowledged(other).map(|order| order.number);
                Some(Self::NotIdempotent { acknowledged: acknowledged(one)?, again })
            }
            _ => None,
        }
    }
}

fn acknowledged(call: &OrderCall) -> Option<AcknowledgedOrder> {
    let OrderOutcome::Acknowledged(number) = call.outcome else { return None };
    let (name, quantity, order_id) = (call.product.clone(), call.quantity, call.order_id);
    Some(AcknowledgedOrder { number, name, quantity, order_id })
}

fn found(read: &OrderRead) -> Option<Order> {
    let OrderReadOutcome::Found { product, quantity } = &read.outcome else { return None };
    Some(Order { number: read.number, name: product.clone(), quantity: *quantity })
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(AcknowledgedOrder { number, name, quantity, order_id }) => {
                write!(f, "order {number} ({quantity} × {name}, {order_id}) was acknowledged, but does not exist")
            }
            Self::Different { acknowledged: AcknowledgedOrder { number, name, quantity, order_id }, found } => write!(
                f,
                "order {number} ({order_id}) was acknowledged as {quantity} × {name}, but is order {}, {} × {}",
                found.number, found.quantity, found.name
            ),
            Self::DuplicateNumber { number, order_ids: [one, other] } => {
                write!(f, "number {number} was assigned to two orders: {one} and {other}")
            }
            Self::NotIdempotent { acknowledged: AcknowledgedOrder { number, order_id, .. }, again } => {
                write!(f, "order {number} ({order_id}), sent again with its key, ")?;
                match again {
                    Some(again) => write!(f, "became order {again}"),
                    None => write!(f, "was refused"),
                }
            }
            Self::Other(violation) => violation.fmt(f),
        }
    }
}

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OrderVerification {
    /// Orders that exist as they were acknowledged.
    pub matching: u64,
    /// Orders that could not be read: nothing is known about them.
    pub unverified: u64,
    /// Shoppers whose last order could not be sent again.
    pub unrepeated: u64,
    /// Everything that is wrong.
    pub mismatches: CappedList<Mismatch>,
}

impl OrderVerification {
    /// Sorts the violations: numbers that were assigned twice are listed separately.
    pub(crate) fn new(verification: &Verification) -> (Self, CappedList<Mismatch>) {
        let Verification { read, unread, unrepeated, unchecked, verdict, .. } = verification;
        let (duplicates, mut mismatches) = sorted(&verdict.violations);
        let unlisted = verdict.counts.violations - verdict.violations.len() as u64;
        mismatches.total += unlisted;
        let is_wrong = |it: &&Violation| matches!(it, Violation::Vanished { .. } | Violation::ReadDiffers { .. });
        let wrong = verdict.violations.iter().filter(is_wrong).count() as u64 + unlisted;
        let (matching, unverified) = (read.saturating_sub(wrong), unread + unchecked);
        (Self { matching, unverified, unrepeated: *unrepeated, mismatches }, duplicates)
    }
}

/// The numbers that were assigned twice, and all other violations.
pub(crate) fn sorted(violations: &[Violation]) -> (CappedList<Mismatch>, CappedList<Mismatch>) {
    let (mut duplicates, mut mismatches) = (CappedList::default(), CappedList::default());
    for violation in violations {
        let list = if matches!(violation, Violation::NumberShared { .. }) { &mut duplicates } else { &mut mismatches };
        list.push(|| Mismatch::new(violation));
    }
    (duplicates, mismatches)
}
