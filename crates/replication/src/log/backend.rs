//! The log's file on a world's disk.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;
use service::mutation::{self, Mutation};
use service::world::disk::RawFile;

#[derive(Debug)]
pub(super) struct Backend {
    file: Box<dyn RawFile>,
    /// A sync that is still to be done; only with the mutation.
    owes_sync: AtomicBool,
}

impl Backend {
    pub(super) fn new(file: Box<dyn RawFile>) -> Self {
        Self { file, owes_sync: AtomicBool::new(false) }
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut read = 0;
        while read < out.len() {
            match self.file.read_at(&mut out[read..], offset + read as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => read += more,
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if mutation::active(Mutation::SyncAfterAcknowledgement) {
            self.owes_sync.store(true, Ordering::Relaxed);
            return Ok(());
        }
        self.file.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.owes_sync.swap(false, Ordering::Relaxed) {
            self.file.sync()?;
        }
        self.file.write_at(data, offset)
    }
}
