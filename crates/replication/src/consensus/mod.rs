//! The link to openraft: one file per openraft trait, named after it. No other folder implements
//! one.
//!
//! # Reading order
//! 1. [`types`]: openraft's types, as this crate uses them.
//! 2. [`engine_contract`]: where openraft is told something before it is true, and the gate that
//!    makes it true. Read it before you change any of the files below.
//! 3. [`log_storage`]: entries and votes, stored by the [log](crate::log).
//! 4. [`state_machine`]: applies committed entries; makes and installs [checkpoints](checkpoint).
//! 5. [`raft_network`]: a leader's or candidate's requests to one other replica.
//! 6. [`append_entries`]: what a follower does with a leader's entries before and after openraft.

pub(crate) mod append_entries;
pub(crate) mod checkpoint;
pub(crate) mod engine_contract;
pub(crate) mod log_storage;
pub(crate) mod raft_network;
pub(crate) mod state_machine;
pub(crate) mod types;
