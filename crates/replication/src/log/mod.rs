//! The durable log: entries, vote, and what goes with them, on disk before anyone is told.
//!
//! All writes go through one thread of their own and in order, votes and entries alike; what comes while it works goes to the disk
//! together, in one sync. A failed write ends the process, because after a failed sync nobody knows what the disk holds. Reads are
//! served from memory for the newest entries and from a blocking thread for older ones.
//!
//! # Who waits for the disk
//! The engine does not: [`append`](LogStore::append) tells it at once that its entries are written, so that a leader sends them to its
//! followers while its own disk is at work, and goes on with the next ones. Instead, nothing that *depends* on an entry gets out of this
//! process before the entry is on this disk:
//!
//! * a follower's answer to the leader waits ([`crate::core::Core::append_entries`]),
//! * the state machine waits before it applies one, and with it every reply, checkpoint and read
//!   ([`MachineStore`](crate::machine_store::MachineStore)),
//! * a leader tells its followers only of commits up to there ([`Link`](crate::link::Link)).
//!
//! So whatever anybody learns to be committed is on the disks of a majority, this one among them. (That a leader may send before it has
//! written itself: the Raft thesis, §10.2.1.) Votes, truncations and purges are durable when the engine goes on.
//!
//! Entries are only purged when the checkpoint that replaces them is durable. The engine purges as soon as it has
//! *begun* to install a state that it received; a crash in between would leave a log that begins after the state ends,
//! on a disk whose copy had been counted in a majority. So [`LogStore::purge`] waits.

pub(crate) mod change;
mod disk;
mod durable;
mod engine;
mod frame;
mod index;
#[cfg(test)]
mod model;
mod open;
mod segment;
#[cfg(test)]
mod suite;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use api::NodeId;
use openraft::{AnyError, StorageIOError};
use prometheus::Histogram;
use service::lifecycle::{ExitCode, fatal};
use service::world::{self, Worker};
use tokio::sync::watch;

pub(crate) use change::Head;
pub(crate) use disk::{LogError, SEGMENT_BYTES};
pub(crate) use durable::Durable;

use crate::StartError;
use crate::disk_faults::DiskFaults;
use crate::engine::{Entry, LogId, StorageError, command_bytes};
use change::Change;
use disk::Disk;
use durable::OnDisk;
use index::Index;
use tail::Tail;

/// What one append to a follower carries at most, in bytes of commands, unless a single entry is longer.
pub(crate) const APPEND_BYTES_MAX: usize = 2 * 1024 * 1024;

/// How a log is kept.
#[derive(Clone, Debug)]
pub(crate) struct LogOptions {
    /// A file that is longer is followed by another one, in bytes.
    pub(crate) segment_bytes: u64,
    /// A disk that can be made slow.
    pub(crate) faults: DiskFaults,
}

/// The log of one replica. Clones are the same log.
#[derive(Clone)]
pub(crate) struct LogStore {
    shared: Arc<Shared>,
    writer: Worker,
    /// The last durable checkpoint.
    checkpointed: watch::Receiver<Option<LogId>>,
}

struct Shared {
    /// `None` once it is closed.
    disk: Mutex<Option<Disk>>,
    index: Index,
    tail: RwLock<Tail>,
    on_disk: watch::Sender<OnDisk>,
}

impl LogStore {
    /// Opens the log in the directory `dir` and checks all of it. `synced` observes how long each write took, in seconds.
    pub(crate) fn open(
        dir: &Path,
        options: LogOptions,
        checkpointed: watch::Receiver<Option<LogId>>,
        synced: Histogram,
    ) -> Result<Self, StartError> {
        let disk = Disk::open(dir, options.segment_bytes)?;
        let index = disk.index();
        let head = index.content().head.clone();
        let on_disk = OnDisk { last: head.last, ..OnDisk::default() };
        let shared = Arc::new(Shared {
            disk: Mutex::new(Some(disk)),
            index,
            tail: RwLock::new(Tail::new(head)),
            on_disk: watch::Sender::new(on_disk),
        });
        let writer = writer::spawn(Arc::clone(&shared), options.faults, synced);
        Ok(Self { shared, writer: writer.map_err(StartError::io("start a thread for", dir))?, checkpointed })
    }

    /// What the log holds besides its entries; it may not be on the disk yet.
    pub(crate) fn head(&self) -> Head {
        self.shared.tail().head.clone()
    }

    /// Tells what is on the disk.
    pub(crate) fn durable(&self) -> Durable {
        Durable::new(self.shared.on_disk.subscribe())
    }

    /// How long ago this replica last gave its vote to another one; `None` if never since it started.
    pub(crate) fn gave_vote_away(&self) -> Option<Duration> {
        self.shared.tail().gave_vote_away.map(|at| at.elapsed())
    }

    /// Notes whose log this is.
    pub(crate) async fn own(&self, node_id: NodeId) {
        self.write(Change::Own(node_id)).await;
    }

    /// Makes a replica that led when it stopped a follower of its own term.
    ///
    /// The engine would go on to lead in that term without an election. But a term must stand for one reign of one
    /// process: `(term, batch)` names a batch, and the counter of batches begins anew. "Voted for myself" is all that
    /// the disk has promised to others, and that stays.
    pub(crate) fn resign(&self, node_id: NodeId) {
        if let Some(vote) = &mut self.shared.tail_mut().head.vote
            && vote.leader_id.voted_for == Some(node_id)
        {
            vote.committed = false;
        }
    }

    /// Saves the committed position, and closes the files.
    pub(crate) async fn close(&self) {
        if self.shared.on_disk.borrow().closed {
            return;
        }
        self.write(Change::Nothing).await;
        self.shared.on_disk.send_modify(|on_disk| on_disk.closed = true);
        drop(self.shared.disk().take());
    }

    /// Puts a change in line; it is visible at once, and durable in its turn.
    fn queue(&self, change: Change) -> u64 {
        let number = self.shared.tail_mut().push(change);
        self.writer.wake();
        number
    }

    /// Returns when `change` is durable.
    async fn write(&self, change: Change) {
        let number = self.queue(change);
        if self.durable().changes(number).await.is_err() {
            // Closed: the engine is being stopped too. It must never be told that the write was done.
            std::future::pending::<()>().await;
        }
    }

    /// The entries of `range` that are there, until they have `bytes_max` bytes of commands; one at least.
    async fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, StorageError> {
        let (mut entries, mut next, mut bytes_left) = (Vec::new(), range.start, bytes_max);
        loop {
            let on_disk = {
                let tail = self.shared.tail();
                let rest = tail.clamp(next..range.end);
                if let Some(newest) = tail.read(&rest, bytes_left) {
                    entries.extend(newest);
                    return Ok(entries);
                }
                rest.start..tail.oldest().map_or(rest.end, |oldest| rest.end.min(oldest))
            };
            next = on_disk.end;
            let older = self.read_disk(on_disk, bytes_left).await?;
            let bytes: usize = older.iter().map(command_bytes).sum();
            entries.extend(older);
            match bytes_left.checked_sub(bytes) {
                Some(left) => bytes_left = left,
                None => return Ok(entries),
            }
        }
    }

    async fn read_disk(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, StorageError> {
        let (index, start) = (self.shared.index.clone(), range.start);
        match world::blocking("reading the log", move || index.read(range, bytes_max)).await {
            Ok(entries) => Ok(entries),
            Err(_) if self.shared.on_disk.borrow().closed => {
                Err(StorageIOError::read_log_at_index(start, AnyError::error(LogError::Closed)).into())
            }
            Err(error) => fatal(ExitCode::Io, error),
        }
    }

    /// The last log id of a log that ends before `from`.
    async fn last_before(&self, from: u64) -> Result<Option<LogId>, StorageError> {
        let purged = self.head().purged;
        match from.checked_sub(1) {
            Some(index) if purged.is_none_or(|purged| purged.index < index) => {
                Ok(self.read(index..from, 0).await?.first().map(|entry| entry.log_id))
            }
            _ => Ok(purged),
        }
    }
}

impl Shared {
    fn tail(&self) -> RwLockReadGuard<'_, Tail> {
        self.tail.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn tail_mut(&self) -> RwLockWriteGuard<'_, Tail> {
        self.tail.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn disk(&self) -> MutexGuard<'_, Option<Disk>> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many changes are on the disk now.
    fn is_durable(&self, changes: u64) {
        let last = self.index.content().head.last;
        self.tail_mut().is_durable(last);
        self.on_disk.send_modify(|on_disk| (on_disk.last, on_disk.changes) = (last, changes));
    }
}

/// For any bytes of a file: nothing panics, and what is taken for a frame is that frame's own encoding.
#[cfg(any(test, fuzzing))]
pub(crate) fn any_file(bytes: &[u8]) {
    for number in [0, 1] {
        for at in [0, bytes.len() / 2, bytes.len()] {
            if let Ok(frame::Found::Frame { body, bytes: length }) = frame::find::<change::Batch>(number, bytes, at) {
                assert_eq!(same_again(number, body), length);
            }
        }
    }
}

/// For any bytes as the body of a frame that is whole: likewise.
#[cfg(any(test, fuzzing))]
pub(crate) fn any_record(body: &[u8]) {
    let number = 1;
    let file = [&frame::seal(number, body), [0; 8].as_slice()].concat();
    match frame::find::<change::Batch>(number, &file, 0) {
        Ok(frame::Found::Frame { body: batch, bytes: length }) => {
            assert_eq!(length, file.len() - 8);
            same_again(number, batch);
        }
        found => assert!(found.is_err(), "a whole frame is taken for the end: {found:?}"),
    }
}

/// Writes and reads it; gives its frame's length.
#[cfg(any(test, fuzzing))]
fn same_again(number: u64, batch: change::Batch) -> usize {
    let again = frame::encode(number, &batch, Vec::new()).expect("it was decoded");
    assert_eq!(frame::decode::<change::Batch>(number, &again), Ok(batch));
    again.len()
}
