//! Finds the remembered orders by id.
//!
//! The records hold the ids. The index holds only their numbers, by the hash of the id: five bytes
//! per slot of the table instead of 25. Lookups hit random slots, so the smaller the table is, the
//! more of it stays in the processor's caches. With a map of ids, each order on a machine of three
//! replicas took 9 % longer at a million orders than at ten thousand.

use std::hash::{BuildHasher, RandomState};

use api::{OrderId, OrderNumber};
use hashbrown::HashTable;

use super::records::OrderRecords;

/// The numbers of the remembered orders.
#[derive(Debug)]
pub(super) struct OrderIdIndex {
    numbers: HashTable<LowBits>,
    /// Clients choose the ids, so the hash is keyed. Nothing depends on its order.
    hasher: RandomState,
}

/// The lower half of a number. It identifies a number among those that are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LowBits(u32);

impl LowBits {
    #[expect(clippy::cast_possible_truncation, reason = "only the lower half is kept")]
    fn of(number: OrderNumber) -> Self {
        Self(number.get() as u32)
    }

    /// The number with these bits among the last of the `records`.
    fn number(self, records: &OrderRecords) -> OrderNumber {
        let next = records.next_number();
        let back = Self::of(next).0.wrapping_sub(self.0);
        OrderNumber::new(next.get() - u64::from(back)).expect("it was a number")
    }
}

impl OrderIdIndex {
    /// Allocates space for this many orders at once. A table that grows would delay an order for as
    /// long as it takes to move half a million entries.
    ///
    /// # Panics
    /// If half a number cannot tell that many orders apart.
    pub(super) fn with_room_for(orders: usize) -> Self {
        assert!(u32::try_from(orders).is_ok(), "{orders} orders cannot be told apart");
        Self { numbers: HashTable::with_capacity(orders), hasher: RandomState::new() }
    }

    /// The number of the order with that id.
    pub(super) fn find(&self, order_id: OrderId, records: &OrderRecords) -> Option<OrderNumber> {
        let is_its = |bits: &LowBits| id_of(*bits, records) == order_id;
        self.numbers.find(self.hasher.hash_one(order_id), is_its).map(|bits| bits.number(records))
    }

    /// Adds one of the `records` that is not in the index.
    pub(super) fn remember(&mut self, number: OrderNumber, records: &OrderRecords) {
        let bits = LowBits::of(number);
        let hash = |bits: &LowBits| self.hasher.hash_one(id_of(*bits, records));
        self.numbers.insert_unique(hash(&bits), bits, hash);
    }

    /// Removes an order that is in the index.
    pub(super) fn forget(&mut self, number: OrderNumber, records: &OrderRecords) {
        let bits = LowBits::of(number);
        let entry = self.numbers.find_entry(self.hasher.hash_one(id_of(bits, records)), |known| *known == bits);
        entry.expect("it is remembered").remove();
    }
}

fn id_of(bits: LowBits, records: &OrderRecords) -> OrderId {
    records.get(bits.number(records)).expect("what is remembered has a record").order_id
}
