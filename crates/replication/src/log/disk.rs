//! The log's file: a redb database with two tables, the entries by index and a few single values.
//!
//! Each write is one transaction that is synced before it is reported done. The position up to which the log is known
//! to be committed rides along with the next write: it saves work after a restart, and nothing depends on it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use api::NodeId;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use service::world::disk::{self, Access};

use super::backend::Backend;
use crate::StartError;
use crate::engine::{Entry, LogId, Vote};
use crate::record;

const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
const VALUES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("values");

/// Raised when a record's encoding changes.
const FORMAT: u32 = 1;
/// Recent entries are in our own memory: redb's cache serves the pages of the tree and the catching-up of others.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Why the file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("{}: {source}", path.display())]
    Database { path: PathBuf, source: redb::Error },
    #[error("{}: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("the log is closed")]
    Closed,
    #[error("the thread that writes the log is gone")]
    WriterGone,
}

/// What the file holds besides the entries.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Head {
    /// Whose log it is; `None` in a fresh file.
    pub(crate) node_id: Option<NodeId>,
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    /// The last entry that was removed because a checkpoint has it.
    pub(crate) purged: Option<LogId>,
    /// The last entry, or `purged` if there is none after it.
    pub(crate) last: Option<LogId>,
}

/// One durable change.
#[derive(Debug)]
pub(crate) enum Change {
    Own(NodeId),
    Vote(Vote),
    Append(Vec<Entry>),
    /// Removes the entries from this index on.
    Truncate(u64),
    /// Removes the entries up to this one, inclusive.
    Purge(LogId),
    /// Nothing but the committed position.
    Nothing,
}

/// Opens the file, or makes it where there is none.
fn open_database(path: &Path) -> Result<Database, StartError> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    let database = match disk::raw(path, Access::Update) {
        None => builder.create(path),
        Some(file) => file
            .map_err(|error| DatabaseError::Storage(error.into()))
            .and_then(|file| builder.create_with_backend(Backend::new(file))),
    };
    database.map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => StartError::Locked(path.to_owned()),
        DatabaseError::Storage(redb::StorageError::Io(source)) if source.kind() != std::io::ErrorKind::InvalidData => {
            StartError::io("open", path)(source)
        }
        other => StartError::damaged(path, other.to_string()),
    })
}

pub(crate) struct Disk {
    database: Database,
    path: PathBuf,
}

impl Disk {
    /// Opens or makes the file and checks every record. Holds the file's lock until dropped.
    pub(crate) fn open(path: &Path) -> Result<(Self, Head), StartError> {
        if !disk::exists(path).map_err(StartError::io("look for", path))? {
            Self::make(path)?;
        }
        let database = open_database(path)?;
        let disk = Self { database, path: path.to_owned() };
        let head = disk.check().map_err(|error| match error {
            LogError::Damaged { path, what } => StartError::Damaged { path, what },
            other => StartError::damaged(path, other.to_string()),
        })?;
        Ok((disk, head))
    }

    /// Makes the file beside its name, and gives it the name once it is whole: where the power fails while redb makes a
    /// file, it may leave one that it will not open.
    fn make(path: &Path) -> Result<(), StartError> {
        let beside = path.with_added_extension("new");
        let database = match open_database(&beside) {
            Ok(database) => database,
            Err(StartError::Locked(_)) => return Err(StartError::Locked(path.to_owned())),
            Err(error) => {
                tracing::warn!(path = %beside.display(), %error, "a log that was not made to its end is made anew");
                disk::remove_file(&beside).map_err(StartError::io("remove", &beside))?;
                open_database(&beside)?
            }
        };
        let fresh = Self { database, path: beside.clone() };
        fresh.check().map_err(|error| StartError::damaged(&beside, error.to_string()))?;
        // Its lock is still held: another process that makes one at this moment has been refused, or sees the name below.
        if disk::exists(path).map_err(StartError::io("look for", path))? {
            return disk::remove_file(&beside).map_err(StartError::io("remove", &beside));
        }
        disk::rename(&beside, path).map_err(StartError::io("rename a file to", path))?;
        disk::sync_dir_of(path).map_err(StartError::io("sync the directory of", path))
    }

    fn check(&self) -> Result<Head, LogError> {
        if self.format()?.is_none() {
            self.create()?;
        }
        let read = self.database.begin_read().map_err(|e| self.error(e))?;
        let values = read.open_table(VALUES).map_err(|e| self.error(e))?;
        let mut head = Head {
            node_id: self.value(&values, "node_id")?,
            vote: self.value(&values, "vote")?,
            committed: self.value(&values, "committed")?,
            purged: self.value(&values, "purged")?,
            last: None,
        };
        head.last = head.purged;
        let entries = read.open_table(ENTRIES).map_err(|e| self.error(e))?;
        for item in entries.iter().map_err(|e| self.error(e))? {
            let (key, bytes) = item.map_err(|e| self.error(e))?;
            head.last = Some(self.follow(head.last, key.value(), bytes.value())?);
        }
        if head.committed > head.last {
            let what = format!("the log ends at {:?}, but was committed up to {:?}", head.last, head.committed);
            return Err(self.damaged(what));
        }
        Ok(head)
    }

    fn format(&self) -> Result<Option<u32>, LogError> {
        let read = self.database.begin_read().map_err(|e| self.error(e))?;
        let values = match read.open_table(VALUES) {
            Ok(values) => values,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(self.error(error)),
        };
        match self.value(&values, "format")? {
            Some(FORMAT) => Ok(Some(FORMAT)),
            Some(other) => Err(self.damaged(format!("its format is {other}; this program reads {FORMAT}"))),
            None => Err(self.damaged("it has no format number".to_owned())),
        }
    }

    fn create(&self) -> Result<(), LogError> {
        self.transaction(|write| {
            write.open_table(ENTRIES).map_err(|e| self.error(e))?;
            let mut values = write.open_table(VALUES).map_err(|e| self.error(e))?;
            self.put(&mut values, "format", &FORMAT)
        })
    }

    /// Checks that the record under `index` follows `last`, and gives its log id.
    fn follow(&self, last: Option<LogId>, index: u64, bytes: &[u8]) -> Result<LogId, LogError> {
        let entry = self.entry(index, bytes)?;
        let expected = last.map_or(0, |last| last.index + 1);
        if index != expected {
            return Err(self.damaged(format!("entry {expected} is missing: {index} comes instead")));
        }
        if let Some(last) = last
            && entry.log_id.leader_id < last.leader_id
        {
            let (term, before) = (entry.log_id.leader_id.term, last.leader_id.term);
            return Err(self.damaged(format!("entry {index} is of term {term}, the one before it of term {before}")));
        }
        Ok(entry.log_id)
    }

    fn entry(&self, index: u64, bytes: &[u8]) -> Result<Entry, LogError> {
        let entry: Entry = record::decode(bytes).map_err(|what| self.damaged(format!("entry {index}: {what}")))?;
        if entry.log_id.index != index {
            return Err(self.damaged(format!("under index {index} lies entry {}", entry.log_id.index)));
        }
        Ok(entry)
    }

    /// The entries of `range` that are there, until they have `bytes_max` bytes; one at least.
    pub(crate) fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, LogError> {
        let read = self.database.begin_read().map_err(|e| self.error(e))?;
        let table = read.open_table(ENTRIES).map_err(|e| self.error(e))?;
        let mut entries = Vec::new();
        let mut bytes_left = bytes_max;
        for item in table.range(range).map_err(|e| self.error(e))? {
            let (key, bytes) = item.map_err(|e| self.error(e))?;
            entries.push(self.entry(key.value(), bytes.value())?);
            match bytes_left.checked_sub(bytes.value().len()) {
                Some(left) => bytes_left = left,
                None => break,
            }
        }
        Ok(entries)
    }

    /// Makes `change` durable, and `committed` with it.
    pub(crate) fn write(&self, change: &Change, committed: Option<LogId>) -> Result<(), LogError> {
        self.transaction(|write| {
            let mut values = write.open_table(VALUES).map_err(|e| self.error(e))?;
            if let Some(committed) = committed {
                self.put(&mut values, "committed", &committed)?;
            }
            match change {
                Change::Own(node_id) => self.put(&mut values, "node_id", node_id)?,
                Change::Vote(vote) => self.put(&mut values, "vote", vote)?,
                Change::Purge(upto) => self.put(&mut values, "purged", upto)?,
                Change::Append(_) | Change::Truncate(_) | Change::Nothing => {}
            }
            let mut entries = write.open_table(ENTRIES).map_err(|e| self.error(e))?;
            match change {
                Change::Append(new) => new.iter().try_for_each(|entry| self.insert(&mut entries, entry)),
                Change::Truncate(from) => entries.retain_in(*from.., |_, _| false).map_err(|e| self.error(e)),
                Change::Purge(upto) => entries.retain_in(..=upto.index, |_, _| false).map_err(|e| self.error(e)),
                Change::Own(_) | Change::Vote(_) | Change::Nothing => Ok(()),
            }
        })
    }

    fn insert(&self, entries: &mut Table<'_, u64, &[u8]>, entry: &Entry) -> Result<(), LogError> {
        let index = entry.log_id.index;
        let record = record::encode(entry).map_err(|what| self.damaged(format!("entry {index} {what}")))?;
        entries.insert(index, record.as_slice()).map_err(|e| self.error(e))?;
        Ok(())
    }

    fn transaction(&self, fill: impl FnOnce(&WriteTransaction) -> Result<(), LogError>) -> Result<(), LogError> {
        // redb's default durability is `Immediate`: commit returns after the sync.
        let write = self.database.begin_write().map_err(|e| self.error(e))?;
        fill(&write)?;
        write.commit().map_err(|e| self.error(e))
    }

    fn put<T: Serialize>(&self, values: &mut Table<'_, &str, &[u8]>, key: &str, value: &T) -> Result<(), LogError> {
        let record = record::encode(value).map_err(|what| self.damaged(format!("{key} {what}")))?;
        values.insert(key, record.as_slice()).map_err(|e| self.error(e))?;
        Ok(())
    }

    fn value<T: DeserializeOwned>(
        &self,
        values: &impl ReadableTable<&'static str, &'static [u8]>,
        key: &str,
    ) -> Result<Option<T>, LogError> {
        let Some(bytes) = values.get(key).map_err(|e| self.error(e))? else {
            return Ok(None);
        };
        record::decode(bytes.value()).map(Some).map_err(|what| self.damaged(format!("{key}: {what}")))
    }

    fn error(&self, source: impl Into<redb::Error>) -> LogError {
        LogError::Database { path: self.path.clone(), source: source.into() }
    }

    fn damaged(&self, what: String) -> LogError {
        LogError::Damaged { path: self.path.clone(), what }
    }
}
