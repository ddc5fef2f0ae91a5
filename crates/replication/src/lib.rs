//! A durable, replicated state machine.
//!
//! A service writes a [`StateMachine`]: a value and a pure function that applies a command to it. This crate keeps one
//! copy of the value on each replica of a group and makes all of them apply the same commands in the same order. A
//! command is acknowledged when it is on a majority of disks; from then on no crash, no lost minority of disks and no
//! partition can take it back.
//!
//! ```text
//!    propose ──► leader's log ──► followers' logs        each synced before it counts
//!                     │ on a majority: committed
//!                     ▼
//!              StateMachine::apply ──► reply             on every replica, in log order
//!                     │ now and then
//!                     ▼
//!               StateStore::checkpoint                   the log before it may go
//! ```
//!
//! # What Raft gives
//!
//! The engine is `openraft`; nothing outside this crate names it. It gives what the Raft paper proves: at most one
//! leader per term, a log that only a majority can extend, and that an entry once committed is in the log of every
//! later leader. The log lies in files of its own, in `log/`.
//!
//! # What this crate adds
//!
//! * **Elections from outside.** The engine's own election timer is off. Someone who watches the group asks a replica
//!   to [`stand`](Replica::stand); votes still decide, so a wrong or doubled request costs time and never an entry
//!   (module `campaign`). A group's only voter elects itself.
//! * **A term is one reign of one process.** A leader that restarts does not lead on in its old term, although the
//!   engine would let it. So a counter that begins at 1 in each reign never names two things in one term (`log`).
//! * **Nothing is believed that a disk has forgotten.** A replica whose log was lost notices, takes a fresh id, and
//!   gets its seat back by a change of membership that its old promises have no part in (`identity`, `membership`). A
//!   group is founded once, by all of its founders or not at all (`founding`).
//! * **Reads without leases.** [`confirm`](Replica::confirm) asks a majority each time. A paused process that wakes up
//!   believing it leads is told otherwise before it answers anyone.
//! * **Nobody waits for a disk who need not.** A leader sends to its followers while its own disk is at work; what depends
//!   on an entry leaves the process when it is on the disk (`log`).
//! * **No log without its state.** Entries are purged only when the checkpoint that replaces them is durable, also
//!   while a received state is being installed (`log`).
//! * **Hand-over.** A leader that is asked to stop lets its successor be elected first (`handover`).
//! * **No write to a full disk.** While there is room enough to finish what is begun, nothing new is (`room`).
//! * **Loud ends.** A failed write or sync, damage that is found while running, a dead engine: each ends the process at
//!   once. Damage that is found at the start is an error that names the file and the entry ([`StartError`]).
//!
//! # Caveats
//!
//! * What a proposer does not hear of may still commit: see [`ProposeError`]. Commands must bear being proposed twice.
//! * Each command is an entry of its own, applied in its turn. Throughput comes from putting much into one command, which
//!   is the caller's business.
//! * A disk that goes back in time (an old copy of the whole data directory) is not noticed. Never restore one replica
//!   from a backup.
//! * A last write that lacks a whole sector cannot be told from one that the power cut off, and is dropped, as after any
//!   crash; all other damage is refused. A disk that acknowledges a sync and forgets it is outside of what Raft tolerates.
//! * A checkpoint holds up commands (not reads) until it is on disk.
//! * Seats are added by starting a replica in them, and removed by telling the leader ([`Replica::remove_seat`]). A removed
//!   replica whose process is started again takes its seat again.
//! * Two processes in one seat, each with a disk of its own, contend for it. Addresses lead to one of them, which gets
//!   it.

mod campaign;
mod checkpoint;
mod config;
mod core;
mod disk_faults;
mod engine;
mod error;
mod file_store;
mod founding;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod handover;
mod identity;
mod level;
mod link;
mod log;
mod machine;
mod machine_store;
mod membership;
mod metrics;
mod peer_message;
mod peer_routes;
mod record;
mod removal;
mod replica;
mod room;
mod status_routes;
mod storage;
mod transfer;
mod transport;

pub use config::{ReplicaConfig, Timing};
pub use core::Leadership;
pub use error::{ProposeError, StartError};
pub use file_store::{FileStore, replace_file};
pub use machine::{StateMachine, StateStore, StoreError};
pub use replica::Replica;
pub use room::await_room;
pub use storage::StorageConfig;

/// The most that a command's encoding may take, in bytes. A batch of 256 orders takes some 20 KiB.
pub const COMMAND_BYTES_MAX: usize = 1024 * 1024;
