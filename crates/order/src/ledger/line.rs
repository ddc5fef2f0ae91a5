//! Writing and reading one line of the ledger.

use std::io::Write;

use api::{OrderId, OrderNumber, Quantity};
use uuid::Uuid;

use crate::ledger_format::LedgerFormat;
use crate::orders::PlacedOrder;

/// The longest line with its line feed: number 20, name 64 characters of 4 bytes or quoted,
/// quantity 7, id 36, checksum 9, and separators. More bytes without a line feed are not a line.
pub(super) const LINE_BYTES_MAX: usize = 20 + 2 + 256 + 7 + 36 + 9 + 4 + 1;

const CHECKSUM_DIGITS: usize = 8;
const ORDER_ID_CHARS: usize = 36;

/// CRC32C (Castagnoli, RFC 3720 appendix B.4) over all lines so far, each without its last comma,
/// checksum and line feed. It is the same in all formats; they differ in how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) crc: u32,
    pub(super) format: LedgerFormat,
}

impl Chain {
    /// The chain over no lines.
    pub(super) const fn begin(format: LedgerFormat) -> Self {
        Self { crc: 0, format }
    }

    fn over(self, content: &[u8]) -> Self {
        Self { crc: crc32c::crc32c_append(self.crc, content), ..self }
    }

    fn digits(self) -> [u8; CHECKSUM_DIGITS] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; CHECKSUM_DIGITS];
        for (place, digit) in text.iter_mut().enumerate() {
            *digit = DIGITS[(self.crc >> (28 - 4 * place)) as usize & 0xf];
        }
        text
    }

    /// Whether `checksum` is how a line of this format shows this chain.
    fn matches(self, checksum: &[u8]) -> bool {
        checksum.strip_prefix(self.format.checksum_prefix()) == Some(&self.digits())
    }
}

/// Appends the line of `order` to `out`; returns the chain over it.
pub(super) fn write(out: &mut Vec<u8>, chain: Chain, order: &PlacedOrder<'_>) -> Chain {
    let begin = out.len();
    let to_memory = "writing to memory does not fail";
    write!(out, "{},", order.number).expect(to_memory);
    write_name(out, order.name.as_str().as_bytes());
    write!(out, ",{},", order.quantity).expect(to_memory);
    let mut id = Uuid::encode_buffer();
    out.extend_from_slice(order.order_id.0.hyphenated().encode_lower(&mut id).as_bytes());
    let chain = chain.over(&out[begin..]);
    out.push(b',');
    out.extend_from_slice(chain.format.checksum_prefix());
    out.extend_from_slice(&chain.digits());
    out.push(b'\n');
    chain
}

/// Writes the name, quoted if necessary (RFC 4180 §2.6 and 2.7; a name has no line feed).
fn write_name(out: &mut Vec<u8>, name: &[u8]) {
    if !name.iter().any(|byte| matches!(byte, b',' | b'"')) {
        out.extend_from_slice(name);
        return;
    }
    out.push(b'"');
    for byte in name {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// The content of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LineContent<'a> {
    pub(super) name: std::borrow::Cow<'a, str>,
    pub(super) quantity: Quantity,
    pub(super) order_id: OrderId,
}

/// Reads a line (without its line feed) that should be that of order `number` and continue `chain`;
/// otherwise returns what is wrong with it.
pub(super) fn read(line: &[u8], chain: Chain, number: OrderNumber) -> Result<(LineContent<'_>, Chain), String> {
    let prefix = chain.format.checksum_prefix();
    let (content, checksum) =
        cut_last(line, prefix.len() + CHECKSUM_DIGITS).ok_or("it does not end with a comma and a checksum")?;
    let chain = chain.over(content);
    if !chain.matches(checksum) {
        let expected = format!("{}{:08x}", String::from_utf8_lossy(prefix), chain.crc);
        return Err(format!("its checksum is {:?} instead of {expected}", String::from_utf8_lossy(checksum)));
    }
    let (content, order_id) = cut_last(content, ORDER_ID_CHARS).ok_or("it has no order id")?;
    let order_id = Uuid::try_parse_ascii(order_id).map(OrderId).map_err(|error| format!("its order id: {error}"))?;
    let comma = content.iter().rposition(|byte| *byte == b',').ok_or("it has too few fields")?;
    let quantity =
        digits(&content[comma + 1..]).and_then(|pieces| Quantity::new(pieces).ok()).ok_or("its quantity is invalid")?;
    let content = &content[..comma];
    let comma = content.iter().position(|byte| *byte == b',').ok_or("it has too few fields")?;
    if digits(&content[..comma]) != Some(number.get()) {
        return Err(format!("its number is {:?}, but {number} comes next", String::from_utf8_lossy(&content[..comma])));
    }
    Ok((LineContent { name: read_name(&content[comma + 1..])?, quantity, order_id }, chain))
}

/// Splits off the last field, whose length is known, at its comma.
fn cut_last(line: &[u8], field_len: usize) -> Option<(&[u8], &[u8])> {
    let comma = line.len().checked_sub(field_len + 1)?;
    (line[comma] == b',').then(|| (&line[..comma], &line[comma + 1..]))
}

fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 20 {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

fn read_name(field: &[u8]) -> Result<std::borrow::Cow<'_, str>, String> {
    let text = std::str::from_utf8(field).map_err(|error| format!("its name is not UTF-8: {error}"))?;
    match text.strip_prefix('"') {
        None => Ok(text.into()),
        Some(quoted) => {
            let inside = quoted.strip_suffix('"').ok_or("its name lacks the closing quote")?;
            Ok(inside.replace("\"\"", "\"").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use api::ProductName;

    use super::*;

    #[test]
    fn the_first_two_lines_of_a_ledger() {
        for (format, prefix) in [(LedgerFormat::V1, ""), (LedgerFormat::V2, "x")] {
            the_first_two_lines_in(format, prefix);
        }
    }

    fn the_first_two_lines_in(format: LedgerFormat, prefix: &str) {
        let names = ["Tux", "Ball, \"magic\""].map(|name| ProductName::new(name).unwrap());
        let mut out = Vec::new();
        let mut chain = Chain::begin(format);
        for (name, number) in names.iter().zip(1..) {
            let number = OrderNumber::new(number).unwrap();
            let order_id = OrderId(Uuid::from_u128(number.get().into()));
            chain = write(&mut out, chain, &PlacedOrder { number, name, quantity: Quantity::ONE, order_id });
        }
        let contents = [
            "1,Tux,1,00000000-0000-0000-0000-000000000001",
            "2,\"Ball, \"\"magic\"\"\",1,00000000-0000-0000-0000-000000000002",
        ];
        let first = crc32c::crc32c(contents[0].as_bytes());
        let second = crc32c::crc32c(contents.concat().as_bytes());
        assert_eq!(chain, Chain { crc: second, format });
        let expected = format!("{},{prefix}{first:08x}\n{},{prefix}{second:08x}\n", contents[0], contents[1]);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn each_mistake_in_a_line_is_reported() {
        let with_checksum = |content: &str| format!("{content},x{:08x}", crc32c::crc32c(content.as_bytes()));
        let id = "00000000-0000-0000-0000-000000000001";
        let table = [
            (with_checksum(&format!("1,Tux,1,{id}")), None),
            (String::new(), Some("does not end with")),
            ("1,Tux".into(), Some("does not end with")),
            (format!("1,Tux,1,{id},x00000000"), Some("its checksum is \"x00000000\"")),
            (
                format!("1,Tux,1,{id},{:08x}", crc32c::crc32c(format!("1,Tux,1,{id}").as_bytes())),
                Some("does not end with"),
            ),
            (with_checksum(&format!("1,Tux,1,{id}")).replace(",x", ",X"), Some("its checksum is \"X")),
            (with_checksum("1,Tux,1,00000000"), Some("no order id")),
            (with_checksum(&format!("1,Tux,1,{}", id.replace('-', "x"))), Some("its order id")),
            (with_checksum(&format!("1,Tux,0,{id}")), Some("its quantity")),
            (with_checksum(&format!("1,Tux,-1,{id}")), Some("its quantity")),
            (with_checksum(&format!("2,Tux,1,{id}")), Some("its number is \"2\"")),
            (with_checksum(&format!("1,{id}")), Some("too few fields")),
            (with_checksum(&format!("1,1,{id}")), Some("too few fields")),
            (with_checksum(&format!("1,\"Tux,1,{id}")), Some("closing quote")),
        ];
        for (line, expected) in table {
            let result = read(line.as_bytes(), Chain::begin(LedgerFormat::V2), OrderNumber::FIRST);
            match (result, expected) {
                (Ok((line, _)), None) => assert_eq!((line.name.as_ref(), line.quantity), ("Tux", Quantity::ONE)),
                (Err(what), Some(expected)) => assert!(what.contains(expected), "{line:?}: {what}"),
                (result, expected) => panic!("{line:?}: {result:?}, expected {expected:?}"),
            }
        }
    }
}
