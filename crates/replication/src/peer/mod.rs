//! Messages between the replicas of a group.
//!
//! # Reading order
//! 1. [`messages`]: paths, headers and wire types.
//! 2. [`validation`]: what a message must satisfy before openraft sees it.
//! 3. [`client`]: requests to the other replicas.
//! 4. [`state_transfer`]: a state as the body of one request.
//! 5. [`routes`]: what a replica answers to its peers. Core and everything it uses come before it.

pub(crate) mod client;
pub(crate) mod messages;
pub(crate) mod routes;
pub(crate) mod state_transfer;
pub(crate) mod validation;
