//! The ledger: every order as a line of CSV, for people and for the next start.
//!
//! ```text
//! number,name,quantity,order_id,checksum_v2
//! 1,Tux,2,6f1c…,x9a33c1f0
//! ```
//! Only committed orders are written, in the order of their numbers. So the ledgers of all replicas
//! are the same bytes, up to the end of the shorter one (I3). The checksum is chained: it covers
//! every line before its own, so two ledgers with the same last line are equal.
//!
//! Stores of earlier versions have ledgers in another [format](crate::LedgerFormat), which they
//! keep: the last column is called `checksum`, and its values have no `x`.
//!
//! # What is durable when
//! Before an order is acknowledged, it is in the consensus log on a majority of disks. The ledger
//! follows: lines are appended as orders commit, and synced at each checkpoint. The checkpoint file
//! then records how many lines and bytes the ledger has, and the chain over them. That file is
//! replaced atomically. (On disk it is called `ledger.mark`.)
//!
//! ```text
//! │ header │ line 1 │ … │ line 4711 │ line 4712 │ … │ line 4790 │ torn li
//!                                   ▲                           ▲
//!                checkpoint: durable│     the tail: in the log  │ dropped at the next start
//! ```
//!
//! Remembered refusals are not in any line. They are in the checkpoint file and travel with it.
//! Later refusals are in the log.
//!
//! # The next start
//! * Up to the checkpoint, the ledger is the state. Each line must be present, complete and
//!   correct; otherwise the start is refused with the line number, its byte offset, and what is
//!   wrong.
//! * After the checkpoint comes the *tail*. Nothing in it is needed: the log replays those orders.
//!   But they are not written again: as an order is replayed, its line is compared with the one in
//!   the file. A difference is damage.
//! * Lines are written from entries in this replica's own log, so each line of the tail must be in
//!   such an entry. A line that is not means that the log has lost its end, or that the ledger
//!   belongs to another replica: the start is refused.
//! * The tail may end in a torn write, or contain pages that never reached the disk before a power
//!   failure and read as NUL bytes. Both are truncated and logged; the log replays those orders. A
//!   line that is wrong in any other way was not damaged by a crash: the start is refused.
//! * A checkpoint without a ledger is refused. A ledger without a checkpoint is all tail.
//!
//! # State transfer
//! A replica that is far behind receives the leader's ledger up to its checkpoint, as bytes, and
//! checks each line. If the local ledger is neither a prefix nor a continuation of it, it has
//! another history and is not replaced.
//!
//! # Caveats
//! * Loading takes time in proportion to the number of orders: 1.7 s for five million on a laptop's
//!   core (`examples/load_ledger.rs`).
//! * A checkpoint syncs the lines since the last one: 18 ms for 400,000 orders on the same machine.
//!   Commands wait meanwhile.
//! * The checksums detect damage; they are no protection against a person who computes new ones.

mod checkpoint;
mod checksums;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod line;
mod lines;
mod restore;

use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use api::Term;
use replication::{StateStore, StateStoreError};
use service::world::disk::{self, File, OpenMode};

use crate::ledger_format::HEADER_BYTES_MAX;
use crate::ledger_format::LedgerFormat;
use crate::orders::{DedupWindow, OrderCommand, Orders, PlacedOrder};
use checkpoint::{LedgerCheckpoint, LedgerPosition};
pub use checksums::LedgerChecksums;
use checksums::RecentChecksums;

/// Lines are buffered up to about this many bytes: a single write for all but the largest backlogs.
const WRITE_BYTES: usize = 1024 * 1024;

/// The orders' [`StateStore`]: a CSV file, and its checkpoint in another directory.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    checkpoint_path: PathBuf,
    /// Opened for appending, and locked.
    file: File,
    /// `None` until it has a header: the group has not agreed on a format yet.
    format: Option<LedgerFormat>,
    /// The last durable checkpoint.
    checkpoint: Option<LedgerCheckpoint>,
    /// Up to where the file agrees with the state machine.
    position: LedgerPosition,
    /// The lines of the file after that position.
    tail: Option<Tail>,
    buffer: Vec<u8>,
    /// The checksums of the lines up to the position, for readers.
    checksums: LedgerChecksums,
    /// Those that are new since the last call; kept to reuse its memory.
    new_checksums: Vec<u32>,
    dedup_window: DedupWindow,
}

/// Lines that an earlier process wrote, and that the log has not replayed yet.
#[derive(Debug)]
struct Tail {
    /// After the last of these lines.
    end: LedgerPosition,
    reader: BufReader<File>,
}

impl Ledger {
    /// Opens and locks the ledger `path`, whose checkpoint is `data_dir/ledger.mark`. Creates what
    /// does not exist, including directories.
    ///
    /// # Errors
    /// If another process uses it; if there is a checkpoint but no ledger; if the operating system
    /// reports an error.
    pub fn open(path: &Path, data_dir: &Path) -> Result<Self, StateStoreError> {
        let (path, checkpoint_path) = (path.to_owned(), data_dir.join("ledger.mark"));
        for dir in [path.parent(), Some(data_dir)].into_iter().flatten() {
            disk::create_dir_all(dir).map_err(StateStoreError::io("create", dir))?;
        }
        let checkpoint = LedgerCheckpoint::load(&checkpoint_path)?;
        let exists = disk::exists(&path).map_err(StateStoreError::io("look for", &path))?;
        if let (Some(checkpoint), false) = (&checkpoint, exists) {
            let (lines, checkpoint_path) = (checkpoint.position.lines, checkpoint_path.display());
            let what = format!("it is missing, but according to {checkpoint_path} it had {lines} orders: restore it");
            return Err(StateStoreError::damaged(path, what));
        }
        let file = open_locked(&path)?;
        // Also for an existing file: the process that created it may have ended because this very
        // sync failed.
        sync_directory_of(&path)?;
        Ok(Self {
            path,
            checkpoint_path,
            file,
            checkpoint,
            position: LedgerPosition::start(LedgerFormat::default()),
            format: None,
            tail: None,
            buffer: Vec::new(),
            checksums: LedgerChecksums::default(),
            new_checksums: Vec::new(),
            dedup_window: DedupWindow::default(),
        })
    }

    /// Sets how many of the last orders the loaded state recognizes.
    #[must_use]
    pub fn with_dedup_window(self, dedup_window: DedupWindow) -> Self {
        Self { dedup_window, ..self }
    }

    /// The checksums of its newest lines, which stay up to date.
    pub fn checksums(&self) -> LedgerChecksums {
        self.checksums.clone()
    }

    /// A separate handle for reading, at `offset`.
    fn reader_at(&self, offset: u64) -> Result<File, StateStoreError> {
        let mut file = File::open(&self.path, OpenMode::Read).map_err(StateStoreError::io("open", &self.path))?;
        file.seek(SeekFrom::Start(offset)).map_err(StateStoreError::io("seek in", &self.path))?;
        Ok(file)
    }

    /// Scans the lines after `from`, truncates what a crash left at the end, and keeps the rest for
    /// comparison.
    fn open_tail(&mut self, from: LedgerPosition) -> Result<(), StateStoreError> {
        let reader = BufReader::new(self.reader_at(from.bytes)?);
        let found = restore::scan_tail(reader, from, &self.path)?;
        if let Some(cut) = found.cut {
            tracing::warn!(
                path = %self.path.display(), line = found.end.lines + 2, offset_bytes = found.end.bytes, reason = cut,
                "truncated the end of the ledger; the log replays it"
            );
            self.file.set_len(found.end.bytes).map_err(StateStoreError::io("cut", &self.path))?;
        }
        self.tail = (found.end != from)
            .then(|| Ok(Tail { end: found.end, reader: BufReader::new(self.reader_at(from.bytes)?) }))
            .transpose()?;
        self.position = from;
        Ok(())
    }

    /// Determines the format. A file that is empty, has only part of a header, or begins with bytes
    /// that never reached the disk is truncated to nothing. Any other file must begin with a
    /// header.
    fn read_format(&mut self) -> Result<(), StateStoreError> {
        let mut begin = Vec::with_capacity(HEADER_BYTES_MAX);
        let reader = self.reader_at(0)?;
        reader
            .take(HEADER_BYTES_MAX as u64)
            .read_to_end(&mut begin)
            .map_err(StateStoreError::io("read", &self.path))?;
        self.format = LedgerFormat::ALL.into_iter().find(|format| begin.starts_with(format.header()));
        if self.format.is_some() {
            return Ok(());
        }
        let torn = LedgerFormat::ALL.iter().any(|format| format.header().starts_with(&begin)) || begin.contains(&0);
        if self.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.position.lines > 0) || !torn {
            let header = String::from_utf8_lossy(LedgerFormat::NEWEST.header().trim_ascii_end());
            return Err(StateStoreError::damaged(&self.path, format!("line 1 (byte 0): it is not {header:?}")));
        }
        self.file.set_len(0).map_err(StateStoreError::io("cut", &self.path))?;
        if self.checkpoint.is_some() {
            // The power failed while the header was being rewritten in the group's format. The
            // checkpoint is from before, and the log has what came after it.
            self.file.write_all(LedgerFormat::V1.header()).map_err(StateStoreError::io("write", &self.path))?;
            self.format = Some(LedgerFormat::V1);
        }
        Ok(())
    }

    /// Writes the header, once the group has agreed on the format. It may replace another header as
    /// long as there is no line.
    fn write_header(&mut self, format: LedgerFormat) -> Result<(), StateStoreError> {
        if self.format == Some(format) || self.position.lines > 0 || self.tail.is_some() {
            return Ok(());
        }
        self.file.set_len(0).map_err(StateStoreError::io("cut", &self.path))?;
        self.file.write_all(format.header()).map_err(StateStoreError::io("write", &self.path))?;
        (self.format, self.position) = (Some(format), LedgerPosition::start(format));
        self.checkpoint = self.checkpoint.take().map(|checkpoint| checkpoint.of(format));
        Ok(())
    }

    /// Writes the line of the next order, or compares it with the tail.
    fn add(&mut self, order: &PlacedOrder<'_>) -> Result<(), StateStoreError> {
        let begin = self.buffer.len();
        let chain = line::write(&mut self.buffer, self.position.chain, order);
        let next = LedgerPosition {
            lines: self.position.lines + 1,
            bytes: self.position.bytes + (self.buffer.len() - begin) as u64,
            chain,
        };
        if let Some(tail) = &mut self.tail {
            compare(&mut tail.reader, &self.buffer[begin..], self.position, &self.path)?;
            self.buffer.truncate(begin);
            self.tail.take_if(|tail| tail.end == next);
        }
        self.position = next;
        self.new_checksums.push(chain.crc);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StateStoreError> {
        self.file.write_all(&self.buffer).map_err(StateStoreError::io("write", &self.path))?;
        self.buffer.clear();
        Ok(())
    }
}

/// The line that `reader` has at `at` must be `expected`.
fn compare(reader: &mut impl Read, expected: &[u8], at: LedgerPosition, path: &Path) -> Result<(), StateStoreError> {
    let mut found = Vec::with_capacity(expected.len());
    reader.take(expected.len() as u64).read_to_end(&mut found).map_err(StateStoreError::io("read", path))?;
    if found == expected {
        return Ok(());
    }
    let [found, expected] = [&*found, expected].map(|line| String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
    let what = format!(
        "line {} (byte {}): it is {found:?}, but the log has {expected:?}: this is the ledger of another history",
        at.lines + 2,
        at.bytes
    );
    Err(StateStoreError::damaged(path, what))
}

/// Makes the name of a new or renamed file durable.
fn sync_directory_of(path: &Path) -> Result<(), StateStoreError> {
    disk::sync_dir_of(path).map_err(StateStoreError::io("sync the directory of", path))
}

/// Opens a file for appending, and locks it.
fn open_locked(path: &Path) -> Result<File, StateStoreError> {
    let file = File::open(path, OpenMode::Append).map_err(StateStoreError::io("open", path))?;
    if file.try_lock().map_err(StateStoreError::io("lock", path))? {
        return Ok(file);
    }
    let in_use =
        io::Error::new(io::ErrorKind::ResourceBusy, "another process uses it: each replica needs its own ledger");
    Err(StateStoreError::io("lock", path)(in_use))
}

impl StateStore<Orders> for Ledger {
    fn load(&mut self) -> Result<Option<(Orders, Vec<u8>)>, StateStoreError> {
        self.read_format()?;
        let Some(format) = self.format else { return Ok(None) };
        self.checkpoint = self.checkpoint.take().map(|checkpoint| checkpoint.of(format));
        let Some(checkpoint) = self.checkpoint.clone() else {
            self.open_tail(LedgerPosition::start(format))?;
            return Ok(None);
        };
        let reader = BufReader::with_capacity(WRITE_BYTES, self.reader_at(LedgerPosition::start(format).bytes)?);
        let mut checksums = RecentChecksums::default();
        let orders = restore::read(reader, &checkpoint, &self.path, self.dedup_window, |position| {
            checksums.push(position.chain.crc);
            Ok(())
        })?;
        self.checksums.replace(checksums);
        self.open_tail(checkpoint.position)?;
        Ok(Some((orders.in_format(format), checkpoint.header)))
    }

    fn checkpoint_file(&self) -> PathBuf {
        self.checkpoint_path.clone()
    }

    fn check_log(&mut self, commands: &mut dyn Iterator<Item = OrderCommand>) -> Result<(), StateStoreError> {
        let Some(tail) = &self.tail else { return Ok(()) };
        restore::check_tail_in_log(self.reader_at(self.position.bytes)?, self.position, tail.end, commands, &self.path)
    }

    fn record(&mut self, machine: &Orders) -> Result<(), StateStoreError> {
        if machine.begun() > Term(0) {
            self.write_header(machine.ledger_format())?;
        }
        for order in machine.after(self.position.lines) {
            self.add(&order)?;
            if self.buffer.len() >= WRITE_BYTES {
                self.flush()?;
            }
        }
        self.checksums.extend(&self.new_checksums);
        self.new_checksums.clear();
        self.flush()
    }

    fn checkpoint(&mut self, machine: &Orders, header: &[u8]) -> Result<(), StateStoreError> {
        self.write_header(machine.ledger_format())?;
        self.record(machine)?;
        self.file.sync_data().map_err(StateStoreError::io("sync", &self.path))?;
        let refusals = machine.encode_refusals().into();
        let checkpoint =
            LedgerCheckpoint { position: self.position, begun: machine.begun(), refusals, header: header.to_vec() };
        checkpoint.save(&self.checkpoint_path)?;
        self.checkpoint = Some(checkpoint);
        Ok(())
    }

    fn export(&self) -> Result<Box<dyn Read + Send>, StateStoreError> {
        let checkpoint = self
            .checkpoint
            .as_ref()
            .ok_or_else(|| StateStoreError::damaged(&self.checkpoint_path, "there is no checkpoint yet"))?;
        let begin = LedgerCheckpoint { header: Vec::new(), ..checkpoint.clone() };
        Ok(Box::new(Cursor::new(begin.encode()).chain(self.reader_at(0)?.take(checkpoint.position.bytes))))
    }

    fn install(&mut self, from: &Path, header: &[u8]) -> Result<Orders, StateStoreError> {
        let source = File::open(from, OpenMode::Read).map_err(StateStoreError::io("open", from))?;
        let mut source = BufReader::with_capacity(WRITE_BYTES, source);
        let checkpoint = LedgerCheckpoint { header: header.to_vec(), ..LedgerCheckpoint::read(&mut source, from)? };
        let begin = source.stream_position().map_err(StateStoreError::io("seek in", from))?;
        let (checkpoint, orders, checksums) = self.check_received(source, checkpoint, from)?;
        let format = checkpoint.position.chain.format;

        let new_path = self.path.with_added_extension("new");
        let mut file = open_locked(&new_path)?;
        file.set_len(0).map_err(StateStoreError::io("cut", &new_path))?;
        copy(from, begin, &mut file).map_err(StateStoreError::io("write", &new_path))?;
        file.sync().map_err(StateStoreError::io("sync", &new_path))?;
        disk::rename(&new_path, &self.path).map_err(StateStoreError::io("rename a file to", &self.path))?;
        sync_directory_of(&self.path)?;
        // After a crash here the old checkpoint applies: its lines are in the new ledger too, and
        // the rest is tail.
        checkpoint.save(&self.checkpoint_path)?;
        (self.file, self.format) = (file, Some(format));
        (self.position, self.tail, self.checkpoint) = (checkpoint.position, None, Some(checkpoint));
        self.checksums.replace(checksums);
        Ok(orders.in_format(format))
    }
}

impl Ledger {
    /// Reads a received ledger, including its header line, and compares it with the local one.
    fn check_received(
        &self,
        mut source: impl io::BufRead,
        checkpoint: LedgerCheckpoint,
        from: &Path,
    ) -> Result<(LedgerCheckpoint, Orders, RecentChecksums), StateStoreError> {
        let mut header = Vec::with_capacity(HEADER_BYTES_MAX);
        let mut begin = (&mut source).take(HEADER_BYTES_MAX as u64);
        begin.read_until(b'\n', &mut header).map_err(StateStoreError::io("read", from))?;
        let format = LedgerFormat::of_header(&header)
            .ok_or_else(|| StateStoreError::damaged(from, "it does not begin with a ledger header"))?;
        let checkpoint = checkpoint.of(format);
        let ours = [Some(self.position), self.tail.as_ref().map(|tail| tail.end)];
        let mut checksums = RecentChecksums::default();
        let orders = restore::read(source, &checkpoint, from, self.dedup_window, |position| {
            checksums.push(position.chain.crc);
            match ours.into_iter().flatten().find(|our| our.lines == position.lines) {
                Some(our) if our != position => {
                    let what = format!("its first {} orders are not those of the group's leader", our.lines);
                    Err(StateStoreError::damaged(&self.path, what))
                }
                _ => Ok(()),
            }
        })?;
        Ok((checkpoint, orders, checksums))
    }
}

fn copy(from: &Path, begin: u64, to: &mut File) -> io::Result<()> {
    let mut source = File::open(from, OpenMode::Read)?;
    source.seek(SeekFrom::Start(begin))?;
    io::copy(&mut source, to)?;
    Ok(())
}

#[cfg(test)]
mod tests;
