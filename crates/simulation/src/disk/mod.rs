//! A machine's disk. It outlives the processes that use it, and loses in a crash what was not
//! synced.
//!
//! # The model
//! * A file has a content that readers see, and a content on the platter. A write changes the
//!   first; a sync copies the changes to the second.
//! * When the *process* dies, nothing is lost: the operating system still has the changes. When the
//!   *machine* crashes, each write since the file's last sync has reached the platter or has not,
//!   as drawn at random, and the last write may be torn between two sectors.
//! * The names in a directory are journaled. In a crash, a random number of the last unsynced
//!   changes is undone, newest first, as a journal would. A file whose name was undone is gone. The
//!   directory itself is durable at once.
//! * A sync or a write may fail, once, and the disk may be full. What a failed sync should have
//!   written is not on the platter.
//! * The disk of a script reports how much space is free: what the script has set, since writes do
//!   not change it. Other disks have no limit.
//!
//! Bits do not rot, and a successful sync is never forgotten: no replica could survive that on its
//! own (see the caveats of the crate `replication`).
//!
//! Reading order: `content` (one file), `state` (the disk), `mount` (the disk of one process).

mod content;
mod mount;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use mount::{Mount, ProcessLife};
pub(crate) use state::{AMPLE_BYTES, CrashDamage, SimulatedDisk, Snapshot};
