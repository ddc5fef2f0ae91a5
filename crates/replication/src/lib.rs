//! A durable, replicated state machine.
//!
//! A service writes a [`StateMachine`]: a value, and a pure function that applies a command to it.
//! This crate keeps one copy of the value on each replica of a group, and makes all of them apply
//! the same commands in the same order. A command is acknowledged when it is on a majority of
//! disks. From then on no crash, no lost minority of disks and no partition can take it back.
//!
//! ```text
//!    propose ──► leader's log ──► followers' logs        each synced before it counts
//!                     │ on a majority: committed
//!                     ▼
//!              StateMachine::apply ──► reply             on every replica, in log order
//!                     │ now and then
//!                     ▼
//!               StateStore::checkpoint                   then older log entries can be removed
//! ```
//!
//! # Reading order
//! 1. `machine`: what a service implements. `replica`: the handle that it gets. `core`: what the
//!    handle, the routes and the tasks of a replica share.
//! 2. `consensus`: the link to openraft, one file per trait, and `engine_contract`: where openraft
//!    is told something early.
//! 3. `log`: the write-ahead log, its assumptions, its format, and its reaction to damage.
//! 4. `leadership`: elections, leadership transfer, confirmed reads, a leader's terms, readiness.
//! 5. `membership`: bootstrapping, joining, removing, and disks that went back in time.
//! 6. `disk_space`: what a replica does before its disk is full.
//! 7. `peer`: messages between replicas. `status_routes`: what a replica answers to its service's
//!    clients.
//!
//! Each folder's `mod.rs` has its own reading order.
//!
//! # What Raft provides
//!
//! The consensus engine is openraft; nothing outside this crate names it. It provides what the Raft
//! paper proves: at most one leader per term, a log that only a majority can extend, and that a
//! committed entry is in the log of every later leader. The log is kept in files of this crate's
//! own (`log`).
//!
//! # What this crate adds
//!
//! * **Elections from outside.** openraft's own election timer is off. A frontend that watches the
//!   group asks a replica to [stand for election](Replica::stand_for_election). Votes still decide,
//!   so a wrong or repeated request costs time and never an entry (`leadership::campaign`). A
//!   group's only voter elects itself.
//! * **A term is one leadership of one process.** A leader that restarts does not remain leader of
//!   its old term, although openraft would let it. So a counter that starts at 1 in each leadership
//!   never names two things in one term (`log`).
//! * **A replica that lost its log gets a new identity.** It notices the loss, takes a new id, and
//!   gets its vote back by a membership change that does not count what the old id had acknowledged
//!   (`membership::identity`, `membership::join`). A group is bootstrapped once, by all of its
//!   bootstrap members or not at all (`membership::bootstrap`).
//! * **Replicas remember what the others have acknowledged.** A replica that comes back without
//!   entries or a vote that it had acknowledged gives up its id and rejoins as a new member. A
//!   group of which a majority went back in time stops (`membership::rollback`).
//! * **Reads without leases.** [`confirm_leadership`](Replica::confirm_leadership) asks a majority
//!   each time. A paused process that wakes up and believes that it leads finds out before it
//!   answers a client.
//! * **Replication overlaps with the leader's sync.** A leader sends entries to its followers while
//!   its own disk syncs. Whatever depends on an entry leaves the process only when the entry is on
//!   disk (`consensus::engine_contract`).
//! * **No purge before a durable checkpoint.** Entries are purged only once the checkpoint that
//!   replaces them is durable, also while a received state is being installed (`log`).
//! * **Leadership transfer.** A leader that is asked to stop has its successor elected first
//!   (`leadership::transfer`).
//! * **No write to a full disk.** While there is enough space to finish what was started, nothing
//!   new is started (`disk_space`).
//! * **No vote from a shortened log.** The log knows how much of it was on disk, and at each start
//!   the parts of the directory are compared with each other (`log::high_water`, `consistency`).
//! * **Fail-stop.** A failed write or sync, damage that is found at run time, a dead consensus
//!   engine: each ends the process at once. Damage that is found at the start is an error that
//!   names the file and the entry ([`StartError`]).
//!
//! # Caveats
//!
//! * A command whose proposer hears nothing may still commit: see [`ProposeError`]. Commands must
//!   tolerate being proposed twice.
//! * Each command is an entry of its own and is applied by itself. Throughput comes from putting
//!   much into one command, which is up to the caller.
//! * A disk that went back in time (an old copy of the whole data directory) is noticed by what the
//!   other replicas know of it, so only while one of them does (`membership::rollback`). Never
//!   restore one replica from a backup: give it an empty disk.
//! * After a power failure, and only then, a last write that lacks a whole sector cannot be told
//!   from one that the power failure cut off, and is dropped. All other damage is refused (`log`,
//!   `consistency`). A disk that acknowledges a sync and forgets it is outside of what Raft
//!   tolerates.
//! * A checkpoint delays commands (not reads) until it is on disk.
//! * A replica joins by being started, and is removed by a request to the leader
//!   ([`Replica::remove_member`]). A removed replica that is started again joins again.
//! * Two processes with the same ordinal, each with a disk of its own, contend for it. Addresses
//!   lead to one of them, which gets the vote.

mod codec;
mod config;
mod consensus;
mod consistency;
mod core;
mod disk_space;
mod error;
mod file_store;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod instruments;
mod leadership;
mod log;
mod machine;
mod membership;
mod peer;
mod replica;
mod status_metrics;
mod status_routes;
mod storage_config;

pub use config::{ReplicaConfig, ReplicaTiming};
pub use core::Leadership;
pub use disk_space::await_disk_space;
pub use error::{ProposeError, StartError};
pub use file_store::{FileStore, replace_file};
pub use leadership::term_loop::{LeaderWork, lead_each_term};
pub use leadership::transfer::LEADERSHIP_TRANSFER_TIMEOUT;
pub use machine::{COMMAND_BYTES_MAX, StateMachine, StateStore, StateStoreError};
pub use membership::remove::REMOVED_WHILE_AWAY;
pub use membership::rollback::DISK_WENT_BACK;
pub use replica::{Replica, is_initialized};
pub use storage_config::StorageConfig;
