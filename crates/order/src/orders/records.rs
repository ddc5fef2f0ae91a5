//! The orders themselves, by number.

use api::{OrderId, OrderNumber, Quantity};

use super::names::NameIndex;

/// What is kept of an order; its number is its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) order_id: OrderId,
    pub(super) quantity: Quantity,
    pub(super) name: NameIndex,
}

const _: () = assert!(size_of::<Record>() == 24, "five million orders must fit into memory");

/// Orders per block: 96 KiB each.
const BLOCK_RECORDS: usize = 4096;

/// Grows by a block at a time, so that no order waits until all earlier ones have been moved to a larger place.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// All full but the last.
    blocks: Vec<Vec<Record>>,
}

impl Records {
    pub(super) fn len(&self) -> u64 {
        self.blocks.last().map_or(0, |last| (self.blocks.len() - 1) * BLOCK_RECORDS + last.len()) as u64
    }

    pub(super) fn next_number(&self) -> OrderNumber {
        OrderNumber::new(self.len() + 1).expect("one more than a length is not 0")
    }

    pub(super) fn get(&self, number: OrderNumber) -> Option<&Record> {
        let index = usize::try_from(number.get() - 1).ok()?;
        self.blocks.get(index / BLOCK_RECORDS)?.get(index % BLOCK_RECORDS)
    }

    pub(super) fn push(&mut self, record: Record) -> OrderNumber {
        let number = self.next_number();
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
