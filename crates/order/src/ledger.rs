//! The ledger: every order as a line of CSV, for people and for the next start.
//!
//! ```text
//! number,name,quantity,order_id,checksum
//! 1,Tux,2,6f1c…,9a33c1f0
//! ```
//! Only committed orders are written, in the order of their numbers, so all replicas' ledgers are the same bytes up to the
//! shorter one (I3). The checksum is chained: it covers every line before its own, so two ledgers whose last lines
//! are equal are equal.
//!
//! # What is durable when
//! Before an order is acknowledged it is in the consensus log, on a majority of disks. The ledger follows: lines are
//! appended as orders commit, and synced at each checkpoint, which then saves a *mark*: so many lines, so many bytes,
//! this chain. The mark is replaced atomically.
//!
//! ```text
//! │ header │ line 1 │ … │ line 4711 │ line 4712 │ … │ line 4790 │ torn li
//!                                   ▲                           ▲
//!                     mark: durable │     the tail: in the log  │ dropped at the next start
//! ```
//!
//! # The next start
//! * Up to the mark the ledger is the state: each line must be there, whole and right, else the start is refused with the
//!   line's number, its byte offset, and what is wrong.
//! * Behind the mark is the *tail*, of which nothing is needed: the log brings those orders again. But it is not written
//!   again: as an order returns, its line is compared with the one that is there. A difference is damage.
//! * The tail may end in a write that was cut off, or have pages that never reached the disk before a power failure, which read as
//!   NUL bytes. Both are cut away (and logged); the log brings those orders again. A line that is wrong in another way was not
//!   made so by a crash: refused.
//! * A mark without its ledger is refused. A ledger without a mark is all tail.
//!
//! # Travelling
//! A replica that is far behind gets the leader's ledger up to its mark, as bytes, and checks each line. A local ledger that
//! is no prefix or continuation of it has another history, and is not replaced by it.
//!
//! # Caveats
//! * To load takes time in proportion to the orders: 1.7 s for five million on a laptop's core (`examples/load_ledger.rs`).
//! * A checkpoint syncs what was appended since the last: 18 ms for 400,000 orders there. Commands wait meanwhile.
//! * The checksums find damage; they are no defence against a person who makes new ones.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod line;
mod lines;
mod mark;
mod restore;

use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use replication::{StateStore, StoreError};
use service::world::disk::{self, Access, File};

use crate::orders::{Orders, Placed};
use line::HEADER;
use mark::{Mark, Place};

/// Lines are collected up to about so many bytes before they are written: one write for all but the largest backlogs.
const WRITE_BYTES: usize = 1024 * 1024;

/// The orders' [`StateStore`]: a CSV file, and its mark in another directory.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    mark_path: PathBuf,
    /// Opened for appending, and locked.
    file: File,
    /// The last durable mark.
    mark: Option<Mark>,
    /// How far the file agrees with the machine.
    agreed: Place,
    /// What the file has beyond.
    tail: Option<Tail>,
    buffer: Vec<u8>,
}

/// Lines that an earlier process wrote, and that the log has not brought again yet.
#[derive(Debug)]
struct Tail {
    /// Behind the last of them.
    end: Place,
    reader: BufReader<File>,
}

impl Ledger {
    /// Opens the ledger `path`, whose mark is `data_dir/ledger.mark`, and locks it. Makes what is not there, directories too.
    ///
    /// # Errors
    /// If another process has it; if there is a mark but no ledger; if the operating system refuses.
    pub fn open(path: &Path, data_dir: &Path) -> Result<Self, StoreError> {
        let (path, mark_path) = (path.to_owned(), data_dir.join("ledger.mark"));
        for dir in [path.parent(), Some(data_dir)].into_iter().flatten() {
            disk::create_dir_all(dir).map_err(StoreError::io("create", dir))?;
        }
        let mark = Mark::load(&mark_path)?;
        let exists = disk::exists(&path).map_err(StoreError::io("look for", &path))?;
        if let (Some(mark), false) = (&mark, exists) {
            let (lines, mark_path) = (mark.place.lines, mark_path.display());
            let what = format!("it is missing, but by {mark_path} it had {lines} orders: restore it");
            return Err(StoreError::damaged(path, what));
        }
        let file = open_locked(&path)?;
        // Also if it is there: the process that made it may have ended because this very sync failed.
        sync_directory_of(&path)?;
        Ok(Self { path, mark_path, file, mark, agreed: Place::START, tail: None, buffer: Vec::new() })
    }

    /// A handle of its own for reading, at `offset`.
    fn reader_at(&self, offset: u64) -> Result<File, StoreError> {
        let mut file = File::open(&self.path, Access::Read).map_err(StoreError::io("open", &self.path))?;
        file.seek(SeekFrom::Start(offset)).map_err(StoreError::io("seek in", &self.path))?;
        Ok(file)
    }

    /// Looks at what is behind `from`, cuts away what a crash left there, and keeps the rest to be compared.
    fn find_tail(&mut self, from: Place) -> Result<(), StoreError> {
        let reader = BufReader::new(self.reader_at(from.bytes)?);
        let found = restore::survey_tail(reader, from, &self.path)?;
        if let Some(cut) = found.cut {
            tracing::warn!(
                path = %self.path.display(), line = found.end.lines + 2, offset_bytes = found.end.bytes, reason = cut,
                "the end of the ledger is cut away; the log brings it again"
            );
            self.file.set_len(found.end.bytes).map_err(StoreError::io("cut", &self.path))?;
        }
        self.tail = (found.end != from)
            .then(|| Ok(Tail { end: found.end, reader: BufReader::new(self.reader_at(from.bytes)?) }))
            .transpose()?;
        self.agreed = from;
        Ok(())
    }

    /// Makes the header line if the file is empty, has but a piece of it, or begins with bytes that never reached the disk; anything else
    /// must begin with it.
    fn check_header(&mut self) -> Result<(), StoreError> {
        let mut begin = Vec::with_capacity(HEADER.len());
        let reader = self.reader_at(0)?;
        reader.take(HEADER.len() as u64).read_to_end(&mut begin).map_err(StoreError::io("read", &self.path))?;
        if begin == HEADER {
            return Ok(());
        }
        if self.mark.is_some() || !(HEADER.starts_with(&begin) || begin.contains(&0)) {
            let header = String::from_utf8_lossy(HEADER.trim_ascii_end());
            return Err(StoreError::damaged(&self.path, format!("line 1 (byte 0): it is not {header:?}")));
        }
        self.file.set_len(0).map_err(StoreError::io("cut", &self.path))?;
        self.file.write_all(HEADER).map_err(StoreError::io("write", &self.path))
    }

    /// Writes or compares the line of the next order.
    fn add(&mut self, order: &Placed<'_>) -> Result<(), StoreError> {
        let begin = self.buffer.len();
        let chain = line::write(&mut self.buffer, self.agreed.chain, order);
        let next = Place {
            lines: self.agreed.lines + 1,
            bytes: self.agreed.bytes + (self.buffer.len() - begin) as u64,
            chain,
        };
        if let Some(tail) = &mut self.tail {
            compare(&mut tail.reader, &self.buffer[begin..], self.agreed, &self.path)?;
            self.buffer.truncate(begin);
            self.tail.take_if(|tail| tail.end == next);
        }
        self.agreed = next;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.file.write_all(&self.buffer).map_err(StoreError::io("write", &self.path))?;
        self.buffer.clear();
        Ok(())
    }
}

/// The line that `reader` has at `at` must be `expected`.
fn compare(reader: &mut impl Read, expected: &[u8], at: Place, path: &Path) -> Result<(), StoreError> {
    let mut found = Vec::with_capacity(expected.len());
    reader.take(expected.len() as u64).read_to_end(&mut found).map_err(StoreError::io("read", path))?;
    if found == expected {
        return Ok(());
    }
    let [found, expected] = [&*found, expected].map(|line| String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
    let what = format!(
        "line {} (byte {}): it is {found:?}, but the log says {expected:?}: this is the ledger of another history",
        at.lines + 2,
        at.bytes
    );
    Err(StoreError::damaged(path, what))
}

/// Makes a file's name durable: new, or another file's before.
fn sync_directory_of(path: &Path) -> Result<(), StoreError> {
    disk::sync_dir_of(path).map_err(StoreError::io("sync the directory of", path))
}

/// Opens a file for appending, and locks it.
fn open_locked(path: &Path) -> Result<File, StoreError> {
    let file = File::open(path, Access::Append).map_err(StoreError::io("open", path))?;
    if file.try_lock().map_err(StoreError::io("lock", path))? {
        return Ok(file);
    }
    let in_use = io::Error::new(io::ErrorKind::ResourceBusy, "another process writes it: one ledger per replica");
    Err(StoreError::io("lock", path)(in_use))
}

impl StateStore<Orders> for Ledger {
    fn load(&mut self) -> Result<Option<(Orders, Vec<u8>)>, StoreError> {
        self.check_header()?;
        let Some(mark) = self.mark.clone() else {
            self.find_tail(Place::START)?;
            return Ok(None);
        };
        let reader = BufReader::with_capacity(WRITE_BYTES, self.reader_at(HEADER.len() as u64)?);
        let orders = restore::read(reader, &mark, &self.path, |_| Ok(()))?;
        self.find_tail(mark.place)?;
        Ok(Some((orders, mark.header)))
    }

    fn record(&mut self, machine: &Orders) -> Result<(), StoreError> {
        for order in machine.after(self.agreed.lines) {
            self.add(&order)?;
            if self.buffer.len() >= WRITE_BYTES {
                self.flush()?;
            }
        }
        self.flush()
    }

    fn checkpoint(&mut self, machine: &Orders, header: &[u8]) -> Result<(), StoreError> {
        self.record(machine)?;
        self.file.sync_data().map_err(StoreError::io("sync", &self.path))?;
        let mark = Mark { place: self.agreed, begun: machine.begun(), header: header.to_vec() };
        mark.save(&self.mark_path)?;
        self.mark = Some(mark);
        Ok(())
    }

    fn export(&self) -> Result<Box<dyn Read + Send>, StoreError> {
        let mark =
            self.mark.as_ref().ok_or_else(|| StoreError::damaged(&self.mark_path, "there is no checkpoint yet"))?;
        let begin = Mark { header: Vec::new(), ..mark.clone() };
        Ok(Box::new(Cursor::new(begin.encode()).chain(self.reader_at(0)?.take(mark.place.bytes))))
    }

    fn install(&mut self, from: &Path, header: &[u8]) -> Result<Orders, StoreError> {
        let source = File::open(from, Access::Read).map_err(StoreError::io("open", from))?;
        let mut source = BufReader::with_capacity(WRITE_BYTES, source);
        let mark = Mark { header: header.to_vec(), ..Mark::read(&mut source, from)? };
        let begin = source.stream_position().map_err(StoreError::io("seek in", from))?;
        let orders = self.check_received(source, &mark, from)?;

        let beside = self.path.with_added_extension("new");
        let mut file = open_locked(&beside)?;
        file.set_len(0).map_err(StoreError::io("cut", &beside))?;
        copy(from, begin, &mut file).map_err(StoreError::io("write", &beside))?;
        file.sync().map_err(StoreError::io("sync", &beside))?;
        disk::rename(&beside, &self.path).map_err(StoreError::io("rename a file to", &self.path))?;
        sync_directory_of(&self.path)?;
        // A crash here leaves the mark before: its lines are in the new ledger too, and the rest is tail.
        mark.save(&self.mark_path)?;
        (self.file, self.agreed, self.tail, self.mark) = (file, mark.place, None, Some(mark));
        Ok(orders)
    }
}

impl Ledger {
    /// Reads a received ledger, header line included, and holds it against the one that is here.
    fn check_received(&self, mut source: impl io::BufRead, mark: &Mark, from: &Path) -> Result<Orders, StoreError> {
        let mut header = [0; HEADER.len()];
        source.read_exact(&mut header).map_err(StoreError::io("read", from))?;
        if header != HEADER {
            return Err(StoreError::damaged(from, "it does not begin with a ledger's header"));
        }
        let ours = [Some(self.agreed), self.tail.as_ref().map(|tail| tail.end)];
        restore::read(source, mark, from, |place| {
            match ours.into_iter().flatten().find(|our| our.lines == place.lines) {
                Some(our) if our != place => {
                    let what = format!("its first {} orders are not those of the group's leader", our.lines);
                    Err(StoreError::damaged(&self.path, what))
                }
                _ => Ok(()),
            }
        })
    }
}

fn copy(from: &Path, begin: u64, to: &mut File) -> io::Result<()> {
    let mut source = File::open(from, Access::Read)?;
    source.seek(SeekFrom::Start(begin))?;
    io::copy(&mut source, to)?;
    Ok(())
}

#[cfg(test)]
mod tests;
