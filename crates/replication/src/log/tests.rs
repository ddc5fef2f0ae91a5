//! The log: what is written is read back, and damage is noticed.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use api::NodeId;
use futures::FutureExt;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::{CommittedLeaderId, RaftLogReader};
use prometheus::{Histogram, HistogramOpts};
use tokio::sync::watch;

use super::change::{LogBatch, LogChange};
use super::{APPEND_BYTES_MAX, LogMetadata, LogOptions, LogStore, SEGMENT_BYTES, frame, high_water, segment, segments};
use crate::consensus::types::{EncodedCommand, Entry, LogId, Vote};
use crate::disk_space::faults::DiskFaults;
use crate::error::StartError;

/// For tests of the log alone, which have no checkpoints to wait for.
fn checkpoint_of_everything() -> watch::Receiver<Option<LogId>> {
    watch::channel(Some(id(u64::MAX, u64::MAX))).1
}

pub(super) fn open(path: &Path) -> Result<LogStore, StartError> {
    open_with(path, SEGMENT_BYTES, checkpoint_of_everything())
}

/// With segments of a few entries each.
fn open_small(path: &Path) -> Result<LogStore, StartError> {
    open_segments(path, 1)
}

pub(super) fn open_segments(path: &Path, segment_bytes: u64) -> Result<LogStore, StartError> {
    open_with(path, segment_bytes, checkpoint_of_everything())
}

fn open_with(
    path: &Path,
    segment_bytes: u64,
    checkpointed: watch::Receiver<Option<LogId>>,
) -> Result<LogStore, StartError> {
    // So that a test that ends the process says why.
    let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR).try_init();
    let synced = Histogram::with_opts(HistogramOpts::new("synced", "for the test")).expect("a histogram");
    let options = LogOptions { segment_bytes, faults: DiskFaults::default(), has_high_water: false };
    LogStore::open(path, options, checkpointed, synced)
}

pub(super) fn id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, NodeId::default()), index)
}

fn entry(term: u64, index: u64) -> Entry {
    Entry {
        log_id: id(term, index),
        payload: openraft::EntryPayload::Normal(EncodedCommand(format!("word {index}").into())),
    }
}

pub(super) fn entries(term: u64, indices: Range<u64>) -> Vec<Entry> {
    indices.map(|index| entry(term, index)).collect()
}

/// A log with the entries 0 to 99 of term 1, closed.
pub(super) async fn hundred(path: &Path) {
    let mut log = open(path).unwrap();
    log.save_vote(&Vote::new_committed(1, NodeId(7))).await.unwrap();
    log.blocking_append(entries(1, 0..100)).await.unwrap();
    log.save_committed(Some(id(1, 90))).await.unwrap();
    log.close().await;
}

/// The log's files, oldest first.
pub(super) fn files(dir: &Path) -> Vec<PathBuf> {
    segment::Segment::list(dir).unwrap().into_iter().map(|(_, path)| path).collect()
}

/// Changes the only segment behind the log's back.
fn tamper(dir: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let [file] = &files(dir)[..] else { panic!("one file") };
    let mut bytes = fs::read(file).unwrap();
    change(&mut bytes);
    fs::write(file, bytes).unwrap();
}

/// The high-water record as it is now, to be put back by [`power_failure`].
pub(super) fn recorded(dir: &Path) -> Vec<u8> {
    fs::read(dir.join(high_water::FILE_NAME)).unwrap_or_default()
}

/// After a power failure the record may be an older one, since it is not synced with the log.
pub(super) fn power_failure(dir: &Path, record: Vec<u8>) {
    fs::write(dir.join(high_water::FILE_NAME), record).unwrap();
}

/// Writes a log of one segment with these batches.
fn forge(dir: &Path, batches: &[LogBatch]) {
    fs::create_dir_all(dir).unwrap();
    let header = segments::SegmentHeader { format: segments::FORMAT, metadata: LogMetadata::default() };
    let mut bytes = frame::encode(1, &header, Vec::new()).unwrap();
    for (number, batch) in (2..).zip(batches) {
        bytes = frame::encode(number, batch, bytes).unwrap();
    }
    fs::write(dir.join("00000000000000000001.log"), bytes).unwrap();
}

fn appends(entries: Vec<Entry>) -> LogBatch {
    LogBatch { committed: None, changes: vec![LogChange::Append(entries)] }
}

pub(super) fn refused(path: &Path) -> String {
    match open(path) {
        Err(StartError::Damaged { path: named, what }) => {
            assert!(named.starts_with(path), "{}", named.display());
            what
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a damaged log was opened"),
    }
}

#[tokio::test]
async fn a_log_is_read_back_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    hundred(&path).await;
    let mut log = open(&path).unwrap();
    let metadata = log.metadata();
    assert_eq!(metadata.vote, Some(Vote::new_committed(1, NodeId(7))));
    assert_eq!((metadata.last, metadata.committed), (Some(id(1, 99)), Some(id(1, 90))));
    assert_eq!(log.try_get_log_entries(..).await.unwrap(), entries(1, 0..100));
}

#[tokio::test]
async fn a_leader_that_restarts_is_a_follower_with_its_own_vote() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    hundred(&path).await;
    let log = open(&path).unwrap();
    log.resign(NodeId(8));
    assert_eq!(log.metadata().vote, Some(Vote::new_committed(1, NodeId(7))), "it was another's leadership");
    log.resign(NodeId(7));
    assert_eq!(log.metadata().vote, Some(Vote::new(1, NodeId(7))));
}

#[tokio::test]
async fn old_entries_are_read_from_disk_and_new_ones_from_memory() {
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
    assert_eq!(log.metadata().last, Some(id(1, 96)));
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
        payload: openraft::EntryPayload::Normal(EncodedCommand(vec![7; APPEND_BYTES_MAX / 4].into())),
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
    let mut log = open_with(&dir.path().join("log"), SEGMENT_BYTES, checkpointed).unwrap();
    log.blocking_append(entries(1, 0..100)).await.unwrap();
    log.purge(id(1, 20)).await.unwrap();
    let mut purger = log.clone();
    let purge = purger.purge(id(1, 60));
    tokio::pin!(purge);
    assert!(futures::poll!(&mut purge).is_pending());
    assert_eq!(log.metadata().purged, Some(id(1, 20)));
    checkpoint.send_replace(Some(id(1, 60)));
    purge.await.unwrap();
    assert_eq!(log.metadata().purged, Some(id(1, 60)));
}

/// A power failure while a segment was being started, for every length that its beginning can have.
#[tokio::test]
async fn a_segment_that_was_not_completely_started_is_started_again() {
    for (with_others, length) in [false, true].into_iter().flat_map(|others| [0, 1, 19, 20, 21].map(|n| (others, n))) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        if with_others {
            hundred(&path).await;
        }
        let record = recorded(&path);
        open_small(&path).unwrap().close().await;
        let newest = files(&path).pop().unwrap();
        let whole = fs::read(&newest).unwrap();
        fs::write(&newest, &whole[..length]).unwrap();
        power_failure(&path, record);
        let log = open(&path).unwrap_or_else(|error| panic!("{length} bytes: {error}"));
        assert_eq!(log.metadata().last, with_others.then_some(id(1, 99)), "{length} bytes");
        log.close().await;
        if with_others {
            assert!(!newest.exists(), "the segment before it is continued");
        }
    }
}

#[tokio::test]
async fn a_torn_write_at_the_end_is_dropped_and_what_follows_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    hundred(&path).await;
    let record = recorded(&path);
    let mut log = open(&path).unwrap();
    log.blocking_append(entries(1, 100..500)).await.unwrap();
    log.close().await;
    power_failure(&path, record);
    let (mut first, mut end) = (0, 0);
    tamper(&path, |bytes| {
        end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        // Its last sectors are missing, and with them what closing the log wrote.
        first = end / 512 * 512 - 1024;
        bytes[first..].fill(0);
    });
    assert!(first > 0 && first < end);
    let mut log = open(&path).unwrap();
    assert_eq!(log.metadata().last, Some(id(1, 99)));
    log.blocking_append(entries(2, 100..110)).await.unwrap();
    log.close().await;
    let mut log = open(&path).unwrap();
    assert_eq!(log.try_get_log_entries(..).await.unwrap(), [entries(1, 0..100), entries(2, 100..110)].concat());
}

#[tokio::test]
async fn segments_follow_one_another_and_are_removed_when_none_of_their_entries_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut log = open_small(&path).unwrap();
    log.save_vote(&Vote::new_committed(3, NodeId(7))).await.unwrap();
    for n in 0..10 {
        log.blocking_append(entries(3, n * 10..n * 10 + 10)).await.unwrap();
        log.flushed().wait_for_entry(Some(id(3, n * 10 + 9))).await.unwrap();
    }
    let all = files(&path).len();
    assert!(all >= 10, "{all} files");
    log.purge(id(3, 54)).await.unwrap();
    let rest = files(&path).len();
    assert!(rest >= 5 && rest <= all - 4, "{rest} files of {all}");
    log.truncate(id(3, 87)).await.unwrap();
    log.blocking_append(entries(4, 87..90)).await.unwrap();
    log.close().await;
    let mut log = open_small(&path).unwrap();
    let read = log.try_get_log_entries(..).await.unwrap();
    assert_eq!(read, [entries(3, 55..87), entries(4, 87..90)].concat());
    assert_eq!(log.metadata().vote, Some(Vote::new_committed(3, NodeId(7))), "although its segment is gone");
    log.close().await;
    fs::remove_file(&files(&path)[1]).unwrap();
    assert!(refused(&path).contains("is missing"));
    fs::remove_file(&files(&path)[0]).unwrap();
    assert!(refused(&path).contains("are missing"));
}

/// The entries before the oldest segment were replaced, so nothing is missing without their
/// segment.
#[tokio::test]
async fn replaced_entries_are_not_missed_when_their_segment_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let open = || open_segments(&path, 200);
    let mut log = open().unwrap();
    log.blocking_append(entries(1, 0..20)).await.unwrap();
    log.flushed().wait_for_entry(Some(id(1, 19))).await.unwrap();
    log.truncate(id(1, 19)).await.unwrap();
    log.blocking_append(entries(2, 19..21)).await.unwrap();
    log.flushed().wait_for_entry(Some(id(2, 20))).await.unwrap();
    assert_eq!(files(&path).len(), 2, "what is replaced, and what replaces it");
    log.purge(id(1, 18)).await.unwrap();
    assert_eq!(files(&path).len(), 1);
    log.close().await;
    assert_eq!(open().unwrap().try_get_log_entries(..).await.unwrap(), entries(2, 19..21));
}

/// openraft is told at once; nothing else is.
#[tokio::test]
async fn queued_entries_are_visible_at_once_and_written_together() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut log = open(&path).unwrap();
    let flushed = log.flushed();
    {
        // The disk is held up.
        let index = log.shared.index.clone();
        let _held = index.content_mut();
        for n in 0..50 {
            log.queue(LogChange::Append(entries(1, n..n + 1)));
        }
        assert_eq!(log.try_get_log_entries(..).now_or_never().unwrap().unwrap(), entries(1, 0..50));
        assert_eq!(log.metadata().last, Some(id(1, 49)));
        assert_eq!(flushed.last(), None);
        assert!(flushed.wait_for_entry(Some(id(1, 0))).now_or_never().is_none());
    }
    flushed.wait_for_entry(Some(id(1, 49))).await.unwrap();
    let frames = fs::read(&files(&path)[0]).unwrap();
    let batches =
        (2..50).take_while(|number| frames.windows(8).any(|bytes| bytes == u64::to_le_bytes(*number))).count();
    assert!(batches <= 3, "{batches} syncs for fifty appends");
    log.close().await;
    assert!(flushed.wait_for_entry(Some(id(1, 50))).await.is_err(), "it will never be written");
}

#[tokio::test]
async fn a_log_is_open_once_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let first = open(&path).unwrap();
    assert!(matches!(open(&path), Err(StartError::Locked(named)) if named == path));
    first.close().await;
    open(&path).unwrap();
}

#[tokio::test]
async fn a_missing_entry_is_named_by_its_index() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    forge(&path, &[appends(entries(1, 0..42)), appends(entries(1, 43..50))]);
    assert!(refused(&path).contains("entry 42 is missing"));
    forge(&path, &[appends(entries(2, 0..42)), appends(entries(1, 42..50))]);
    assert!(refused(&path).contains("entry 42 is of term 1"));
    forge(&path, &[appends(entries(2, 0..42)), appends(entries(2, 42..50))]);
    assert_eq!(open(&path).unwrap().metadata().last, Some(id(2, 49)));
}

#[tokio::test]
async fn a_log_that_lost_its_committed_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    forge(&path, &[LogBatch { committed: Some(id(1, 90)), ..appends(entries(1, 0..80)) }]);
    assert!(refused(&path).contains("committed up to"));
}

#[tokio::test]
async fn an_unknown_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    fs::create_dir_all(&path).unwrap();
    let header = segments::SegmentHeader { format: 99, metadata: LogMetadata::default() };
    fs::write(path.join("00000000000000000001.log"), frame::encode(1, &header, Vec::new()).unwrap()).unwrap();
    assert!(refused(&path).contains("its format is 99"));
}

/// Flips bytes all over the file; none goes unnoticed.
#[tokio::test]
async fn a_flipped_byte_is_never_mistaken_for_an_entry_or_for_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    hundred(&path).await;
    let file = files(&path).pop().unwrap();
    let whole = fs::read(&file).unwrap();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for at in (0..end).step_by(7).chain([end + 1]) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x20;
        fs::write(&file, &damaged).unwrap();
        refused(&path);
    }
    fs::write(&file, &whole).unwrap();
    assert_eq!(open(&path).unwrap().metadata().last, Some(id(1, 99)));
}
