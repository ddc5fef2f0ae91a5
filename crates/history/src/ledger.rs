//! Reads ledgers, independently of the store's own code, and checks I3.
//!
//! A ledger is CSV (RFC 4180): `number,name,quantity,order_id,checksum_v2`. A checksum is an `x`
//! followed by the CRC32C of the contents of all lines so far, each without its last comma,
//! checksum and line feed. In the first version of the format, the last column is named `checksum`,
//! and there is no `x`.

use std::collections::BTreeMap;

use api::{OrderNumber, Ordinal, ProductName, Quantity};

use crate::end::LedgerFile;
use crate::findings::Findings;
use crate::verdict::{LedgerLine, Violation};

/// The name of the last column, and the prefix of a checksum, in each version of the format.
const VERSIONS: [(&str, &str); 2] = [("checksum", ""), ("checksum_v2", "x")];

const HEADER: &str = "number,name,quantity,order_id,";

/// The contents of a ledger.
#[derive(Debug)]
pub(crate) struct ParsedLedger<'a> {
    pub(crate) ordinal: Ordinal,
    /// The orders before the first damaged line.
    pub(crate) lines: Vec<LedgerLine>,
    /// The file up to and including its last line feed.
    text: &'a [u8],
}

impl<'a> ParsedLedger<'a> {
    fn read(file: &'a LedgerFile, findings: &mut Findings) -> Self {
        let whole_lines = file.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let text = &file.bytes[..whole_lines];
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
        let (mut record, mut lines, mut chain) = (csv::StringRecord::new(), Vec::new(), 0);
        let mut prefix = "";
        loop {
            let (begin, line) = (reader.position().byte(), reader.position().line());
            let read = match reader.read_record(&mut record) {
                Ok(false) => break,
                Ok(true) if begin == 0 => header(&record).map(|found| {
                    prefix = found;
                    None
                }),
                Ok(true) => {
                    let line = bytes(text, begin, reader.position().byte());
                    order(&record, line, prefix, &mut chain).map(Some)
                }
                Err(error) => Err(error.to_string()),
            };
            match read {
                Ok(order) => lines.extend(order),
                Err(what) => {
                    findings.add(Violation::Damaged { ledger: file.ordinal, line, what });
                    break;
                }
            }
        }
        Self { ordinal: file.ordinal, lines, text }
    }

    /// The order with this number.
    pub(crate) fn get(&self, number: OrderNumber) -> Option<&LedgerLine> {
        self.lines.get(usize::try_from(number.get() - 1).ok()?)
    }

    fn check_numbers(&self, findings: &mut Findings) {
        let mut expected = OrderNumber::FIRST;
        for line in &self.lines {
            if line.number != expected {
                findings.add(Violation::NumberOutOfPlace { ledger: self.ordinal, expected, found: line.clone() });
                return;
            }
            expected = expected.next();
        }
    }

    fn check_prefix_of(&self, longest: &ParsedLedger<'_>, findings: &mut Findings) {
        if longest.text.starts_with(self.text) {
            return;
        }
        let [ours, theirs] = [self.text, longest.text].map(|text| lines_of(text).collect::<Vec<_>>());
        let same = ours.iter().zip(&theirs).take_while(|(our, their)| our == their).count();
        let text = |lines: &[&[u8]]| {
            lines.get(same).map_or_else(String::new, |line| String::from_utf8_lossy(line).trim_end().to_owned())
        };
        findings.add(Violation::Diverged {
            ledgers: [self.ordinal, longest.ordinal],
            line: same as u64 + 1,
            texts: [text(&ours), text(&theirs)],
        });
    }
}

/// The lines, including their line feeds.
fn lines_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

/// Reads all ledgers. The longest one comes first.
pub(crate) fn read<'a>(files: &'a [LedgerFile], findings: &mut Findings) -> Vec<ParsedLedger<'a>> {
    let mut ledgers: Vec<_> = files.iter().map(|file| ParsedLedger::read(file, findings)).collect();
    ledgers.sort_by_key(|ledger| std::cmp::Reverse((ledger.lines.len(), ledger.text.len())));
    ledgers
}

/// I3: numbers have no gaps, and ledgers are identical up to the end of the shorter one. I2: no
/// order is in the longest ledger twice.
pub(crate) fn check(ledgers: &[ParsedLedger<'_>], findings: &mut Findings) {
    for ledger in ledgers {
        ledger.check_numbers(findings);
    }
    let Some((longest, others)) = ledgers.split_first() else { return };
    for ledger in others {
        ledger.check_prefix_of(longest, findings);
    }
    let mut seen = BTreeMap::new();
    for line in &longest.lines {
        if let Some(first) = seen.insert(line.order_id, line) {
            let (ledger, first, again) = (longest.ordinal, first.clone(), line.clone());
            findings.add(Violation::PlacedTwice { ledger, first, again });
        }
    }
}

/// The line between two positions, without its line feed.
fn bytes(text: &[u8], begin: u64, end: u64) -> &[u8] {
    let [begin, end] = [begin, end].map(|at| usize::try_from(at).expect("a position in memory"));
    text[begin..end].strip_suffix(b"\n").unwrap_or(&text[begin..end])
}

/// Parses the header. Returns the prefix of checksums in this version.
fn header(record: &csv::StringRecord) -> Result<&'static str, String> {
    let found = VERSIONS.into_iter().find(|(last, _)| record.iter().eq(format!("{HEADER}{last}").split(',')));
    found.map(|(_, prefix)| prefix).ok_or_else(|| format!("the header is not \"{HEADER}{}\"", VERSIONS[1].0))
}

fn order(record: &csv::StringRecord, line: &[u8], prefix: &str, chain: &mut u32) -> Result<LedgerLine, String> {
    let content = line.iter().rposition(|byte| *byte == b',').map(|comma| &line[..comma]);
    *chain = crc32c::crc32c_append(*chain, content.ok_or("it has only one field")?);
    if record.len() != 5 {
        return Err(format!("it has {} fields, not 5", record.len()));
    }
    let number = record[0].parse().ok().and_then(OrderNumber::new).ok_or("its number is invalid")?;
    let product = ProductName::recorded(&record[1]).map_err(|error| error.to_string())?;
    let quantity =
        record[2].parse().ok().and_then(|pieces| Quantity::new(pieces).ok()).ok_or("its quantity is invalid")?;
    let order_id = record[3].parse().map_err(|_| "its order id is invalid")?;
    let expected = format!("{prefix}{chain:08x}");
    if record[4] != expected {
        return Err(format!("its checksum is {:?} instead of {expected}", &record[4]));
    }
    Ok(LedgerLine { number, product, quantity, order_id })
}
