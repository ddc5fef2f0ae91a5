//! The checksums of the newest lines, for those who compare the ledgers of running replicas.
//!
//! The replicas of a group are never at the same line at the same moment, so a comparison asks all
//! of them for the checksum after the same number of orders. Hence each replica keeps those of the
//! last [`CHECKSUMS_KEPT`] orders. They come from the lines themselves: those that were read at the
//! start, received from the leader, or written since.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::order::LedgerChecksum;

/// How many checksums are kept, in 256 KiB: more than ten seconds of orders at full load.
const CHECKSUMS_KEPT: usize = 65_536;

/// The checksums of one ledger. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct LedgerChecksums(Arc<Mutex<RecentChecksums>>);

impl LedgerChecksums {
    /// How many orders the ledger has.
    pub fn orders(&self) -> u64 {
        self.recent().orders
    }

    /// The checksum after this many orders, if it is kept.
    pub fn after(&self, orders: u64) -> Option<LedgerChecksum> {
        self.recent().after(orders).map(|crc32c| LedgerChecksum { orders, crc32c })
    }

    /// Adds the checksums of the next lines.
    pub(super) fn extend(&self, crcs: &[u32]) {
        let mut recent = self.recent();
        for crc in crcs {
            recent.push(*crc);
        }
    }

    /// Replaces all: the ledger was read from a file.
    pub(super) fn replace(&self, recent: RecentChecksums) {
        *self.recent() = recent;
    }

    fn recent(&self) -> MutexGuard<'_, RecentChecksums> {
        // A panic ends the process.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The checksums of the newest lines.
#[derive(Debug, Default)]
pub(super) struct RecentChecksums {
    orders: u64,
    /// After each of the last orders, the newest last.
    crcs: VecDeque<u32>,
}

impl RecentChecksums {
    /// Adds that of the next line.
    pub(super) fn push(&mut self, crc: u32) {
        self.orders += 1;
        if self.crcs.len() == CHECKSUMS_KEPT {
            self.crcs.pop_front();
        }
        self.crcs.push_back(crc);
    }

    fn after(&self, orders: u64) -> Option<u32> {
        let behind = usize::try_from(self.orders.checked_sub(orders)?).ok()?;
        let index = self.crcs.len().checked_sub(behind + 1)?;
        self.crcs.get(index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_checksums_are_known_by_the_number_of_orders() {
        let checksums = LedgerChecksums::default();
        assert_eq!((checksums.orders(), checksums.after(0), checksums.after(1)), (0, None, None));
        checksums.extend(&[10, 20, 30]);
        let after = |orders| checksums.after(orders).map(|it| (it.orders, it.crc32c));
        assert_eq!([after(0), after(1), after(3), after(4)], [None, Some((1, 10)), Some((3, 30)), None]);
        checksums.extend(&vec![40; CHECKSUMS_KEPT - 1]);
        assert_eq!((after(2), after(3)), (None, Some((3, 30))), "only the newest are kept");
        checksums.replace(RecentChecksums::default());
        assert_eq!((checksums.orders(), after(3)), (0, None));
    }
}
