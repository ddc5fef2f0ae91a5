//! Where the replicas of a group are, and which of them leads.
//!
//! A *group* is one replicated service: `order` with three replicas, or `catalog` with one or
//! more. A client of a group holds a [`Group`] and sends its requests with [`Group::call_leader`].
//!
//! # Where: a list that can change
//! Everything here takes the replicas' addresses as a `watch::Receiver<Replicas>`. [`Discovery`]
//! creates these lists, as the setting `DISCOVERY` says: `static` takes them from the settings
//! ([`settings`], [`static_replicas`]), and they never change; `kubernetes` takes them from the
//! Kubernetes API, and they change whenever a pod is replaced. Lists from Kubernetes are empty
//! until the first complete answer; [`Discovery::synced`] waits for it. While the API is
//! unavailable, the last lists stay in use.
//!
//! # Who leads: a hint, never a fact
//! Each replica's status names the leader that the replica knows. [`confirmed_leader`] accepts a
//! replica that says itself that it leads, in the highest term that any status contains, and that a
//! majority of the voters confirms. This was true when they answered, and may be outdated when a
//! request arrives. So the known leader only routes requests: a replica that no longer leads
//! refuses them (421), and no mistake here can lose or duplicate an order.
//!
//! As soon as one request to the leader fails, the leader is *suspected*: it is no longer used. The
//! next request starts a search for a leader, and all requests share it: one status poll at a time,
//! however many of them wait. A suspicion also wakes the frontend's leader monitor
//! ([`Group::suspicions`]), which then [sets](Group::set_leader) the leader that it finds.
//!
//! # Calling the leader: retries until the deadline
//! A request is retried until it is answered, refused for good, or its deadline has passed. When
//! another replica becomes the leader meanwhile, the attempt is abandoned for it: a paused process
//! keeps its connections open and never answers. So a request may be carried out twice, and must
//! tolerate that: it is a read, or it has an id by which the leader recognizes it.
//!
//! # Caveats
//! There are no elections here (see the frontend), and there is no load balancing: by design, the
//! leader does the work.
//!
//! # Reading order
//! `group` (what a client knows of a group), `status_poll` (how a leader is found), `leader_client`
//! (how it is called), then `settings`, `kubernetes` and `mode` (where the addresses come from).

mod group;
mod kubernetes;
mod leader_client;
mod mode;
pub mod settings;
mod status_poll;

pub use group::{Group, Leader};
pub use kubernetes::{Pods, WatchGuard};
pub use mode::{Discovery, static_replicas};
pub use status_poll::{StatusPoll, confirmed_leader};
