//! The frontend conducts the elections of the groups behind it.
//!
//! The replicas never stand for election by themselves. Raft's votes still decide who leads: a frontend that is wrong, or two
//! frontends that disagree, cost time and never an order.
//!
//! # How a leader is missed
//! The [conductor](Conductor) asks the leader for its status every 100 ms, and looks at once when any request to it failed (the group's *doubts*). A process that was killed refuses connections: it is missed within a round trip. One
//! that is paused, or behind a network that drops everything, accepts connections and never answers: it is missed after two
//! status time-outs. One that is cut off from its followers, but not from here, stops naming itself as the leader after a second, and
//! is passed over.
//!
//! # How the next one is made
//! 1. *Survey*: all replicas are asked for their status. If a majority confirms a leader, that is the leader, and all is well.
//! 2. *Choice* ([`choose`]): a majority of the voters has to have answered; of those, the longest log, then the highest seat. Every
//!    committed entry is on a majority of disks, any two majorities share a replica, so the longest log of a majority has them all.
//! 3. *The others stand first.* A voter that has heard a leader within the election time-out owes it its vote, and would refuse it to
//!    anybody else for up to 250 ms. A replica that stands for election itself lets go of that debt.
//! 4. *The chosen one stands*, finds the others free to vote, and wins.
//! 5. *Confirmation*: the statuses are read until a majority names the new leader. Only then is it adopted, and every request that
//!    waited for a leader goes to it.
//!
//! If that fails (a vote was lost, another frontend was at it), it begins again with the survey after a time that is a multiple of
//! what saving a vote has been seen to take, drawn at random so that two frontends come apart.
//!
//! # When there is none to make
//! A group that is just being founded makes its first leader itself, and so does a group of one. Without a majority there is
//! nothing to do but to look again.

mod candidate;
mod conductor;
mod metrics;

pub use candidate::{Obstacle, Plan, choose};
pub use conductor::Conductor;
pub use metrics::ElectionMetrics;
