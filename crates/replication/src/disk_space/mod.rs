//! Disk space: new work is refused while there is still enough space to finish what has been
//! started.
//!
//! openraft treats a failed append as a failed disk, and rightly so: after a failed write the
//! content of the disk is unknown. So a replica must never write to a full disk. It keeps a
//! *reserve* and measures the free space several times a second:
//!
//! | free space | as a leader | as a follower |
//! |---|---|---|
//! | the reserve or more | accepts commands, if a majority of the voters has that much | accepts entries |
//! | below the reserve | transfers leadership to a voter that has more, if a majority has; else refuses new commands and finishes what was started | accepts entries: the leader finishes them |
//! | below half of the reserve | refuses new commands | answers the leader, but accepts no entries and no state |
//!
//! A caller that asks [`Replica::has_disk_space`](crate::Replica::has_disk_space) before it starts
//! something new never starts what cannot be finished. Asking is the caller's responsibility:
//! [`propose`](crate::Replica::propose) itself refuses nothing, since only the caller knows what is
//! new and what finishes earlier work. When there is space again (a quarter above the bound, so
//! that the level does not flap), work continues by itself.
//!
//! # Reading order
//! 1. [`space`]: the free space of this replica, and its level.
//! 2. [`peer_space`]: what a leader knows of the other replicas' space.
//! 3. [`guard`]: what a replica does about it. What a follower does with entries is in
//!    [`consensus::append_entries`](crate::consensus::append_entries).
//! 4. [`faults`]: disks that are slow or full on demand, for drills.
//!
//! # Caveats
//! * If other programs fill the disk faster than the reserve lasts, a write fails. The process then
//!   exits, and does not start before there is enough space for a start.
//! * A leader asks its followers twice a second. A follower that has been silent for two seconds
//!   counts as full, if any disk is full at all.

pub(crate) mod faults;
pub(crate) mod guard;
pub(crate) mod peer_space;
pub(crate) mod space;

pub use space::await_disk_space;
pub(crate) use space::{DiskSpace, SpaceLevel};
