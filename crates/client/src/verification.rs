//! Verifies the acknowledged orders of a run: is every one of them there, as it was ordered?

use std::fmt;

use api::public::{NewOrder, Order};
use api::{OrderId, OrderNumber};
use serde::Serialize;
use workload::Purchase;

use crate::orders_file::AcknowledgedOrder;
use crate::retrying_store::RetryingStore;
use crate::shopper::FinishedShopper;
use crate::shopping_stats::CappedList;

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
        /// The number that it got the second time; `None` if the answer was "out of stock".
        again: Option<OrderNumber>,
    },
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
                    None => write!(f, "was refused as out of stock"),
                }
            }
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
    /// Everything that is wrong.
    pub mismatches: CappedList<Mismatch>,
}

impl OrderVerification {
    /// Adds the result for another shopper's orders.
    pub(crate) fn merge(&mut self, other: Self) {
        self.matching += other.matching;
        self.unverified += other.unverified;
        self.mismatches.merge(other.mismatches);
    }
}

/// Reads one shopper's orders and compares them; then sends the last order again.
///
/// The last order, because the store remembers the keys of the last million orders: this one is
/// certain to be remembered.
pub(crate) async fn verify_orders(shopper: FinishedShopper) -> OrderVerification {
    let FinishedShopper { store, orders } = shopper;
    store.reset_failures();
    let mut verification = OrderVerification::default();
    for order in &orders {
        if !store.should_continue() {
            verification.unverified += 1;
            continue;
        }
        match store.get_order(order.number).await {
            Ok(found) => match compare(order, found) {
                None => verification.matching += 1,
                Some(mismatch) => verification.mismatches.push(|| mismatch),
            },
            Err(_) => verification.unverified += 1,
        }
    }
    if let Some(last) = orders.last().filter(|_| store.should_continue()) {
        repeat_order(&store, last, &mut verification).await;
    }
    verification
}

async fn repeat_order(store: &RetryingStore, order: &AcknowledgedOrder, verification: &mut OrderVerification) {
    let body = NewOrder { name: order.name.clone(), quantity: order.quantity };
    let again = match store.repeat_order(order.order_id, &body).await {
        Ok(Purchase::Placed(number)) => Some(number),
        Ok(Purchase::SoldOut) => None,
        // The statistics count it as a failed request.
        Err(_) => return,
    };
    if again != Some(order.number) {
        verification.mismatches.push(|| Mismatch::NotIdempotent { acknowledged: order.clone(), again });
    }
}

/// Compares what the store returned with what it acknowledged.
fn compare(acknowledged: &AcknowledgedOrder, found: Option<Order>) -> Option<Mismatch> {
    let AcknowledgedOrder { number, name, quantity, .. } = acknowledged.clone();
    match found {
        None => Some(Mismatch::Lost(acknowledged.clone())),
        Some(found) if found == Order { number, name, quantity } => None,
        Some(found) => Some(Mismatch::Different { acknowledged: acknowledged.clone(), found }),
    }
}

/// Finds numbers that were assigned twice, to the same shopper or to different ones.
pub(crate) fn duplicate_numbers<'a>(orders: impl Iterator<Item = &'a AcknowledgedOrder>) -> CappedList<Mismatch> {
    let mut by_number: Vec<_> = orders.map(|order| (order.number, order.order_id)).collect();
    by_number.sort_unstable();
    let mut duplicates = CappedList::default();
    for pair in by_number.windows(2) {
        let ((number, one), (next, other)) = (pair[0], pair[1]);
        if number == next {
            duplicates.push(|| Mismatch::DuplicateNumber { number, order_ids: [one, other] });
        }
    }
    duplicates
}

#[cfg(test)]
mod tests {
    use api::{ProductName, Quantity};
    use uuid::Uuid;

    use super::*;

    fn acknowledged(number: u64, id: u128) -> AcknowledgedOrder {
        AcknowledgedOrder {
            number: OrderNumber::new(number).unwrap(),
            name: ProductName::new("Tux").unwrap(),
            quantity: Quantity::ONE,
            order_id: OrderId(Uuid::from_u128(id)),
        }
    }

    #[test]
    fn an_order_must_be_what_was_ordered() {
        let order = acknowledged(7, 1);
        let found = |number, name, quantity| Order {
            number: OrderNumber::new(number).unwrap(),
            name: ProductName::new(name).unwrap(),
            quantity: Quantity::new(quantity).unwrap(),
        };
        assert_eq!(compare(&order, Some(found(7, "Tux", 1))), None);
        assert_eq!(compare(&order, None), Some(Mismatch::Lost(order.clone())));
        for found in [found(8, "Tux", 1), found(7, "Uno", 1), found(7, "Tux", 2)] {
            let mismatch = Mismatch::Different { acknowledged: order.clone(), found: found.clone() };
            assert_eq!(compare(&order, Some(found)), Some(mismatch));
        }
    }

    #[test]
    fn a_number_is_given_once() {
        let orders = [acknowledged(3, 1), acknowledged(1, 2), acknowledged(3, 3), acknowledged(2, 4)];
        let twice = duplicate_numbers(orders.iter());
        let order_ids = [orders[0].order_id, orders[2].order_id];
        assert_eq!(
            (twice.total, twice.listed),
            (1, vec![Mismatch::DuplicateNumber { number: orders[0].number, order_ids }])
        );
        assert_eq!(duplicate_numbers(orders[..2].iter()).total, 0);
    }
}
