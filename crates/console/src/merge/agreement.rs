//! Whether the ledgers are the same.
//!
//! The replicas are asked for the checksum of their ledgers after the same number of orders. A
//! checksum covers all lines up to there, so equal ones mean equal ledgers, up to there and no
//! further. Nothing is said unless every replica that answers has given the checksum after that
//! number.

use std::collections::BTreeMap;

use api::order::LedgerEnd;

use crate::frame::Agreement;

/// The checksums that are remembered per replica: the answers of different replicas are a few polls
/// apart at most.
const REMEMBERED_MAX: usize = 16;

/// The newest checksums of each replica, by the number of orders that they cover.
#[derive(Debug, Default)]
pub(super) struct LedgerComparison {
    checksums: BTreeMap<String, BTreeMap<u64, u32>>,
    shown: Option<Agreement>,
}

impl LedgerComparison {
    /// Takes an answer of the replica `name`.
    pub(super) fn add(&mut self, name: &str, ledger: &LedgerEnd) {
        let known = self.checksums.entry(name.to_owned()).or_default();
        // A replica whose disk was replaced has an earlier ledger.
        known.retain(|orders, _| *orders <= ledger.orders);
        if let Some(checksum) = ledger.checksum {
            known.insert(checksum.orders, checksum.crc32c);
        }
        while known.len() > REMEMBERED_MAX {
            known.pop_first();
        }
    }

    /// Forgets a replica.
    pub(super) fn forget(&mut self, name: &str) {
        self.checksums.remove(name);
    }

    /// The newest comparison of these replicas, if it is new.
    pub(super) fn news<'a>(&mut self, replicas: impl Iterator<Item = &'a str>) -> Option<Agreement> {
        let known: Option<Vec<_>> = replicas.map(|name| self.checksums.get(name)).collect();
        let known = known?;
        let (first, others) = known.split_first().filter(|(_, others)| !others.is_empty())?;
        let common = first.iter().rev().find(|(orders, _)| others.iter().all(|other| other.contains_key(*orders)));
        let (orders, crc) = common?;
        let identical = others.iter().all(|other| other.get(orders) == Some(crc));
        let now = Agreement { orders: *orders, identical };
        (self.shown.replace(now) != Some(now)).then_some(now)
    }
}

#[cfg(test)]
mod tests {
    use api::order::LedgerChecksum;

    use super::*;

    fn add(ledgers: &mut LedgerComparison, name: &str, orders: u64, checksum: Option<(u64, u32)>) {
        let checksum = checksum.map(|(orders, crc32c)| LedgerChecksum { orders, crc32c });
        ledgers.add(name, &LedgerEnd { orders, tail: Vec::new(), checksum });
    }

    #[test]
    fn only_what_was_compared_is_claimed() {
        let mut ledgers = LedgerComparison::default();
        let news = |ledgers: &mut LedgerComparison, names: &[&str]| {
            ledgers.news(names.iter().copied()).map(|it| (it.orders, it.identical))
        };
        add(&mut ledgers, "a", 12, Some((10, 1)));
        add(&mut ledgers, "b", 10, Some((10, 1)));
        assert_eq!(news(&mut ledgers, &["a"]), None, "one ledger is not compared with itself");
        assert_eq!(news(&mut ledgers, &["a", "b", "c"]), None, "one has not answered");
        assert_eq!(news(&mut ledgers, &["a", "b"]), Some((10, true)));
        assert_eq!(news(&mut ledgers, &["a", "b"]), None, "it is known");
        add(&mut ledgers, "a", 30, Some((20, 2)));
        assert_eq!(news(&mut ledgers, &["a", "b"]), None, "the other was not asked after 20 yet");
        add(&mut ledgers, "b", 25, Some((20, 3)));
        assert_eq!(news(&mut ledgers, &["a", "b"]), Some((20, false)));
    }

    #[test]
    fn a_replica_that_starts_over_is_compared_again() {
        let mut ledgers = LedgerComparison::default();
        add(&mut ledgers, "a", 12, Some((10, 1)));
        add(&mut ledgers, "b", 12, Some((10, 1)));
        add(&mut ledgers, "b", 0, None);
        assert_eq!(ledgers.news(["a", "b"].into_iter()), None);
    }
}
