//! The last orders that were refused for good, by id.
//!
//! An entry takes 28 bytes, plus about 30 for the index. Only a checksum of the product name is
//! stored: clients choose the name, so with whole names a client could decide how much memory a
//! refusal takes. A client that finds two names with the same checksum, and orders both under one
//! key, gets the refusal of the first for the second; no other client is affected.

use std::collections::{HashMap, VecDeque};

use api::catalog::OrderLine;
use api::{OrderId, ProductName, Quantity};

use super::command::{RefusalReason, RefusedOrder};

/// One entry in a checkpoint: id, checksum of the name, quantity, reason.
const ENTRY_BYTES: usize = 16 + 4 + 4 + 1;
/// The total count, and the number of entries that follow.
const HEAD_BYTES: usize = 8 + 4;

/// The remembered refusals.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// The oldest first.
    entries: VecDeque<RefusalEntry>,
    /// By id, which of all refusals it is, counted from 0. The hash is keyed, because clients
    /// choose the ids; nothing depends on its order.
    index: HashMap<OrderId, u64>,
    /// How many refusals there have ever been.
    count: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RefusalEntry {
    order_id: OrderId,
    name: u32,
    quantity: Quantity,
    reason: RefusalReason,
}

/// What is known about a refused id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusalMatch {
    /// This very order was refused.
    Same(RefusalReason),
    /// Another order with the same id was refused.
    Other,
}

impl Refusals {
    /// How many refusals there have ever been.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Whether the order's id is among the remembered refusals.
    pub(super) fn find(&self, line: &OrderLine) -> Option<RefusalMatch> {
        // Most stores never refuse an order that has a key, so their orders skip the lookup.
        if self.entries.is_empty() {
            return None;
        }
        let first = self.count - self.entries.len() as u64;
        let position = self.index.get(&line.order_id)? - first;
        let entry = &self.entries[usize::try_from(position).expect("as many as are remembered")];
        let same = (entry.name, entry.quantity) == (checksum(&line.name), line.quantity);
        Some(if same { RefusalMatch::Same(entry.reason) } else { RefusalMatch::Other })
    }

    /// Remembers an id that is not remembered, and keeps only the last `remembered`.
    pub(super) fn add(&mut self, RefusedOrder { line, reason }: &RefusedOrder, remembered: usize) {
        let (order_id, name, quantity) = (line.order_id, checksum(&line.name), line.quantity);
        self.push(RefusalEntry { order_id, name, quantity, reason: *reason });
        self.keep(remembered);
    }

    /// Forgets all but the last `remembered`.
    pub(super) fn keep(&mut self, remembered: usize) {
        while self.entries.len() > remembered {
            let oldest = self.entries.pop_front().expect("it is not empty");
            self.index.remove(&oldest.order_id);
        }
    }

    fn push(&mut self, entry: RefusalEntry) {
        let known = self.index.insert(entry.order_id, self.count);
        assert!(known.is_none(), "an id is refused once: {}", entry.order_id);
        self.entries.push_back(entry);
        self.count += 1;
    }

    /// The encoding for a checkpoint; empty if there has never been a refusal.
    pub(super) fn encode(&self) -> Vec<u8> {
        if self.count == 0 {
            return Vec::new();
        }
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.entries.len() * ENTRY_BYTES);
        bytes.extend_from_slice(&self.count.to_le_bytes());
        let kept = u32::try_from(self.entries.len()).expect("far fewer are remembered");
        bytes.extend_from_slice(&kept.to_le_bytes());
        for RefusalEntry { order_id, name, quantity, reason } in &self.entries {
            bytes.extend_from_slice(order_id.0.as_bytes());
            bytes.extend_from_slice(&name.to_le_bytes());
            bytes.extend_from_slice(&quantity.get().to_le_bytes());
            bytes.push(reason.code());
        }
        bytes
    }

    /// Decodes what [`encode`](Self::encode) returned; the error says what is wrong with it.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut refusals = Self::default();
        if bytes.is_empty() {
            return Ok(refusals);
        }
        let (count, rest) = bytes.split_first_chunk::<8>().ok_or("its refusals are too short")?;
        let (kept, entries) = rest.split_first_chunk::<4>().ok_or("its refusals are too short")?;
        let (count, kept) = (u64::from_le_bytes(*count), u32::from_le_bytes(*kept));
        let (entries, rest) = entries.as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() || u64::from(kept) != entries.len() as u64 || count < u64::from(kept) {
            return Err(format!("{kept} of its {count} refusals do not match {} bytes", bytes.len()));
        }
        refusals.count = count - u64::from(kept);
        for (n, bytes) in entries.iter().enumerate() {
            let entry = RefusalEntry::decode(bytes).ok_or_else(|| format!("its refusal {n} is invalid"))?;
            if refusals.index.contains_key(&entry.order_id) {
                return Err(format!("its refusal {n} is a duplicate: {}", entry.order_id));
            }
            refusals.push(entry);
        }
        Ok(refusals)
    }
}

impl RefusalEntry {
    fn decode(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let (order_id, rest) = bytes.split_first_chunk::<16>()?;
        let (name, rest) = rest.split_first_chunk::<4>()?;
        let (quantity, rest) = rest.split_first_chunk::<4>()?;
        Some(Self {
            order_id: OrderId(uuid::Uuid::from_bytes(*order_id)),
            name: u32::from_le_bytes(*name),
            quantity: Quantity::new(u32::from_le_bytes(*quantity).into()).ok()?,
            reason: RefusalReason::from_code(*rest.first()?)?,
        })
    }
}

fn checksum(name: &ProductName) -> u32 {
    crc32c::crc32c(name.as_str().as_bytes())
}
