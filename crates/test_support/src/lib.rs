//! What tests of several crates need: a [store in memory](FakeStore) behind the public REST API,
//! and the files of stopped replicas, which are copied, replaced by an older copy, and cut off.
//!
//! # Panics
//! Each function panics if the files cannot be read or written: then the test cannot go on.

mod fake_store;

pub use fake_store::{Bug, FakeRecords, FakeStore, RequestFault};

use std::fs;
use std::path::{Path, PathBuf};

/// Length of the body (4 bytes, little-endian), checksum (4), number (8), checksum (4); the number
/// is zero where no frame was written. See `replication`, module `log`.
const FRAME_HEADER_BYTES: usize = 20;

/// Copies a file, or a directory with everything in it. Existing files are overwritten, others are
/// kept.
pub fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copy(&from.join(&name), &to.join(&name));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

/// Replaces the file or directory `to`, which must exist, by a copy of `from`.
pub fn replace(from: &Path, to: &Path) {
    let removed = if to.is_dir() { fs::remove_dir_all(to) } else { fs::remove_file(to) };
    removed.unwrap();
    copy(from, to);
}

/// The segments of the log of the replica whose data directory this is, oldest first.
pub fn segments(data_dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(data_dir.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    segments.sort();
    segments
}

/// The newest segment of the log of the replica whose data directory this is.
pub fn newest_segment(data_dir: &Path) -> PathBuf {
    segments(data_dir).pop().unwrap()
}

/// Where each frame of a segment starts, and where the last one ends, in bytes.
pub fn frame_boundaries(segment: &Path) -> Vec<usize> {
    let bytes = fs::read(segment).unwrap();
    let (mut at, mut boundaries) = (0, vec![0]);
    while let Some(header) = bytes.get(at..at + FRAME_HEADER_BYTES)
        && header[8..16] != [0; 8]
    {
        at += FRAME_HEADER_BYTES + u32::from_le_bytes(*header.first_chunk().unwrap()) as usize;
        boundaries.push(at);
    }
    boundaries
}

/// Cuts this many frames off the end of the newest segment; returns its path and its old contents.
pub fn cut_frames(data_dir: &Path, frames: usize) -> (PathBuf, Vec<u8>) {
    let segment = newest_segment(data_dir);
    let whole = fs::read(&segment).unwrap();
    let end = frame_boundaries(&segment).into_iter().nth_back(frames).unwrap();
    fs::write(&segment, &whole[..end]).unwrap();
    (segment, whole)
}
