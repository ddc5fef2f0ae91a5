use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use openraft::storage::RaftLogStorageExt;
use openraft::{CommittedLeaderId, RaftLogReader};
use prometheus::HistogramOpts;
use redb::{Database, ReadableTable, TableDefinition};

use super::*;
use crate::engine::Command;

/// Whoever tests the log alone has no checkpoints to wait for.
fn checkpoint_of_everything() -> watch::Receiver<Option<LogId>> {
    watch::channel(Some(id(u64::MAX, u64::MAX))).1
}

fn open(path: &Path) -> Result<LogStore, StartError> {
    open_with(path, checkpoint_of_everything())
}

fn open_with(path: &Path, checkpointed: watch::Receiver<Option<LogId>>) -> Result<LogStore, StartError> {
    // So that a test that ends the process says why.
    let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR).try_init();
    let synced = Histogram::with_opts(HistogramOpts::new("synced", "for the test")).expect("a histogram");
    LogStore::open(path, checkpointed, synced)
}

fn id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, NodeId::default()), index)
}

fn entry(term: u64, index: u64) -> Entry {
    Entry { log_id: id(term, index), payload: openraft::EntryPayload::Normal(Command(format!("word {index}").into())) }
}

fn entries(term: u64, indices: Range<u64>) -> Vec<Entry> {
    indices.map(|index| entry(term, index)).collect()
}

/// A log with the entries 0 to 99 of term 1, closed.
async fn hundred(path: &Path) {
    let mut log = open(path).unwrap();
    log.save_vote(&Vote::new_committed(1, NodeId(7))).await.unwrap();
    log.blocking_append(entries(1, 0..100)).await.unwrap();
    log.save_committed(Some(id(1, 90))).await.unwrap();
    log.close().await;
}

/// Changes the file behind the log's back.
fn tamper(path: &Path, change: impl FnOnce(&mut redb::Table<'_, u64, &[u8]>)) {
    let database = Database::open(path).unwrap();
    let write = database.begin_write().unwrap();
    change(&mut write.open_table(TableDefinition::new("entries")).unwrap());
    write.commit().unwrap();
}

fn refused(path: &Path) -> String {
    match open(path) {
        Err(StartError::Damaged { path: named, what }) => {
            assert_eq!(named, path);
            what
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a damaged log was opened"),
    }
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    hundred(&path).await;
    let mut log = open(&path).unwrap();
    let head = log.head();
    assert_eq!(head.vote, Some(Vote::new_committed(1, NodeId(7))));
    assert_eq!((head.last, head.committed), (Some(id(1, 99)), Some(id(1, 90))));
    assert_eq!(log.try_get_log_entries(..).await.unwrap(), entries(1, 0..100));
}

#[tokio::test]
async fn a_leader_that_restarts_is_a_follower_with_its_own_vote() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    hundred(&path).await;
    let log = open(&path).unwrap();
    log.resign(NodeId(8));
    assert_eq!(log.head().vote, Some(Vote::new_committed(1, NodeId(7))), "it was another's leadership");
    log.resign(NodeId(7));
    assert_eq!(log.head().vote, Some(Vote::new(1, NodeId(7))));
}

#[tokio::test]
async fn old_entries_come_from_the_disk_and_new_ones_from_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    hundred(&path).await;
    let mut log = open(&path).unwrap();
    log.blocking_append(entries(2, 100..110)).await.unwrap();
    for range in [0..5, 95..100, 98..103, 100..110, 105..200] {
        let read = log.try_get_log_entries(range.clone()).await.unwrap();
        let indices: Vec<u64> = read.iter().map(|entry| entry.log_id.index).collect();
        assert_eq!(indices, (range.start..range.end.min(110)).collect::<Vec<_>>());
    }
    log.truncate(id(1, 97)).await.unwrap();
    assert_eq!(log.head().last, Some(id(1, 96)));
    log.blocking_append(entries(3, 97..99)).await.unwrap();
    log.purge(id(1, 50)).await.unwrap();
    let read = log.try_get_log_entries(..).await.unwrap();
    assert_eq!(read, [entries(1, 51..97), entries(3, 97..99)].concat());
}

#[tokio::test]
async fn an_append_to_a_follower_is_bounded_by_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(&dir.path().join("log")).unwrap();
    let big = |index| Entry {
        log_id: id(1, index),
        payload: openraft::EntryPayload::Normal(Command(vec![7; APPEND_BYTES_MAX / 4].into())),
    };
    log.blocking_append((0..40).map(big)).await.unwrap();
    for start in [0, 35] {
        let read = log.limited_get_log_entries(start, 40).await.unwrap();
        assert_eq!(read.first().map(|entry| entry.log_id.index), Some(start));
        assert!((1..=5).contains(&read.len()), "{} entries", read.len());
    }
}

#[tokio::test]
async fn a_purge_waits_for_the_checkpoint_that_replaces_the_entries() {
    let dir = tempfile::tempdir().unwrap();
    let (checkpoint, checkpointed) = watch::channel(Some(id(1, 20)));
    let mut log = open_with(&dir.path().join("log"), checkpointed).unwrap();
    log.blocking_append(entries(1, 0..100)).await.unwrap();
    log.purge(id(1, 20)).await.unwrap();
    let mut purger = log.clone();
    let purge = purger.purge(id(1, 60));
    tokio::pin!(purge);
    assert!(futures::poll!(&mut purge).is_pending());
    assert_eq!(log.head().purged, Some(id(1, 20)));
    checkpoint.send_replace(Some(id(1, 60)));
    purge.await.unwrap();
    assert_eq!(log.head().purged, Some(id(1, 60)));
}

/// A power failure while the file was made: every beginning of it, with or without the magic number that is written last.
#[tokio::test]
async fn a_log_that_was_not_made_to_its_end_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (path, beside) = (dir.path().join("log.redb"), dir.path().join("log.redb.new"));
    open(&path).unwrap().close().await;
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 1, 512, 4096, whole.len() / 2, whole.len() - 1, whole.len()] {
        for magic in [true, false] {
            std::fs::remove_file(&path).unwrap();
            let mut left = whole[..length].to_vec();
            if !magic {
                left.iter_mut().take(9).for_each(|byte| *byte = 0);
            }
            std::fs::write(&beside, &left).unwrap();
            let log = open(&path).unwrap_or_else(|error| panic!("{length} bytes, magic {magic}: {error}"));
            assert_eq!(log.head(), Head::default());
            log.close().await;
            assert!(!beside.exists());
        }
    }
}

#[tokio::test]
async fn only_one_at_a_time_has_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let first = open(&path).unwrap();
    assert!(matches!(open(&path), Err(StartError::Locked(named)) if named == path));
    first.close().await;
    open(&path).unwrap();
}

#[tokio::test]
async fn a_damaged_record_is_named_by_its_index() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    hundred(&path).await;
    tamper(&path, |entries| {
        let mut record = entries.get(42).unwrap().unwrap().value().to_vec();
        *record.last_mut().unwrap() ^= 1;
        entries.insert(42, record.as_slice()).unwrap();
    });
    let what = refused(&path);
    assert!(what.contains("entry 42") && what.contains("checksum"), "{what}");
}

#[tokio::test]
async fn a_missing_or_misplaced_record_is_named_by_its_index() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    hundred(&path).await;
    tamper(&path, |entries| _ = entries.remove(42).unwrap());
    assert!(refused(&path).contains("entry 42 is missing"));
    tamper(&path, |entries| {
        let record = entries.get(41).unwrap().unwrap().value().to_vec();
        entries.insert(42, record.as_slice()).unwrap();
    });
    assert!(refused(&path).contains("under index 42 lies entry 41"));
}

#[tokio::test]
async fn a_log_that_lost_its_committed_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    hundred(&path).await;
    tamper(&path, |entries| entries.retain_in(80.., |_, _| false).unwrap());
    assert!(refused(&path).contains("committed up to"));
}

/// Flips bytes all over the file: it is either refused, or what is read is what was written.
#[tokio::test]
async fn no_flipped_byte_of_the_file_goes_unnoticed_and_changes_an_entry() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    hundred(&path).await;
    let whole = std::fs::read(&path).unwrap();
    let damaged_path = dir.path().join("damaged");
    let mut refusals = 0;
    for at in (0..whole.len()).step_by(whole.len() / 100) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x20;
        std::fs::write(&damaged_path, &damaged).unwrap();
        // redb panics on some damage to its own pages; in production that ends the process, with its message.
        let opened = std::panic::catch_unwind(|| open(&damaged_path));
        if let Ok(Ok(mut log)) = opened {
            assert_eq!(log.try_get_log_entries(..).await.unwrap(), entries(1, 0..100), "byte {at}");
            // Damage to the file's map of free pages shows at the next write: a panic, which ends a process in
            // production.
            let _ = AssertUnwindSafe(log.close()).catch_unwind().await;
        } else {
            refusals += 1;
        }
    }
    assert!(refusals > 0, "some bytes of the file matter");
}
