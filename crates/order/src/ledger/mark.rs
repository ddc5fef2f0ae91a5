//! The mark: a small file that says up to where the ledger is durable, and in which state that was.
//!
//! ```text
//! "TOYMARK\n" │ format u32 │ lines u64 │ bytes u64 │ chain u32 │ begun u64 │ header length u32 │ header │ CRC32C of all before u32
//! ```
//! Numbers are little-endian. The same bytes, with an empty header, begin the stream by which a ledger travels.

use std::io::{self, Read};
use std::path::Path;

use api::Term;
use replication::{StoreError, replace_file};
use service::world::disk;

use super::line::{Chain, HEADER};

const MAGIC: &[u8; 8] = b"TOYMARK\n";
const FORMAT: u32 = 1;
/// Everything before the header.
const HEAD_BYTES: usize = 8 + 4 + 8 + 8 + 4 + 8 + 4;
const CRC_BYTES: usize = 4;
/// A membership and a position take some hundred bytes; more than this is damage.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// A place between two lines of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Orders before it.
    pub(super) lines: u64,
    /// Bytes before it, the header line included.
    pub(super) bytes: u64,
    /// The chain over the orders before it.
    pub(super) chain: Chain,
}

impl Place {
    /// Behind the header line.
    pub(super) const START: Self = Self { lines: 0, bytes: HEADER.len() as u64, chain: Chain(0) };
}

/// A place up to which the ledger is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) place: Place,
    /// The last term that was opened by then: the one part of the state that is in no line.
    pub(super) begun: Term,
    /// The engine's own.
    pub(super) header: Vec<u8>,
}

impl Mark {
    /// `None` if there is no file.
    pub(super) fn load(path: &Path) -> Result<Option<Self>, StoreError> {
        let bytes = match disk::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("read", path)(error)),
        };
        let mut rest = bytes.as_slice();
        let mark = Self::read(&mut rest, path)?;
        if !rest.is_empty() {
            return Err(StoreError::damaged(path, format!("{} bytes follow its end", rest.len())));
        }
        Ok(Some(mark))
    }

    /// Durable when it returns; a crash before leaves the mark before.
    pub(super) fn save(&self, path: &Path) -> Result<(), StoreError> {
        replace_file(path, &self.encode())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let header_len = u32::try_from(self.header.len()).expect("a header is short");
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.header.len() + CRC_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&self.place.lines.to_le_bytes());
        bytes.extend_from_slice(&self.place.bytes.to_le_bytes());
        bytes.extend_from_slice(&self.place.chain.0.to_le_bytes());
        bytes.extend_from_slice(&self.begun.0.to_le_bytes());
        bytes.extend_from_slice(&header_len.to_le_bytes());
        bytes.extend_from_slice(&self.header);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// Reads one mark from `input`, which is (or begins with) the file `path`.
    pub(super) fn read(input: &mut impl Read, path: &Path) -> Result<Self, StoreError> {
        let damaged = |what: &str| StoreError::damaged(path, what);
        let mut fill = |bytes: &mut [u8]| {
            input.read_exact(bytes).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => damaged("it is too short"),
                _ => StoreError::io("read", path)(error),
            })
        };
        let mut bytes = vec![0; HEAD_BYTES];
        fill(&mut bytes)?;
        let mut head = Fields(&bytes);
        if head.next::<8>() != *MAGIC {
            return Err(damaged("it does not begin like a mark"));
        }
        let format = u32::from_le_bytes(head.next());
        if format != FORMAT {
            return Err(damaged(&format!("its format is {format}; this program reads {FORMAT}")));
        }
        let lines = u64::from_le_bytes(head.next());
        let place_bytes = u64::from_le_bytes(head.next());
        let chain = Chain(u32::from_le_bytes(head.next()));
        let begun = Term(u64::from_le_bytes(head.next()));
        let header_len = u32::from_le_bytes(head.next()) as usize;
        if header_len > HEADER_BYTES_MAX {
            return Err(damaged("its header is too long"));
        }
        bytes.resize(HEAD_BYTES + header_len, 0);
        fill(&mut bytes[HEAD_BYTES..])?;
        let mut checksum = [0; CRC_BYTES];
        fill(&mut checksum)?;
        let (stored, actual) = (u32::from_le_bytes(checksum), crc32c::crc32c(&bytes));
        if stored != actual {
            return Err(damaged(&format!("its checksum is {actual:08x}, but {stored:08x} was written")));
        }
        let header = bytes.split_off(HEAD_BYTES);
        Ok(Self { place: Place { lines, bytes: place_bytes, chain }, begun, header })
    }
}

/// Takes fields off a head whose length is known.
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
    fn any_flipped_byte_and_any_cut_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mark");
        assert_eq!(Mark::load(&path).unwrap(), None);
        let place = Place { lines: 3, bytes: 240, chain: Chain(7) };
        let mark = Mark { place, begun: Term(4), header: b"header".to_vec() };
        mark.save(&path).unwrap();
        assert_eq!(Mark::load(&path).unwrap().as_ref(), Some(&mark));
        let whole = mark.encode();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            fs::write(&path, &damaged).unwrap();
            assert!(matches!(Mark::load(&path), Err(StoreError::Damaged { .. })), "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert!(matches!(Mark::load(&path), Err(StoreError::Damaged { .. })), "cut to {at}");
        }
        fs::write(&path, [whole.as_slice(), b"x"].concat()).unwrap();
        assert!(matches!(Mark::load(&path), Err(StoreError::Damaged { .. })));
    }
}
