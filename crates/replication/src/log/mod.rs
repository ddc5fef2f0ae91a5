//! The write-ahead log: entries, vote and log metadata, on disk before anything relies on them.
//!
//! # Reading order
//! 1. [`change`] and `metadata`: what can change in a log, and what it holds besides its entries.
//! 2. `frame`: how one batch of changes is encoded, and how a torn frame differs from damage.
//! 3. `segment`, `segments`: one file of the log, and all of them; `index` says where each entry
//!    is.
//! 4. [`high_water`]: the record of how much of the log has reached the disk.
//! 5. `recovery`: opening a log, and what is checked.
//! 6. `recent_entries`, `flushed`, `writer`: the entries in memory, how much of them is on disk,
//!    and the thread that writes them. `shared` is what these three have in common.
//! 7. `store`: [`LogStore`], the handle. The openraft trait is implemented for it in
//!    [`consensus::log_storage`](crate::consensus::log_storage).
//!
//! # How it works
//! One thread makes all writes, votes and entries alike, in order. Whatever is queued while it
//! works goes to disk together, with one sync. If a write or a sync fails, the process exits: after
//! a failed sync the content of the disk is unknown. Reads of the newest entries are served from
//! memory, older ones from disk on a blocking thread.
//!
//! openraft does not wait for the disk. The gates that make up for this are listed in
//! [`consensus::engine_contract`](crate::consensus::engine_contract). Votes, truncations and purges
//! are on disk when openraft continues.
//!
//! Entries are purged only once the checkpoint that replaces them is durable. openraft purges as
//! soon as it has *begun* to install a received state. A crash in between would leave a log that
//! begins after the state ends, on a disk whose copy had been counted in a majority. So
//! [`purge`](openraft::storage::RaftLogStorage::purge) waits.
//!
//! # Format
//! The log is a directory:
//!
//! | file | content |
//! |---|---|
//! | `lock` | empty; locked while a process has the log open |
//! | `00000000000000000001.log` … | segments: frames, then zeros. The name is the number of the first frame |
//! | `high-water` | one sector: which frame was synced last, where it ends, and the segment's checksum up to there |
//!
//! Frames are numbered without gaps from 1, across segments. The layout of a frame is in `frame`.
//! The first frame of a segment is its header: the format's version, and the log's metadata at that
//! point, so that older segments can be removed. Every other frame holds one batch of changes:
//! entries appended, a vote, a truncation, a purge. Segments are only ever extended. A truncation
//! is a frame, too, and a segment is removed as a whole once none of its entries is needed.
//!
//! # Assumptions
//! What the log relies on:
//!
//! * **A sync is durable.** When `fdatasync` reports success, the data and the file's length
//!   survive a power failure. A disk that acknowledges a sync and forgets it violates what Raft
//!   assumes.
//! * **A directory sync makes names durable.** A new segment is used only after its directory was
//!   synced.
//! * **Sectors of 512 bytes are atomic.** After a power failure each sector of an unsynced write
//!   has either its old content, which is zeros behind the last frame, or its new content. The
//!   high-water record fits one sector and is therefore never torn.
//! * **Renames are atomic** (for `identity.json` and checkpoint files, which are replaced as a
//!   whole).
//! * **One process at a time.** The lock on `lock` is advisory. File systems that ignore it are not
//!   supported.
//!
//! What it does not rely on: the order in which unsynced sectors reach the disk; that a sync which
//! failed has written nothing (the process exits, and recovery writes the last frame again); that
//! data at rest stays as it is (each frame has a CRC32C, and so has each segment up to the
//! high-water mark).
//!
//! **A garbled sector**, with neither its old nor its new content, is not a torn write: the frame's
//! checksum is wrong and none of its sectors is zero, so the log is refused as damaged. This holds
//! after a power failure, too: a disk without atomic sectors costs a replica its data directory,
//! never an acknowledged entry. There is one exception. If, after a power failure, a *second*
//! sector of the same last frame is all zeros and the high-water record is older than that frame,
//! the frame is mistaken for a torn write and is dropped.
//!
//! # Damage and reaction
//! A log that has lost its end looks like a shorter log. So the high-water record says how far the
//! log was on disk, and a log that does not reach that point is refused. Only a frame that no
//! record speaks of may be torn. It is cut off: nothing that depends on it has left the process.
//!
//! The rows are the cases of `tests/damage.rs`. *Refused* means an error that names the file and
//! says what to do next; nothing is changed on disk. *Rejoins* means that the replica takes a new
//! node id and joins its group again without a vote ([`membership`](crate::membership)).
//!
//! | damage | only replica | one of three |
//! |---|---|---|
//! | nothing | opens | opens |
//! | the newest log file is deleted | refused | refused |
//! | the newest log file is emptied | refused | refused |
//! | the newest log file is cut before its last frame | refused | refused |
//! | the newest log file's last frame is zeroed | refused | refused |
//! | a bit of the newest log file's last frame is flipped | refused | refused |
//! | the oldest log file is deleted | refused | refused |
//! | all log files are deleted | refused | refused |
//! | the log's directory is deleted | refused | rejoins |
//! | log and identity are deleted | refused | rejoins |
//! | all but the identity is deleted | refused | rejoins |
//! | the log's directory is an older copy | refused | refused |
//! | the high-water record is deleted | refused | refused |
//! | a bit of the high-water record is flipped | refused | refused |
//! | the high-water record is an older copy | opens | opens |
//! | the identity is deleted | opens | opens |
//! | the identity is emptied | refused | refused |
//! | the identity names another id | refused | rejoins |
//! | the checkpoint is deleted | refused | refused |
//! | the checkpoint is an older copy | refused | refused |
//! | a bit of the checkpoint is flipped | refused | refused |
//! | the log is another replica's | refused | refused |
//! | the newest log file is another replica's | refused | refused |
//!
//! Torn writes have tests of their own, in `frame`, `tests` and `lost_end_tests`.

pub(crate) mod change;
mod error;
mod flushed;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub(crate) mod high_water;
mod index;
#[cfg(test)]
mod lost_end_tests;
mod metadata;
#[cfg(test)]
mod model;
#[cfg(test)]
mod openraft_suite;
mod recent_entries;
mod recovery;
mod segment;
mod segments;
mod shared;
mod store;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use flushed::Flushed;
pub(crate) use metadata::{LogMetadata, describe_log_id};
pub(crate) use segments::SEGMENT_BYTES;
pub(crate) use store::{APPEND_BYTES_MAX, LogOptions, LogStore};
