//! The store for a small machine: its whole state in one file.
//!
//! ```text
//! "TOYSTATE" │ format u32 │ header length u32 │ body length u64 │
//!     header │ body (postcard) │ CRC32C of all before u32
//! ```
//! Numbers are little-endian. A new file is written beside the old one, synced, and renamed over
//! it; then the directory is synced. So there is always one complete file, and a file that was
//! opened does not change.

use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use service::world::disk::{self, File, OpenMode};

use crate::machine::{StateMachine, StateStore, StateStoreError};

const MAGIC: &[u8; 8] = b"TOYSTATE";
const FORMAT: u32 = 1;
/// Magic, format, and the two lengths.
const HEAD_BYTES: usize = 8 + 4 + 4 + 8;
const CRC_BYTES: usize = 4;

/// Keeps a machine in one file, for state of up to some megabytes, since each checkpoint writes all
/// of it.
#[derive(Debug)]
pub struct FileStore<M> {
    path: PathBuf,
    machine: PhantomData<fn() -> M>,
}

impl<M> FileStore<M> {
    /// The file need not exist yet; its directory must.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), machine: PhantomData }
    }
}

impl<M: Serialize + DeserializeOwned> FileStore<M> {
    fn write(&self, machine: &M, header: &[u8]) -> Result<(), StateStoreError> {
        let damaged = |what: &str| StateStoreError::damaged(&self.path, what);
        let body = postcard::to_stdvec(machine).map_err(|error| damaged(&format!("not written: {error}")))?;
        let header_len = u32::try_from(header.len()).map_err(|_| damaged("not written: the header is too long"))?;
        let mut bytes = Vec::with_capacity(HEAD_BYTES + header.len() + body.len() + CRC_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&header_len.to_le_bytes());
        bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        bytes.extend_from_slice(header);
        bytes.extend_from_slice(&body);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        replace_file(&self.path, &bytes)
    }

    fn read(path: &Path) -> Result<Option<(M, Vec<u8>)>, StateStoreError> {
        let bytes = match disk::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StateStoreError::io("read", path)(error)),
        };
        let (header, body) = parse(&bytes).map_err(|what| StateStoreError::damaged(path, what))?;
        let machine = postcard::from_bytes(body)
            .map_err(|error| StateStoreError::damaged(path, format!("its body cannot be decoded: {error}")))?;
        Ok(Some((machine, header.to_vec())))
    }
}

/// Replaces a file atomically: after a crash either the old or the new content is there, complete.
/// Durable when it returns.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), StateStoreError> {
    let beside = path.with_added_extension("new");
    let mut file = File::open(&beside, OpenMode::Create).map_err(StateStoreError::io("create", &beside))?;
    file.write_all(bytes).map_err(StateStoreError::io("write", &beside))?;
    file.sync().map_err(StateStoreError::io("sync", &beside))?;
    disk::rename(&beside, path).map_err(StateStoreError::io("rename a file to", path))?;
    disk::sync_dir_of(path).map_err(StateStoreError::io("sync the directory of", path))
}

/// The header and the body, or what is wrong and where.
pub(crate) fn parse(bytes: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let too_short = || format!("it ends at byte {}", bytes.len());
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or_else(too_short)?;
    let (magic, numbers) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err("it does not start like a state file".to_owned());
    }
    let format = le_u32(&numbers[..4]);
    if format != FORMAT {
        return Err(format!("its format is {format}; this program reads {FORMAT}"));
    }
    let header_len = le_u32(&numbers[4..8]) as usize;
    let body_len = u64::from(le_u32(&numbers[8..12])) | u64::from(le_u32(&numbers[12..16])) << 32;
    let expected = body_len.checked_add((header_len + CRC_BYTES) as u64);
    if expected != Some(rest.len() as u64) {
        return Err(format!(
            "{} bytes follow its first part, not header {header_len} + body {body_len} + 4",
            rest.len()
        ));
    }
    let (content, stored) = bytes.split_last_chunk::<CRC_BYTES>().ok_or_else(too_short)?;
    let (stored, actual) = (u32::from_le_bytes(*stored), crc32c::crc32c(content));
    if stored != actual {
        let end = content.len();
        return Err(format!("its checksum over bytes 0 to {end} is {actual:08x}, but {stored:08x} was written"));
    }
    Ok(content[HEAD_BYTES..].split_at(header_len))
}

fn le_u32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes were cut out"))
}

impl<M: StateMachine + Serialize + DeserializeOwned> StateStore<M> for FileStore<M> {
    fn load(&mut self) -> Result<Option<(M, Vec<u8>)>, StateStoreError> {
        Self::read(&self.path)
    }

    fn checkpoint_file(&self) -> PathBuf {
        self.path.clone()
    }

    fn record(&mut self, _machine: &M) -> Result<(), StateStoreError> {
        Ok(())
    }

    fn checkpoint(&mut self, machine: &M, header: &[u8]) -> Result<(), StateStoreError> {
        self.write(machine, header)
    }

    fn export(&self) -> Result<Box<dyn Read + Send>, StateStoreError> {
        let file = File::open(&self.path, OpenMode::Read).map_err(StateStoreError::io("open", &self.path))?;
        Ok(Box::new(file))
    }

    fn install(&mut self, from: &Path, header: &[u8]) -> Result<M, StateStoreError> {
        let (machine, _) = Self::read(from)?.ok_or_else(|| StateStoreError::damaged(from, "it is not there"))?;
        self.write(&machine, header)?;
        Ok(machine)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use api::LogPosition;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    struct Words(Vec<String>);

    impl StateMachine for Words {
        type Command = String;
        type Reply = ();
        fn apply(&mut self, _: LogPosition, word: String) {
            self.0.push(word);
        }
    }

    fn words() -> Words {
        Words(vec!["tux".into(), "whale".into()])
    }

    #[test]
    fn a_checkpoint_is_loaded_with_its_header() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = FileStore::<Words>::new(dir.path().join("state"));
        assert_eq!(store.load().unwrap(), None);
        store.checkpoint(&words(), b"head").unwrap();
        assert_eq!(store.load().unwrap(), Some((words(), b"head".to_vec())));
    }

    #[test]
    fn an_export_outlives_later_checkpoints_and_installs_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = FileStore::new(dir.path().join("state"));
        store.checkpoint(&words(), b"mine").unwrap();
        let mut export = store.export().unwrap();
        store.checkpoint(&Words(Vec::new()), b"later").unwrap();

        let sent = dir.path().join("sent");
        io::copy(&mut export, &mut fs::File::create(&sent).unwrap()).unwrap();
        let mut other = FileStore::<Words>::new(dir.path().join("other"));
        assert_eq!(other.install(&sent, b"theirs").unwrap(), words());
        assert_eq!(other.load().unwrap(), Some((words(), b"theirs".to_vec())));
    }

    #[test]
    fn any_flipped_byte_and_any_cut_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let mut store = FileStore::new(&path);
        store.checkpoint(&words(), b"head").unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            fs::write(&path, &damaged).unwrap();
            assert!(matches!(store.load(), Err(StateStoreError::Damaged { .. })), "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert!(matches!(store.load(), Err(StateStoreError::Damaged { .. })), "cut to {at}");
        }
    }
}
