//! Which replicas have a vote, and under which identity.
//!
//! A group is bootstrapped once, by all of its bootstrap members or not at all. Later a replica
//! joins by being started, and is removed by a request to the leader. A replica whose disk has lost
//! something that it had promised gives up its node id and joins again as a new member, which has
//! promised nothing.
//!
//! # Reading order
//! 1. [`identity`]: the node id, and how a replica notices that its log is not the one that it had.
//! 2. [`bootstrap`]: how a replica comes to its group.
//! 3. [`error`], [`change`]: why a change of membership fails, and what all changes share.
//! 4. [`join`]: a new disk takes over the vote of the old one. [`remove`]: a replica loses its
//!    vote.
//! 5. [`progress`], [`rollback`]: what replicas know of each other's disks, and how a disk that
//!    went back in time is noticed.
//! 6. [`start_identity`]: which identity a replica starts with, from all of the above.

pub(crate) mod bootstrap;
pub(crate) mod change;
pub(crate) mod error;
pub(crate) mod identity;
pub(crate) mod join;
pub(crate) mod progress;
pub(crate) mod remove;
pub(crate) mod rollback;
pub(crate) mod start_identity;
