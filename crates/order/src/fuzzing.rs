//! What must hold for any bytes: nothing panics, and what is taken for a value is written and read again as the same.
//!
//! Driven by the property tests here and by the fuzz targets (`fuzz/`), which build this crate with `--cfg fuzzing`.

use api::{LogPosition, Term};
use replication::StateMachine;

pub use crate::ledger::fuzzing::{ledger, line, mark};
use crate::orders::{Command, Orders};

/// Commands of the log, applied one after the other.
pub fn commands(bytes: &[u8]) {
    let mut orders = Orders::remembering(4);
    let mut rest = bytes;
    let mut index = 0;
    while let Ok((command, behind)) = postcard::take_from_bytes::<Command>(rest) {
        let again = postcard::to_stdvec(&command).expect("it was decoded");
        assert_eq!(postcard::from_bytes::<Command>(&again).expect("it was encoded"), command);
        let term = match &command {
            Command::Begin { term } => *term,
            Command::Place { id, .. } => id.term,
        };
        let before = orders.count();
        // In the order in which leaders follow one another, as the log has it.
        orders.apply(LogPosition { term: Term(term.0.max(orders.begun().0)), index }, command);
        assert!(
            orders.count() >= before && orders.after(0).zip(1..).all(|(order, number)| order.number.get() == number)
        );
        (rest, index) = (behind, index + 1);
    }
}

#[cfg(test)]
mod tests {
    use api::catalog::OrderLine;
    use api::{BatchId, BatchNumber, OrderId, ProductName, Quantity};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn command() -> impl Strategy<Value = Command> {
        let order = (0..6_u128, "[A-C]", 1..4_u64).prop_map(|(id, name, quantity)| OrderLine {
            order_id: OrderId(uuid::Uuid::from_u128(id)),
            name: ProductName::new(&name).unwrap(),
            quantity: Quantity::new(quantity).unwrap(),
        });
        let place = (0..4_u64, any::<u64>(), vec(order, 0..5)).prop_map(|(term, batch, orders)| {
            let id = BatchId { term: Term(term), batch: BatchNumber(batch) };
            Command::Place { id, orders }
        });
        prop_oneof![(0..4_u64).prop_map(|term| Command::Begin { term: Term(term) }), place]
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(bytes in vec(any::<u8>(), 0..300)) {
            commands(&bytes);
            ledger(&bytes);
            line(&bytes);
            mark(&bytes);
        }

        #[test]
        fn few_and_small_bytes_are_borne(bytes in vec(0..3_u8, 0..80)) {
            commands(&bytes);
        }

        #[test]
        fn commands_in_any_order_are_borne(all in vec(command(), 0..12)) {
            commands(&all.iter().flat_map(|command| postcard::to_stdvec(command).unwrap()).collect::<Vec<_>>());
        }

        #[test]
        fn text_that_looks_like_a_ledger_is_borne(text in "([0-9]{1,2},[A-z\",é]{1,9},[0-9]{1,8},[0-9a-f-]{36}(,[0-9a-f]{8})?\n?){0,4}") {
            ledger(text.as_bytes());
            line(text.as_bytes());
        }
    }
}
