//! The orders themselves, by number.

use api::{OrderId, OrderNumber, Quantity};

use super::names::NameIndex;

/// What is stored of an order; its number is its position.
#[derive(Clone, Copy, Debug)]
pub(super) struct OrderRecord {
    pub(super) order_id: OrderId,
    pub(super) quantity: Quantity,
    pub(super) name: NameIndex,
}

const _: () = assert!(size_of::<OrderRecord>() == 24, "five million orders must fit in memory");

/// Orders per block: 96 KiB each.
const BLOCK_RECORDS: usize = 4096;

/// Grows by one block at a time, so that no order waits while all earlier ones are moved to a
/// larger allocation.
#[derive(Debug, Default)]
pub(super) struct OrderRecords {
    /// All are full except the last.
    blocks: Vec<Vec<OrderRecord>>,
    pieces: u64,
}

impl OrderRecords {
    pub(super) fn len(&self) -> u64 {
        self.blocks.last().map_or(0, |last| (self.blocks.len() - 1) * BLOCK_RECORDS + last.len()) as u64
    }

    /// The total number of pieces of all orders.
    pub(super) fn pieces(&self) -> u64 {
        self.pieces
    }

    pub(super) fn next_number(&self) -> OrderNumber {
        OrderNumber::new(self.len() + 1).expect("one more than a length is not 0")
    }

    pub(super) fn get(&self, number: OrderNumber) -> Option<&OrderRecord> {
        let index = usize::try_from(number.get() - 1).ok()?;
        self.blocks.get(index / BLOCK_RECORDS)?.get(index % BLOCK_RECORDS)
    }

    pub(super) fn push(&mut self, record: OrderRecord) -> OrderNumber {
        let number = self.next_number();
        self.pieces = self.pieces.saturating_add(record.quantity.get().into());
        match self.blocks.last_mut() {
            Some(last) if last.len() < BLOCK_RECORDS => last.push(record),
            _ => {
                let mut block = Vec::with_capacity(BLOCK_RECORDS);
                block.push(record);
                self.blocks.push(block);
            }
        }
        number
    }
}
