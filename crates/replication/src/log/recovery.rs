//! Opening a log: every frame is read and checked, and compared with the [high-water
//! record](super::high_water).
//!
//! Nothing is changed on disk before everything has been checked: a log that is refused stays as it
//! is.

use std::collections::VecDeque;
use std::path::Path;

use service::world::disk::File;

use super::change::{LogBatch, LogChange};
use super::error::LogError;
use super::frame::{self, FoundFrame};
use super::high_water::{self, HighWaterFile, HighWaterMark, HighWaterPosition};
use super::index::{EntryIndex, FrameLocation, check_order};
use super::metadata::{LogMetadata, describe_log_id};
use super::segment::{self, Segment};
use super::segments::{FORMAT, SegmentHeader, Segments};
use crate::consensus::types::LogId;
use crate::error::StartError;

/// What is known after some of the segments were read.
struct Recovery {
    index: EntryIndex,
    segments: VecDeque<Segment>,
    /// The number of the next frame; at first, that of the oldest segment's first frame.
    next: u64,
    /// Where the frames of the last segment end.
    position: u64,
    /// The checksum of its frames so far.
    crc: u32,
    /// The last frame.
    last_frame: Vec<u8>,
    /// The last entry that came before the oldest segment, unless it was replaced since.
    before: Option<LogId>,
    /// The newest segment, if the power failed while it was being started: nothing was written to
    /// it.
    not_begun: Option<Segment>,
    /// The high-water mark, as recorded.
    recorded: HighWaterMark,
    /// The position of the last frame that was read.
    reached: HighWaterMark,
}

impl Segments {
    /// Opens or creates the log and checks all of it. Holds its lock until dropped.
    pub(super) fn open(dir: &Path, segment_bytes: u64, has_high_water: bool) -> Result<Self, StartError> {
        let lock = Self::lock(dir)?;
        let files = Segment::list(dir).map_err(StartError::io("list", dir))?;
        let recorded = high_water::load(dir)?;
        if has_high_water && recorded.is_none() && !files.is_empty() {
            let what = "it is missing, but this log had one; without it, the end of the log cannot be verified";
            return Err(StartError::damaged(high_water::path(dir), what));
        }
        let mut recovery = Recovery {
            index: EntryIndex::default(),
            segments: VecDeque::new(),
            next: files.first().map_or(1, |(first, _)| *first),
            position: 0,
            crc: 0,
            last_frame: Vec::new(),
            before: None,
            not_begun: None,
            recorded: recorded.unwrap_or_default(),
            reached: HighWaterMark::default(),
        };
        for (n, (first, _)) in files.iter().enumerate() {
            recovery.read(Segment::open(dir, *first)?, n + 1 == files.len())?;
        }
        let mut segments = recovery.finish(dir, lock, segment_bytes)?;
        if segments.files.is_empty() {
            segments.begin_segment()?;
        }
        Ok(segments)
    }
}

impl Recovery {
    fn read(&mut self, segment: Segment, is_newest: bool) -> Result<(), LogError> {
        let length = segment.bytes()?;
        let file = segment.read(0, usize::try_from(length).map_err(|_| segment.damaged("it is too long"))?)?;
        let what_is_wrong = |what| segment.damaged(what);
        if segment.first != self.next {
            let before = self.segments.back().map_or_else(String::new, |before| {
                format!(
                    ": either {} before it lost its end, at byte {}, or a file between them is missing",
                    before.path.display(),
                    self.position
                )
            });
            let what = format!("it begins with frame {}, but frame {} is missing{before}", segment.first, self.next);
            return Err(segment.damaged(what));
        }
        let mut at = match frame::find::<SegmentHeader>(self.next, &file, 0).map_err(what_is_wrong)? {
            FoundFrame::Frame { body, bytes } => {
                self.continue_with(&body).map_err(what_is_wrong)?;
                self.crc = 0;
                bytes
            }
            // The power failed while it was being started; nothing was written to it.
            FoundFrame::End | FoundFrame::Torn if is_newest => {
                self.not_begun = Some(segment);
                return Ok(());
            }
            FoundFrame::End | FoundFrame::Torn => {
                return Err(segment.damaged("it has no frame at byte 0, but another file follows"));
            }
        };
        self.take_frame(&segment, &file, 0, at)?;
        loop {
            match frame::find::<LogBatch>(self.next, &file, at).map_err(what_is_wrong)? {
                FoundFrame::Frame { body, bytes } => {
                    let frame = FrameLocation { segment: segment.clone(), number: self.next, at: at as u64, bytes };
                    let mut content = self.index.content_mut();
                    check_order(&body, content.metadata.last)
                        .map_err(|what| segment.damaged(format!("frame {} at byte {at}: {what}", self.next)))?;
                    content.follow(&body, &frame);
                    drop(content);
                    self.before = body.changes.iter().fold(self.before, still_before);
                    self.take_frame(&segment, &file, at, bytes)?;
                    at += bytes;
                }
                FoundFrame::Torn if is_newest => {
                    tracing::warn!(path = %segment.path.display(), at, "dropped a torn write at the end of the log");
                    break;
                }
                FoundFrame::Torn => {
                    let what = format!("its last frame, at byte {at}, is incomplete, but another file follows");
                    return Err(segment.damaged(what));
                }
                FoundFrame::End => break,
            }
        }
        self.position = at as u64;
        self.segments.push_back(segment);
        Ok(())
    }

    /// Records the next frame. If it has the number of the recorded one, it must be the same.
    fn take_frame(&mut self, segment: &Segment, file: &[u8], at: usize, bytes: usize) -> Result<(), LogError> {
        let frame = &file[at..at + bytes];
        let (from, end, last) = (at as u64, (at + bytes) as u64, self.index.content().metadata.last);
        self.crc = crc32c::crc32c_append(self.crc, frame);
        let position = HighWaterPosition { segment: segment.first, from, end, crc: self.crc, last };
        self.reached = HighWaterMark { frame: self.next, at: position };
        let recorded = HighWaterPosition { last, ..self.recorded.at };
        if self.recorded.frame == self.next && recorded != position {
            let what = format!(
                "frame {} at byte {at} is not the one that was written to this log: this file or {} belongs to another log",
                self.next,
                high_water::FILE_NAME
            );
            return Err(segment.damaged(what));
        }
        self.last_frame = frame.to_vec();
        self.next += 1;
        Ok(())
    }

    /// Checks that everything that was on disk is still there.
    fn check_end(&self, dir: &Path) -> Result<(), LogError> {
        let (recorded, reached) = (&self.recorded, &self.reached);
        if reached.frame >= recorded.frame {
            return Ok(());
        }
        let path = segment::name(dir, recorded.at.segment);
        let there = self.segments.back().filter(|last| last.first == recorded.at.segment);
        let ends = match (there, self.not_begun.as_ref().filter(|newest| *newest.path == *path)) {
            (Some(_), _) => format!("its frames end at byte {}", self.position),
            (None, Some(_)) => "it has no frame at byte 0".to_owned(),
            (None, None) => "it is missing".to_owned(),
        };
        let what = format!(
            "{ends}, but {} says that frame {} was on disk, from byte {} to byte {}. The log ends at {}; it had {}",
            high_water::FILE_NAME,
            recorded.frame,
            recorded.at.from,
            recorded.at.end,
            describe_log_id(reached.at.last),
            describe_log_id(recorded.at.last)
        );
        Err(LogError::Damaged { path, what })
    }

    fn continue_with(&mut self, header: &SegmentHeader) -> Result<(), String> {
        if header.format != FORMAT {
            return Err(format!("byte 0: its format is {}; this program reads {FORMAT}", header.format));
        }
        let mut content = self.index.content_mut();
        if self.segments.is_empty() {
            content.metadata = header.metadata.clone();
            self.before = header.metadata.last;
        } else if content.metadata != header.metadata {
            return Err(format!(
                "byte 0: it does not continue where the file before it ends: {}",
                different(&header.metadata, &content.metadata)
            ));
        }
        Ok(())
    }

    fn finish(self, dir: &Path, lock: File, segment_bytes: u64) -> Result<Segments, StartError> {
        let metadata = self.index.content().metadata.clone();
        if let Some(oldest) = self.segments.front()
            && index_of(self.before) > index_of(metadata.purged)
        {
            let (purged, before) = (describe_log_id(metadata.purged), describe_log_id(self.before));
            let what =
                format!("byte 0: the entries after {purged} up to {before} are missing, and with them an older file");
            return Err(oldest.damaged(what).into());
        }
        if let Some(newest) = self.segments.back()
            && metadata.committed > metadata.last
        {
            let (last, committed, end) =
                (describe_log_id(metadata.last), describe_log_id(metadata.committed), self.position);
            let what = format!("it ends at byte {end} with {last}, but the log was committed up to {committed}");
            return Err(newest.damaged(what).into());
        }
        self.check_end(dir)?;
        if let Some(newest) = &self.not_begun {
            newest.remove()?;
        }
        let mut length = 0;
        if let Some(last) = self.segments.back() {
            // If the last sync failed, what is read here may not be on the disk itself: write the
            // frame and sync the name again. And what a torn write has left behind the end must not
            // be mistaken for part of the next frame.
            last.cut(self.position)?;
            length = last.write(
                &self.last_frame,
                self.position - self.last_frame.len() as u64,
                self.position,
                segment_bytes,
            )?;
            last.sync()?;
            last.sync_name()?;
        }
        // From now on what lies here is what is known; an older record promised less.
        let high_water = HighWaterFile::open(dir, &self.reached)?;
        Ok(Segments {
            dir: dir.to_owned(),
            _lock: lock,
            segment_bytes,
            index: self.index,
            files: self.segments,
            position: self.position,
            length,
            crc: self.crc,
            next: self.next,
            high_water,
            owes_sync: false,
        })
    }
}

/// What is left of the entries up to `before`.
fn still_before(before: Option<LogId>, change: &LogChange) -> Option<LogId> {
    match (before, change) {
        (Some(before), LogChange::Truncate { from, last }) if *from <= before.index => *last,
        (before, _) => before,
    }
}

fn index_of(entry: Option<LogId>) -> Option<u64> {
    entry.map(|entry| entry.index)
}

/// Where the metadata in the newer segment's header differs from that at the end of the older one.
fn different(newer: &LogMetadata, older: &LogMetadata) -> String {
    let id = |metadata: &LogMetadata| metadata.node_id.map_or_else(|| "no replica".to_owned(), |id| id.to_string());
    let vote = |metadata: &LogMetadata| metadata.vote.map_or_else(|| "no vote".to_owned(), |vote| vote.to_string());
    let parts = [
        ("it is the log of", id(newer), id(older)),
        ("its vote is", vote(newer), vote(older)),
        ("it is committed up to", describe_log_id(newer.committed), describe_log_id(older.committed)),
        ("its entries are removed up to", describe_log_id(newer.purged), describe_log_id(older.purged)),
        ("its last entry is", describe_log_id(newer.last), describe_log_id(older.last)),
    ];
    let differing = parts.into_iter().filter(|(_, newer, older)| newer != older);
    let texts = differing.map(|(what, newer, older)| format!("{what} {newer}, not {older}"));
    texts.collect::<Vec<_>>().join("; ")
}
