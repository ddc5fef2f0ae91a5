//! The checkpoint file: up to where the ledger is durable, and the rest of the state at that point.
//!
//! On disk it is called `ledger.mark`, and its format begins with `TOYMARK`; both names are older
//! than this module.
//!
//! ```text
//! "TOYMARK\n" │ format u32 │ lines u64 │ bytes u64 │ chain u32 │ begun u64 │
//! header length u32 │ header │
//! in format 2: length u32 │ refusals │
//! CRC32C of all before u32
//! ```
//! Numbers are little-endian. The same bytes, with an empty header, begin the stream of a state
//! transfer.
//!
//! Format 1 has no refusals. It is still written while there are none, so that a store that never
//! made a refusal durable can be downgraded to a version that knows no other format.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use api::Term;
use replication::{StateStoreError, replace_file};
use service::world::disk;

use super::line::Chain;
use crate::ledger_format::LedgerFormat;

const MAGIC: &[u8; 8] = b"TOYMARK\n";
const WITHOUT_REFUSALS: u32 = 1;
const WITH_REFUSALS: u32 = 2;
/// The length of everything before the header.
const HEAD_BYTES: usize = 8 + 4 + 8 + 8 + 4 + 8 + 4;
const CRC_BYTES: usize = 4;
/// A membership and a log position take some hundred bytes; a longer header is damage.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// A hundred thousand refusals take 2.5 MB; more than this is damage.
const REFUSALS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A position between two lines of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LedgerPosition {
    /// The number of orders before it.
    pub(super) lines: u64,
    /// The number of bytes before it, including the header line.
    pub(super) bytes: u64,
    /// The chain over the orders before it.
    pub(super) chain: Chain,
}

impl LedgerPosition {
    /// The position after the header line.
    pub(super) const fn start(format: LedgerFormat) -> Self {
        Self { lines: 0, bytes: format.header().len() as u64, chain: Chain::begin(format) }
    }
}

/// Up to where the ledger is durable, and the state that is in no line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LedgerCheckpoint {
    pub(super) position: LedgerPosition,
    /// The last term that had begun. This and the refusals are the parts of the state that are in
    /// no line.
    pub(super) begun: Term,
    /// The refusals remembered at that point, as the state encodes them; empty if there were none.
    pub(super) refusals: Arc<[u8]>,
    /// The replication engine's own header.
    pub(super) header: Vec<u8>,
}

impl LedgerCheckpoint {
    /// `None` if there is no file.
    pub(super) fn load(path: &Path) -> Result<Option<Self>, StateStoreError> {
        let bytes = match disk::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StateStoreError::io("read", path)(error)),
        };
        let mut rest = bytes.as_slice();
        let checkpoint = Self::read(&mut rest, path)?;
        if !rest.is_empty() {
            return Err(StateStoreError::damaged(path, format!("{} bytes follow its end", rest.len())));
        }
        Ok(Some(checkpoint))
    }

    /// The same checkpoint for a ledger in that format. A ledger without a line may have changed
    /// its format since.
    pub(super) fn of(self, format: LedgerFormat) -> Self {
        let position = match self.position.lines {
            0 => LedgerPosition::start(format),
            _ => LedgerPosition { chain: Chain { format, ..self.position.chain }, ..self.position },
        };
        Self { position, ..self }
    }

    /// Durable on return. After a crash before that, the previous checkpoint remains.
    pub(super) fn save(&self, path: &Path) -> Result<(), StateStoreError> {
        replace_file(path, &self.encode())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let header_len = u32::try_from(self.header.len()).expect("a header is short");
        let refusals_len = u32::try_from(self.refusals.len()).expect("they are bounded");
        let format = if refusals_len == 0 { WITHOUT_REFUSALS } else { WITH_REFUSALS };
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.header.len() + 4 + self.refusals.len() + CRC_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&format.to_le_bytes());
        bytes.extend_from_slice(&self.position.lines.to_le_bytes());
        bytes.extend_from_slice(&self.position.bytes.to_le_bytes());
        bytes.extend_from_slice(&self.position.chain.crc.to_le_bytes());
        bytes.extend_from_slice(&self.begun.0.to_le_bytes());
        bytes.extend_from_slice(&header_len.to_le_bytes());
        bytes.extend_from_slice(&self.header);
        if format == WITH_REFUSALS {
            bytes.extend_from_slice(&refusals_len.to_le_bytes());
            bytes.extend_from_slice(&self.refusals);
        }
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// Reads a checkpoint from `input`, which is (or begins with) the file `path`.
    pub(super) fn read(input: &mut impl Read, path: &Path) -> Result<Self, StateStoreError> {
        let damaged = |what: &str| StateStoreError::damaged(path, what);
        let mut fill = |bytes: &mut [u8]| {
            input.read_exact(bytes).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => damaged("it is too short"),
                _ => StateStoreError::io("read", path)(error),
            })
        };
        let mut bytes = vec![0; HEAD_BYTES];
        fill(&mut bytes)?;
        let mut head = Fields(&bytes);
        if head.next::<8>() != *MAGIC {
            return Err(damaged("it does not begin like a ledger checkpoint"));
        }
        let format = u32::from_le_bytes(head.next());
        if !matches!(format, WITHOUT_REFUSALS | WITH_REFUSALS) {
            let known = format!("{WITHOUT_REFUSALS} and {WITH_REFUSALS}");
            return Err(damaged(&format!("its format is {format}, but this version reads {known}")));
        }
        let lines = u64::from_le_bytes(head.next());
        let position_bytes = u64::from_le_bytes(head.next());
        // The ledger's own header names the ledger's format: see [`LedgerCheckpoint::of`].
        let chain = Chain { crc: u32::from_le_bytes(head.next()), ..Chain::begin(LedgerFormat::V1) };
        let begun = Term(u64::from_le_bytes(head.next()));
        let header_len = u32::from_le_bytes(head.next()) as usize;
        if header_len > HEADER_BYTES_MAX {
            return Err(damaged("its header is too long"));
        }
        bytes.resize(HEAD_BYTES + header_len, 0);
        fill(&mut bytes[HEAD_BYTES..])?;
        if format == WITH_REFUSALS {
            let mut length = [0; 4];
            fill(&mut length)?;
            bytes.extend_from_slice(&length);
            let refusals = bytes.len();
            let length = u32::from_le_bytes(length) as usize;
            if length == 0 || length > REFUSALS_BYTES_MAX {
                return Err(damaged(&format!("the length of its refusals cannot be {length} bytes")));
            }
            bytes.resize(refusals + length, 0);
            fill(&mut bytes[refusals..])?;
        }
        let mut checksum = [0; CRC_BYTES];
        fill(&mut checksum)?;
        let (stored, actual) = (u32::from_le_bytes(checksum), crc32c::crc32c(&bytes));
        if stored != actual {
            let end = bytes.len();
            return Err(damaged(&format!(
                "the checksum of bytes 0 to {end} is {actual:08x}, but {stored:08x} is stored"
            )));
        }
        let refusals = bytes.get(HEAD_BYTES + header_len + 4..).unwrap_or_default().into();
        bytes.truncate(HEAD_BYTES + header_len);
        let header = bytes.split_off(HEAD_BYTES);
        Ok(Self { position: LedgerPosition { lines, bytes: position_bytes, chain }, begun, refusals, header })
    }
}

/// Reads fields from a head of known length.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn next<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk::<N>().expect("the head has all of its fields");
        self.0 = rest;
        *field
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn any_flipped_byte_and_any_truncation_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        assert_eq!(LedgerCheckpoint::load(&path).unwrap(), None);
        let position = LedgerPosition { lines: 3, bytes: 240, chain: Chain { crc: 7, format: LedgerFormat::V1 } };
        for refusals in [b"".as_slice(), b"refusals"] {
            damage_each_byte(
                &path,
                &LedgerCheckpoint { position, begun: Term(4), refusals: refusals.into(), header: b"header".to_vec() },
            );
        }
    }

    fn damage_each_byte(path: &Path, checkpoint: &LedgerCheckpoint) {
        checkpoint.save(path).unwrap();
        assert_eq!(LedgerCheckpoint::load(path).unwrap().as_ref(), Some(checkpoint));
        let whole = checkpoint.encode();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            fs::write(path, &damaged).unwrap();
            assert!(matches!(LedgerCheckpoint::load(path), Err(StateStoreError::Damaged { .. })), "byte {at}");
            fs::write(path, &whole[..at]).unwrap();
            assert!(matches!(LedgerCheckpoint::load(path), Err(StateStoreError::Damaged { .. })), "cut to {at}");
        }
        fs::write(path, [whole.as_slice(), b"x"].concat()).unwrap();
        assert!(matches!(LedgerCheckpoint::load(path), Err(StateStoreError::Damaged { .. })));
    }
}
