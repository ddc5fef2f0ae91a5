//! Properties that must hold for any bytes: nothing panics, and each value that is accepted can be
//! written and read back unchanged.
//!
//! Driven by the property tests here and by the fuzz targets (`fuzz/`), which build this crate with
//! `--cfg fuzzing`.

use api::{LogPosition, Term};
use replication::StateMachine;

pub use crate::ledger::fuzzing::{checkpoint, ledger, line};
use crate::orders::{DedupWindow, OrderCommand, Orders};

/// Log commands, applied one after the other.
pub fn commands(bytes: &[u8]) {
    let mut orders = Orders::with_dedup_window(DedupWindow { orders: 4, refusals: 4 });
    let mut rest = bytes;
    let mut index = 0;
    while let Ok((command, behind)) = postcard::take_from_bytes::<OrderCommand>(rest) {
        let again = postcard::to_stdvec(&command).expect("it was decoded");
        assert_eq!(postcard::from_bytes::<OrderCommand>(&again).expect("it was encoded"), command);
        let term = match &command {
            OrderCommand::Begin { term } => *term,
            OrderCommand::UseLedgerFormat { .. } => Term(0),
            OrderCommand::Place { id, .. } | OrderCommand::Decide { id, .. } => id.term,
        };
        let before = orders.count();
        // Terms only grow, as they do in the log.
        orders.apply(LogPosition { term: Term(term.0.max(orders.begun().0)), index }, command);
        assert!(
            orders.count() >= before && orders.after(0).zip(1..).all(|(order, number)| order.number.get() == number)
        );
        (rest, index) = (behind, index + 1);
    }
}

#[cfg(test)]
mod tests {
    use crate::orders::{RefusalReason, RefusedOrder};
    use api::catalog::OrderLine;
    use api::{BatchId, BatchNumber, OrderId, ProductName, Quantity};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::ledger_format::LedgerFormat;

    fn command() -> impl Strategy<Value = OrderCommand> {
        let order = (0..6_u128, "[A-C]", 1..4_u64).prop_map(|(id, name, quantity)| OrderLine {
            order_id: OrderId(uuid::Uuid::from_u128(id)),
            name: ProductName::new(&name).unwrap(),
            quantity: Quantity::new(quantity).unwrap(),
        });
        let place = (0..4_u64, any::<u64>(), vec(order.clone(), 0..5), vec(order, 0..3)).prop_map(
            |(term, batch, orders, refused)| {
                let id = BatchId { term: Term(term), batch: BatchNumber(batch) };
                if refused.is_empty() {
                    return OrderCommand::Place { id, orders };
                }
                let refused = refused
                    .into_iter()
                    .map(|line| RefusedOrder { line, reason: RefusalReason::NoSuchProduct })
                    .collect();
                OrderCommand::Decide { id, orders, refused }
            },
        );
        prop_oneof![
            (0..4_u64).prop_map(|term| OrderCommand::Begin { term: Term(term) }),
            Just(OrderCommand::UseLedgerFormat { format: LedgerFormat::NEWEST }),
            place
        ]
    }

    proptest! {
        #[test]
        fn any_bytes_are_handled(bytes in vec(any::<u8>(), 0..300)) {
            commands(&bytes);
            ledger(&bytes);
            line(&bytes);
            checkpoint(&bytes);
        }

        #[test]
        fn few_and_small_bytes_are_handled(bytes in vec(0..3_u8, 0..80)) {
            commands(&bytes);
        }

        #[test]
        fn commands_in_any_order_are_handled(all in vec(command(), 0..12)) {
            commands(&all.iter().flat_map(|command| postcard::to_stdvec(command).unwrap()).collect::<Vec<_>>());
        }

        #[test]
        fn text_that_looks_like_a_ledger_is_handled(text in "([0-9]{1,2},[A-z\",é]{1,9},[0-9]{1,8},[0-9a-f-]{36}(,[0-9a-f]{8})?\n?){0,4}") {
            ledger(text.as_bytes());
            line(text.as_bytes());
        }
    }
}
