//! The frontend monitors the leaders of the groups behind it, and starts their elections.
//!
//! Replicas never start an election by themselves. Raft's votes still decide which replica leads,
//! so a frontend that is wrong, or two frontends that disagree, cost time but never an order.
//!
//! # How the loss of a leader is detected
//! The [leader monitor](LeaderMonitor) asks the leader for its status every 100 ms, and at once
//! when a request to it has failed. A leader that answers, leads, and was recently acknowledged by
//! a majority is left alone. Otherwise all replicas are asked what they know of the leader, and the
//! answers are [judged](leader_health):
//!
//! * A majority has not heard from the leader recently: the leader is missing. This covers a leader
//!   that is frozen, that is cut off from its followers in one direction or both, or that no
//!   frontend can reach.
//! * At least one replica has heard from the leader recently: the leader is alive. It stays the
//!   leader although it does not answer here, and is asked again at once.
//! * The leader's host refused a connection, or the connection broke, or the leader says that it
//!   does not lead. Then the other replicas simply have not noticed yet. The replicas that are
//!   asked to stand are told so, and check for themselves. A leader whose process was killed is
//!   replaced within a few round trips.
//! * Too few replicas have answered: they are asked again, and for a second requests still go to
//!   the last known leader.
//!
//! A frontend may be wrong about all of this. The replicas apply the same rule before they stand
//! (`campaign` in the crate `replication`), so a mistake costs a few requests and does not depose a
//! leader.
//!
//! # How an election works
//! 1. *Status poll*: the answers by which the leader was judged. If they confirm a leader, no
//!    election is needed.
//! 2. *Plan* ([`plan_election`]): a majority of the voters must have answered. The candidate is the
//!    voter with the longest log, among equals one with disk space, then the one with the highest
//!    ordinal. Every committed entry is on a majority of disks, and any two majorities share a
//!    replica, so the longest log of a majority contains all committed entries.
//! 3. *The others stand first.* A voter that has heard from a leader within the election timeout
//!    would refuse its vote to anyone else for up to 250 ms. Standing for election itself releases
//!    it from that.
//! 4. *The candidate stands*, finds the others free to vote, and wins.
//! 5. *Confirmation*: the statuses are polled until a majority names the new leader. Only then is
//!    it used, and the requests that waited for a leader are sent to it.
//!
//! If an election fails, because a vote was lost or another frontend interfered, it is repeated
//! from the status poll. The delay is random, so that two frontends fall out of step, and
//! proportional to the time that saving a vote has taken.
//!
//! # When no election is possible
//! A group that is being bootstrapped makes its first leader by itself, and so does a group with a
//! single replica. Without a majority, the monitor can only keep polling.
//!
//! # Reading order
//! `leader_monitor` has the task, `evidence` judges whether the leader is alive, `plan`
//! chooses the next one; both are pure functions of the replicas' statuses. `outage` has the
//! reasons for an election, `metrics` the metrics.

mod evidence;
mod leader_monitor;
mod metrics;
mod outage;
mod plan;

pub use evidence::{LeaderHealth, LeaderReport, leader_health};
pub use leader_monitor::LeaderMonitor;
pub use metrics::ElectionMetrics;
pub use plan::{ElectionPlan, Obstacle, plan_election};
