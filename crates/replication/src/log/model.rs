//! Random sequences of changes, with restarts in between, compared with a list of entries.

use std::path::Path;

use openraft::RaftLogReader;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use proptest::collection::vec;
use proptest::prelude::*;

use super::LogStore;
use super::tests::{entries, id, open_segments};
use crate::consensus::types::{Entry, LogId};

#[derive(Clone, Debug)]
enum Step {
    Append(u64),
    /// A later leader replaces this many of the last entries, if there are that many.
    Replace(u64),
    /// Keeps this many of the last entries.
    Purge(u64),
    /// Purges beyond the end of the log, as after installing a state from another replica.
    PurgeAll,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..6u64).prop_map(Step::Append),
        2 => (1..6u64).prop_map(Step::Replace),
        2 => (0..6u64).prop_map(Step::Purge),
        1 => Just(Step::PurgeAll),
        2 => Just(Step::Restart),
    ];
    vec(step, 1..30)
}

/// What the log must hold.
#[derive(Debug, Default)]
struct Model {
    term: u64,
    purged: Option<LogId>,
    entries: Vec<Entry>,
}

impl Model {
    fn last(&self) -> Option<LogId> {
        self.entries.last().map(|entry| entry.log_id).or(self.purged)
    }

    async fn append(&mut self, log: &mut LogStore, count: u64) {
        let first = self.last().map_or(0, |last| last.index + 1);
        let new = entries(self.term, first..first + count);
        self.entries.extend(new.clone());
        log.blocking_append(new).await.unwrap();
    }

    async fn purge(&mut self, log: &mut LogStore, upto: LogId) {
        self.entries.retain(|entry| entry.log_id.index > upto.index);
        self.purged = Some(upto);
        log.purge(upto).await.unwrap();
    }

    async fn take(&mut self, log: &mut LogStore, step: Step) {
        match step {
            Step::Append(count) => self.append(log, count).await,
            Step::Replace(count) if count <= self.entries.len() as u64 => {
                let kept = self.entries.len() - usize::try_from(count).unwrap();
                let first = self.entries.split_off(kept)[0].log_id;
                log.truncate(first).await.unwrap();
                self.term += 1;
                self.append(log, 1).await;
            }
            Step::Purge(kept) if kept < self.entries.len() as u64 => {
                let last_gone = self.entries.len() - 1 - usize::try_from(kept).unwrap();
                self.purge(log, self.entries[last_gone].log_id).await;
            }
            Step::PurgeAll => {
                self.term += 1;
                let upto = id(self.term, self.last().map_or(0, |last| last.index + 3));
                self.purge(log, upto).await;
            }
            Step::Restart | Step::Replace(_) | Step::Purge(_) => {}
        }
    }

    async fn check(&self, log: &mut LogStore) {
        assert_eq!(log.try_get_log_entries(..).await.unwrap(), self.entries);
        assert_eq!((log.metadata().purged, log.metadata().last), (self.purged, self.last()));
    }
}

async fn run(path: &Path, segment_bytes: u64, steps: Vec<Step>) {
    let open = || open_segments(path, segment_bytes).unwrap_or_else(|error| panic!("{error}"));
    let mut model = Model::default();
    let mut log = open();
    for step in steps {
        if let Step::Restart = step {
            log.close().await;
            log = open();
        }
        model.take(&mut log, step).await;
        model.check(&mut log).await;
    }
    log.close().await;
    model.check(&mut open()).await;
}

proptest! {
    #[test]
    fn the_log_matches_the_model_also_after_restarts(segment_bytes in 1..1000_u64, steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(&dir.path().join("log"), segment_bytes, steps));
    }
}
