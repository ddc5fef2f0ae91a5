//! What must hold for any bytes in a ledger's place, or in its mark's: see [`crate::fuzzing`].

use std::path::Path;

use api::{OrderNumber, ProductName};

use super::line::{self, Chain, HEADER};
use super::mark::{Mark, Place};
use super::restore;
use crate::orders::Placed;

/// Lines behind the header, as a start finds them that has no mark.
pub fn ledger(bytes: &[u8]) {
    let length = (HEADER.len() + bytes.len()) as u64;
    if let Ok(found) = restore::survey_tail(bytes, Place::START, Path::new("ledger")) {
        assert!(found.end.bytes <= length);
        assert_eq!(found.cut.is_some(), found.end.bytes < length, "whatever is not a line is cut, and nothing else");
    }
}

/// One line, as it is and with the checksum that it should have.
pub fn line(bytes: &[u8]) {
    let checksum = format!(",{:08x}", crc32c::crc32c(bytes));
    for text in [bytes, &[bytes, checksum.as_bytes()].concat()] {
        let Ok((read, _)) = line::read(text, Chain::default(), OrderNumber::FIRST) else { continue };
        let Ok(name) = ProductName::new(&read.name) else { continue };
        let placed =
            Placed { number: OrderNumber::FIRST, name: &name, quantity: read.quantity, order_id: read.order_id };
        let mut written = Vec::new();
        let canonical = line::write(&mut written, Chain::default(), &placed);
        let text = written.strip_suffix(b"\n").expect("a line ends with a line feed");
        assert_eq!(line::read(text, Chain::default(), OrderNumber::FIRST), Ok((read, canonical)));
    }
}

/// A mark, as it is and with the checksum that it should have.
pub fn mark(bytes: &[u8]) {
    let sealed = [bytes, &crc32c::crc32c(bytes).to_le_bytes()].concat();
    for text in [bytes, &sealed] {
        let mut rest = text;
        if let Ok(mark) = Mark::read(&mut rest, Path::new("mark")) {
            assert_eq!(mark.encode(), text[..text.len() - rest.len()]);
        }
    }
}
