//! The format of a ledger. The ledger's header names it, and the group agrees on it.

use serde::{Deserialize, Serialize};

/// A version of the ledger file's format.
///
/// The ledgers of all replicas are the same bytes (I3), even during an upgrade. So no replica
/// chooses a format by itself: the first leader of a new group writes it to the log before there is
/// an order, and it never changes. A group that was created by an earlier version has no such
/// entry. Its ledgers keep their format on all replicas, including those that join later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LedgerFormat {
    /// A checksum is eight hexadecimal digits. Spreadsheets take some of them for numbers:
    /// `6e198514`, `00012345`.
    #[default]
    V1,
    /// A checksum has an `x` before its digits, so it cannot be read as a number.
    V2,
}

impl LedgerFormat {
    /// All formats.
    pub(crate) const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// The format of new groups.
    pub const NEWEST: Self = Self::V2;

    /// The first line, with its line feed. No header is a prefix of another.
    pub(crate) const fn header(self) -> &'static [u8] {
        match self {
            Self::V1 => b"number,name,quantity,order_id,checksum\n",
            Self::V2 => b"number,name,quantity,order_id,checksum_v2\n",
        }
    }

    /// The format with this first line.
    pub(crate) fn of_header(line: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.header() == line)
    }

    /// What precedes the digits of a checksum.
    pub(crate) const fn checksum_prefix(self) -> &'static [u8] {
        match self {
            Self::V1 => b"",
            Self::V2 => b"x",
        }
    }
}

/// The length of the longest first line.
pub(crate) const HEADER_BYTES_MAX: usize = LedgerFormat::V2.header().len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_header_names_its_format_and_is_no_prefix_of_another() {
        for format in LedgerFormat::ALL {
            assert_eq!(LedgerFormat::of_header(format.header()), Some(format));
            assert!(format.header().len() <= HEADER_BYTES_MAX);
            let others = LedgerFormat::ALL.into_iter().filter(|other| *other != format);
            assert!(others.into_iter().all(|other| !other.header().starts_with(format.header())));
        }
        assert_eq!(LedgerFormat::of_header(b"number,name\n"), None);
    }

    /// Nothing that spreadsheets read as a number, date, time, formula or truth value begins with
    /// an x.
    #[test]
    fn a_checksum_of_the_newest_format_is_text() {
        assert_eq!(LedgerFormat::NEWEST.checksum_prefix(), b"x");
    }
}
