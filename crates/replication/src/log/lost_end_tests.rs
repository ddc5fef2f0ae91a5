//! A log that lost its end, or another part, is refused; what a crash may leave is opened.

use std::fs;
use std::path::{Path, PathBuf};

use api::NodeId;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use prometheus::Histogram;
use test_support::{copy, frame_boundaries};
use tokio::sync::watch;

use super::tests::{entries, files, id, open_segments, power_failure, recorded};
use super::{LogOptions, LogStore, high_water};
use crate::consensus::types::Vote;
use crate::disk_space::faults::DiskFaults;
use crate::error::StartError;

/// A segment holds a few frames.
const SEGMENT_BYTES_TEST: u64 = 600;

/// A closed log of several segments with several frames each: entries of term 2, ten in a frame.
async fn written(dir: &Path) -> PathBuf {
    let path = dir.join("log");
    let mut log = open_segments(&path, SEGMENT_BYTES_TEST).unwrap();
    log.set_owner(NodeId(7)).await;
    log.save_vote(&Vote::new_committed(2, NodeId(7))).await.unwrap();
    for n in 0..20 {
        log.blocking_append(entries(2, n * 10..n * 10 + 10)).await.unwrap();
        log.flushed().wait_for_entry(Some(id(2, n * 10 + 9))).await.unwrap();
    }
    log.close().await;
    assert!(files(&path).len() >= 3, "{:?}", files(&path));
    path
}

/// The file that the error names, and what it says about it.
fn refusal(path: &Path) -> (PathBuf, String) {
    match open_segments(path, SEGMENT_BYTES_TEST) {
        Err(StartError::Damaged { path, what }) => (path, what),
        Err(other) => panic!("{other}"),
        Ok(log) => panic!("a log that lost a part was opened; it ends at {:?}", log.metadata().last),
    }
}

#[tokio::test]
async fn a_log_that_lost_its_end_is_refused_with_file_and_byte_and_not_changed() {
    type Damage = fn(&Path, &[PathBuf]);
    let dir = tempfile::tempdir().unwrap();
    let whole = written(dir.path()).await;
    let newest = files(&whole).pop().unwrap();
    let end = *frame_boundaries(&newest).last().unwrap();
    let table: [(&str, Damage, &str); 6] = [
        ("the newest file is deleted", |_, files| fs::remove_file(files.last().unwrap()).unwrap(), "it is missing"),
        ("the newest file is emptied", |_, files| fs::write(files.last().unwrap(), b"").unwrap(), "no frame at byte 0"),
        (
            "the newest file is zeroed",
            |_, files| {
                let newest = files.last().unwrap();
                fs::write(newest, vec![0; fs::read(newest).unwrap().len()]).unwrap();
            },
            "no frame at byte 0",
        ),
        (
            "the two newest files are deleted",
            |_, files| files.iter().rev().take(2).for_each(|file| fs::remove_file(file).unwrap()),
            "it is missing",
        ),
        (
            "all files are deleted",
            |_, files| files.iter().for_each(|file| fs::remove_file(file).unwrap()),
            "The log ends at the beginning",
        ),
        ("an older file is deleted", |_, files| fs::remove_file(&files[1]).unwrap(), "is missing"),
    ];
    for (case, damage, expected) in table {
        let other = tempfile::tempdir().unwrap();
        let path = other.path().join("log");
        copy(&whole, &path);
        damage(&path, &files(&path));
        let before: Vec<_> = files(&path).iter().map(|file| fs::read(file).unwrap()).collect();
        let (file, what) = refusal(&path);
        assert!(what.contains(expected), "{case}: {what}");
        assert!(
            file.starts_with(&path) && file.extension().is_some_and(|end| end == "log"),
            "{case}: {}",
            file.display()
        );
        let after: Vec<_> = files(&path).iter().map(|file| fs::read(file).unwrap()).collect();
        assert!(before == after, "{case}: a refused log is not changed");
    }
    let (other, position) = (tempfile::tempdir().unwrap(), format!("to byte {end}."));
    let path = other.path().join("log");
    copy(&whole, &path);
    fs::remove_file(files(&path).last().unwrap()).unwrap();
    let (_, what) = refusal(&path);
    assert!(what.contains(&position) && what.contains("it had entry 199 of term 2"), "{what}");
}

/// Every segment, every frame: cut off there, and zeroed from there on.
#[tokio::test]
async fn a_log_that_is_cut_at_any_frame_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let whole = written(dir.path()).await;
    let other = tempfile::tempdir().unwrap();
    let path = other.path().join("log");
    for (n, file) in files(&whole).iter().enumerate() {
        let ends = frame_boundaries(file);
        let bytes = fs::read(file).unwrap();
        for at in &ends[..ends.len() - 1] {
            for zeroed in [false, true] {
                let mut damaged = bytes.clone();
                if zeroed {
                    damaged[*at..].fill(0);
                } else {
                    damaged.truncate(*at);
                }
                copy(&whole, &path);
                fs::write(&files(&path)[n], damaged).unwrap();
                let (_, what) = refusal(&path);
                assert!(what.contains("byte") || what.contains("is missing"), "file {n}, byte {at}: {what}");
            }
        }
    }
}

#[tokio::test]
async fn an_older_copy_of_the_newest_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path()).await;
    let newest = files(&path).pop().unwrap();
    let older = fs::read(&newest).unwrap();
    let mut log = open_segments(&path, u64::MAX).unwrap();
    log.blocking_append(entries(2, 200..201)).await.unwrap();
    log.close().await;
    fs::write(&newest, older).unwrap();
    let (file, what) = refusal(&path);
    assert_eq!(file, newest);
    assert!(what.contains("its frames end at byte") && what.contains("it had entry 200"), "{what}");
}

/// Two logs with the same frames in the same places, except for one entry's term.
#[tokio::test]
async fn a_segment_of_another_log_is_refused() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut paths = Vec::new();
    for (dir, term) in dirs.iter().zip([2, 3]) {
        let path = dir.path().join("log");
        let mut log = open_segments(&path, u64::MAX).unwrap();
        log.save_vote(&Vote::new_committed(3, NodeId(7))).await.unwrap();
        log.blocking_append(entries(term, 0..10)).await.unwrap();
        log.close().await;
        paths.push(path);
    }
    let theirs = fs::read(&files(&paths[1])[0]).unwrap();
    fs::write(&files(&paths[0])[0], theirs).unwrap();
    let (_, what) = refusal(&paths[0]);
    // The number of frames depends on what the writer's thread finds when it looks, so there are as
    // many or fewer. The last one, written by closing the log, is the same in both.
    let expected = ["is not the one that was written to this log", "its frames end at byte"];
    assert!(expected.iter().any(|expected| what.contains(expected)), "{what}");
}

#[tokio::test]
async fn a_lost_record_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path()).await;
    let reopen = |has_high_water| {
        let synced = Histogram::with_opts(prometheus::HistogramOpts::new("synced", "for the test")).unwrap();
        let options = LogOptions { segment_bytes: SEGMENT_BYTES_TEST, faults: DiskFaults::default(), has_high_water };
        LogStore::open(&path, options, watch::channel(None).1, synced)
    };
    for damage in [None, Some(vec![]), Some(vec![0; 512])] {
        match &damage {
            None => fs::remove_file(path.join(high_water::FILE_NAME)).unwrap(),
            Some(bytes) => fs::write(path.join(high_water::FILE_NAME), bytes).unwrap(),
        }
        let refused = reopen(true);
        assert!(
            matches!(&refused, Err(StartError::Damaged { path, what })
                if path.ends_with(high_water::FILE_NAME) && what.contains("it is missing")),
            "{:?}",
            refused.err()
        );
    }
    // A log of an earlier release has none, and gets one.
    reopen(false).unwrap().close().await;
    fs::remove_file(files(&path).pop().unwrap()).unwrap();
    refusal(&path);
}

/// The record is older, and the last frames are intact, torn, or were never written.
#[tokio::test]
async fn after_a_power_failure_an_older_record_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path()).await;
    let record = recorded(&path);
    let newest = files(&path).pop().unwrap();
    let synced = *frame_boundaries(&newest).last().unwrap();
    let mut log = open_segments(&path, u64::MAX).unwrap();
    log.blocking_append(entries(2, 200..300)).await.unwrap();
    log.close().await;
    let bytes = fs::read(&newest).unwrap();
    let end = *frame_boundaries(&newest).last().unwrap();
    for kept in [synced, synced.next_multiple_of(512), end / 512 * 512, bytes.len()] {
        let other = tempfile::tempdir().unwrap();
        let copied = other.path().join("log");
        copy(&path, &copied);
        let mut torn = bytes.clone();
        torn[kept..].fill(0);
        fs::write(files(&copied).pop().unwrap(), torn).unwrap();
        power_failure(&copied, record.clone());
        let log = open_segments(&copied, u64::MAX).unwrap_or_else(|error| panic!("{kept} bytes: {error}"));
        let last = if kept == bytes.len() { 299 } else { 199 };
        assert_eq!(log.metadata().last, Some(id(2, last)), "{kept} bytes");
        log.close().await;
    }
}
