//! openraft's own test suite for storage, run on the log and the state machine's store.

use std::fs::File;

use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::testing::{StoreBuilder, Suite};
use prometheus::{Histogram, HistogramOpts, IntCounter};
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::sync::watch;

use super::{Flushed, LogOptions, LogStore};
use crate::consensus::checkpoint::{CheckpointData, ReceivedFile};
use crate::consensus::state_machine::MachineStore;
use crate::consensus::types::{AnyReply, CheckpointMeta, Entry, LogId, Membership, StorageError, Types};
use crate::disk_space::faults::DiskFaults;
use crate::file_store::FileStore;
use crate::instruments::CheckpointMetrics;

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Nothing;

impl crate::machine::StateMachine for Nothing {
    type Command = ();
    type Reply = ();
    fn apply(&mut self, _: api::LogPosition, (): ()) {}
}

/// The suite hands an export directly to the receiver. Here it goes through a file, as a state
/// transfer would have it.
struct Carried(MachineStore<Nothing>, std::path::PathBuf);

impl RaftStateMachine<Types> for Carried {
    type SnapshotBuilder = MachineStore<Nothing>;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), StorageError> {
        self.0.applied_state().await
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<AnyReply>, StorageError>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        RaftStateMachine::apply(&mut self.0, entries).await
    }

    async fn get_snapshot_builder(&mut self) -> MachineStore<Nothing> {
        self.0.get_snapshot_builder().await
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<CheckpointData>, StorageError> {
        // The suite asks for it and does nothing with it.
        Ok(Box::new(CheckpointData::Received(ReceivedFile::new(&self.1, 0))))
    }

    async fn install_snapshot(&mut self, meta: &CheckpointMeta, sent: Box<CheckpointData>) -> Result<(), StorageError> {
        let CheckpointData::Export(mut stream) = *sent else { panic!("the suite sends what was built") };
        let received = ReceivedFile::new(&self.1, 1);
        std::io::copy(&mut stream, &mut File::create(received.path()).unwrap()).unwrap();
        self.0.install_snapshot(meta, Box::new(CheckpointData::Received(received))).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        self.0.get_current_snapshot().await
    }
}

/// The files of a log. They are removed when everything that the suite queued has been written:
/// the suite does not wait for it, and the writer's thread stops the process if its directory is
/// gone.
struct Files {
    log: LogStore,
    _dir: TempDir,
}

impl Drop for Files {
    fn drop(&mut self) {
        // In a thread of its own: the suite's tests are themselves tasks of a runtime.
        std::thread::scope(|scope| {
            scope.spawn(|| Builder::new_current_thread().build().unwrap().block_on(self.log.close()));
        });
    }
}

struct Stores;

impl StoreBuilder<Types, LogStore, Carried, Files> for Stores {
    async fn build(&self) -> Result<(Files, LogStore, Carried), StorageError> {
        let dir = tempfile::tempdir().unwrap();
        // The suite purges without checkpoints.
        let (_, checkpointed) = watch::channel(Some(LogId { index: u64::MAX, ..LogId::default() }));
        let options = LogOptions { segment_bytes: 512, faults: DiskFaults::default(), has_high_water: false };
        let synced = Histogram::with_opts(HistogramOpts::new("synced", "for the test")).unwrap();
        let log = LogStore::open(&dir.path().join("log"), options, checkpointed, synced).unwrap();
        let counters = CheckpointMetrics {
            made_seconds: Histogram::with_opts(HistogramOpts::new("made", "for the test")).unwrap(),
            installed: IntCounter::new("installed", "for the test").unwrap(),
        };
        let store = Box::new(FileStore::new(dir.path().join("state")));
        let machine =
            MachineStore::load(store, Nothing, Flushed::everything(), watch::Sender::new(None), counters).unwrap();
        let carried = Carried(machine, dir.path().to_owned());
        Ok((Files { log: log.clone(), _dir: dir }, log, carried))
    }
}

#[test]
fn openrafts_suite_passes() {
    Suite::test_all(Stores).unwrap();
}
