//! Which of the last orders has an id.
//!
//! The records know the ids; here are only their numbers, by the hash of the id: five bytes for each place of the table instead of 25. What an order
//! looks up here lies anywhere in it, so the smaller it is, the more of it is in the processor's caches: a map of ids made each order on a machine of
//! three replicas take 9 % longer at a million orders than at ten thousand.

use std::hash::{BuildHasher, RandomState};

use api::{OrderId, OrderNumber};
use hashbrown::HashTable;

use super::records::Records;

/// The numbers of the orders that are remembered.
#[derive(Debug)]
pub(super) struct Index {
    numbers: HashTable<LowBits>,
    /// Ids come from shoppers, so the hash is keyed; nothing depends on its order.
    hasher: RandomState,
}

/// The lower half of a number: one of those that are remembered is told by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LowBits(u32);

impl LowBits {
    #[expect(clippy::cast_possible_truncation, reason = "this is what it is")]
    fn of(number: OrderNumber) -> Self {
        Self(number.get() as u32)
    }

    /// The number with these bits, which is one of the last of the `records`.
    fn number(self, records: &Records) -> OrderNumber {
        let next = records.next_number();
        let back = Self::of(next).0.wrapping_sub(self.0);
        OrderNumber::new(next.get() - u64::from(back)).expect("it was a number")
    }
}

impl Index {
    /// With room for so many orders at once: to grow by and by would hold up an order for as long as moving half a million takes.
    ///
    /// # Panics
    /// If their numbers are more than half a number can tell apart.
    pub(super) fn with_room_for(orders: usize) -> Self {
        assert!(u32::try_from(orders).is_ok(), "{orders} orders cannot be told apart");
        Self { numbers: HashTable::with_capacity(orders), hasher: RandomState::new() }
    }

    /// The number of the order with that id.
    pub(super) fn find(&self, order_id: OrderId, records: &Records) -> Option<OrderNumber> {
        let is_its = |bits: &LowBits| id_of(*bits, records) == order_id;
        self.numbers.find(self.hasher.hash_one(order_id), is_its).map(|bits| bits.number(records))
    }

    /// Remembers one of the `records` that is not remembered.
    pub(super) fn remember(&mut self, number: OrderNumber, records: &Records) {
        let bits = LowBits::of(number);
        let hash = |bits: &LowBits| self.hasher.hash_one(id_of(*bits, records));
        self.numbers.insert_unique(hash(&bits), bits, hash);
    }

    /// Forgets one that is.
    pub(super) fn forget(&mut self, number: OrderNumber, records: &Records) {
        let bits = LowBits::of(number);
        let entry = self.numbers.find_entry(self.hasher.hash_one(id_of(bits, records)), |known| *known == bits);
        entry.expect("it is remembered").remove();
    }
}

fn id_of(bits: LowBits, records: &Records) -> OrderId {
    records.get(bits.number(records)).expect("what is remembered has a record").order_id
}
