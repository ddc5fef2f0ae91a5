//! The reckoning: is every acknowledged order there, as it was ordered?

use std::fmt;

use api::public::{NewOrder, Order};
use api::{OrderId, OrderNumber};
use serde::Serialize;

use crate::Acknowledged;
use crate::patient::PatientStore;
use crate::shopper::Visit;
use crate::store::Purchase;
use crate::tally::FirstFew;

/// A promise that the store broke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mismatch {
    /// An acknowledged order is not there.
    Lost(Acknowledged),
    /// It is there, but as another order.
    Different {
        /// What was acknowledged.
        acknowledged: Acknowledged,
        /// What the store shows for that number.
        found: Order,
    },
    /// Two orders were acknowledged under one number.
    NumberTwice {
        /// The number.
        number: OrderNumber,
        /// The orders.
        order_ids: [OrderId; 2],
    },
    /// The same order, sent again with its key, was not given its number again.
    NotIdempotent {
        /// What was acknowledged.
        acknowledged: Acknowledged,
        /// The number that it got the second time; `None` if it was told "out of stock".
        again: Option<OrderNumber>,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(Acknowledged { number, name, quantity, order_id }) => {
                write!(f, "order {number} ({quantity} × {name}, {order_id}) was acknowledged, and is not there")
            }
            Self::Different { acknowledged: Acknowledged { number, name, quantity, order_id }, found } => write!(
                f,
                "order {number} ({order_id}) was acknowledged as {quantity} × {name}, and is order {}, {} × {}",
                found.number, found.quantity, found.name
            ),
            Self::NumberTwice { number, order_ids: [one, other] } => {
                write!(f, "number {number} was given to two orders: {one} and {other}")
            }
            Self::NotIdempotent { acknowledged: Acknowledged { number, order_id, .. }, again } => {
                write!(f, "order {number} ({order_id}), sent again with its key, ")?;
                match again {
                    Some(again) => write!(f, "became order {again}"),
                    None => write!(f, "was told that it is sold out"),
                }
            }
        }
    }
}

/// What the reckoning found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Orders that are there, as they were acknowledged.
    pub matching: u64,
    /// Orders that could not be fetched: nothing is known about them.
    pub unverified: u64,
    /// Everything that is wrong.
    pub mismatches: FirstFew<Mismatch>,
}

impl Checked {
    /// Adds what another shopper found.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.matching += other.matching;
        self.unverified += other.unverified;
        self.mismatches.absorb(other.mismatches);
    }
}

/// Fetches one shopper's orders and compares them; sends the last one again.
///
/// The last one, because the store remembers keys for a million orders: it is the one that is remembered for sure.
pub(crate) async fn check(visit: Visit) -> Checked {
    let Visit { store, orders } = visit;
    store.forgive();
    let mut checked = Checked::default();
    for order in &orders {
        if !store.goes_on() {
            checked.unverified += 1;
            continue;
        }
        match store.placed(order.number).await {
            Ok(found) => match compare(order, found) {
                None => checked.matching += 1,
                Some(mismatch) => checked.mismatches.push(|| mismatch),
            },
            Err(_) => checked.unverified += 1,
        }
    }
    if let Some(last) = orders.last().filter(|_| store.goes_on()) {
        repeat(&store, last, &mut checked).await;
    }
    checked
}

async fn repeat(store: &PatientStore, order: &Acknowledged, checked: &mut Checked) {
    let body = NewOrder { name: order.name.clone(), quantity: order.quantity };
    let again = match store.repeat(order.order_id, &body).await {
        Ok(Purchase::Placed(number)) => Some(number),
        Ok(Purchase::SoldOut) => None,
        // In the tally as a failed request.
        Err(_) => return,
    };
    if again != Some(order.number) {
        checked.mismatches.push(|| Mismatch::NotIdempotent { acknowledged: order.clone(), again });
    }
}

/// What is wrong with what the store shows for an acknowledged order.
fn compare(acknowledged: &Acknowledged, found: Option<Order>) -> Option<Mismatch> {
    let Acknowledged { number, name, quantity, .. } = acknowledged.clone();
    match found {
        None => Some(Mismatch::Lost(acknowledged.clone())),
        Some(found) if found == Order { number, name, quantity } => None,
        Some(found) => Some(Mismatch::Different { acknowledged: acknowledged.clone(), found }),
    }
}

/// Numbers that were given twice, to whichever shoppers.
pub(crate) fn numbered_twice<'a>(orders: impl Iterator<Item = &'a Acknowledged>) -> FirstFew<Mismatch> {
    let mut by_number: Vec<_> = orders.map(|order| (order.number, order.order_id)).collect();
    by_number.sort_unstable();
    let mut twice = FirstFew::default();
    for pair in by_number.windows(2) {
        let ((number, one), (next, other)) = (pair[0], pair[1]);
        if number == next {
            twice.push(|| Mismatch::NumberTwice { number, order_ids: [one, other] });
        }
    }
    twice
}

#[cfg(test)]
mod tests {
    use api::{ProductName, Quantity};
    use uuid::Uuid;

    use super::*;

    fn acknowledged(number: u64, id: u128) -> Acknowledged {
        Acknowledged {
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
        let twice = numbered_twice(orders.iter());
        let order_ids = [orders[0].order_id, orders[2].order_id];
        assert_eq!(
            (twice.total, twice.listed),
            (1, vec![Mismatch::NumberTwice { number: orders[0].number, order_ids }])
        );
        assert_eq!(numbered_twice(orders[..2].iter()).total, 0);
    }
}
