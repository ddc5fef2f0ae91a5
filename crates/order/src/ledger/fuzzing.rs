//! Properties that must hold for any bytes in a ledger or its checkpoint file: see
//! [`crate::fuzzing`].

use std::path::Path;

use api::{OrderNumber, ProductName};

use super::checkpoint::{LedgerCheckpoint, LedgerPosition};
use super::line::{self, Chain};
use super::restore;
use crate::ledger_format::LedgerFormat;
use crate::orders::PlacedOrder;

/// Lines after the header, as a start without a checkpoint finds them.
pub fn ledger(bytes: &[u8]) {
    for start in LedgerFormat::ALL.map(LedgerPosition::start) {
        let length = start.bytes + bytes.len() as u64;
        if let Ok(found) = restore::scan_tail(bytes, start, Path::new("ledger")) {
            assert!(found.end.bytes <= length);
            assert_eq!(
                found.cut.is_some(),
                found.end.bytes < length,
                "everything that is not a line is truncated, and nothing else"
            );
        }
    }
}

/// One line, as it is and with its correct checksum.
pub fn line(bytes: &[u8]) {
    for format in LedgerFormat::ALL {
        let prefix = String::from_utf8_lossy(format.checksum_prefix()).into_owned();
        let checksum = format!(",{prefix}{:08x}", crc32c::crc32c(bytes));
        for text in [bytes, &[bytes, checksum.as_bytes()].concat()] {
            line_in(format, text);
        }
    }
}

fn line_in(format: LedgerFormat, text: &[u8]) {
    let chain = Chain::begin(format);
    if let Ok((read, _)) = line::read(text, chain, OrderNumber::FIRST) {
        let Ok(name) = ProductName::recorded(&read.name) else { return };
        let placed =
            PlacedOrder { number: OrderNumber::FIRST, name: &name, quantity: read.quantity, order_id: read.order_id };
        let mut written = Vec::new();
        let canonical = line::write(&mut written, chain, &placed);
        let text = written.strip_suffix(b"\n").expect("a line ends with a line feed");
        assert_eq!(line::read(text, chain, OrderNumber::FIRST), Ok((read, canonical)));
    }
}

/// A checkpoint file, as it is and with its correct checksum.
pub fn checkpoint(bytes: &[u8]) {
    let sealed = [bytes, &crc32c::crc32c(bytes).to_le_bytes()].concat();
    for text in [bytes, &sealed] {
        let mut rest = text;
        if let Ok(checkpoint) = LedgerCheckpoint::read(&mut rest, Path::new("checkpoint")) {
            assert_eq!(checkpoint.encode(), text[..text.len() - rest.len()]);
        }
    }
}
