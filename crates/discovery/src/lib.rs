//! Where the replicas of a group are, and which of them leads.
//!
//! A *group* is one replicated service: `order` with its three replicas, `catalog` with its one. Whoever asks something of a
//! group holds a [`Group`], and asks its leader through [`Group::ask_leader`].
//!
//! # Where: a list that may change
//! Everything here takes the replicas as a `watch::Receiver<Replicas>`. [`Discovery`] makes them, as `DISCOVERY` says: from the settings'
//! static lists ([`settings`], [`fixed`]), which never change, or from what the Kubernetes API tells (`kubernetes`), which does whenever a
//! pod is replaced. Until the first full list from there is in, nobody is known: that is waited for ([`Discovery::known`]) where it
//! matters. While the API is away, the last list stays.
//!
//! # Who leads: a belief, never a fact
//! A replica's status names the leader that it knows. [`confirmed_leader`] takes the one that says so itself, in the
//! highest term that anyone has seen, with a majority of the voters behind it. That was true when they said it and may be
//! over when a request arrives. So the belief only routes requests; a replica that does not lead any more refuses (421),
//! and nothing here can lose or double an order.
//!
//! The belief is dropped (the leader is *doubted*) as soon as one request to it fails. Whoever asks next looks for a
//! leader: one survey at a time, however many requests wait. A conductor of elections, where there is one, is woken by the
//! doubt, and [adopts](Group::adopt) the leader that comes out.
//!
//! # Asking: again until the deadline
//! A request is repeated until it is answered, refused for good, or its deadline has come. It is abandoned for the new leader
//! as soon as there is one: a paused process keeps its connections open and never answers. So a request may be carried
//! out twice, and must be one that can be: a read, or one that bears an id.
//!
//! # Not here
//! No elections: see the frontend. No load balancing: the leader does the work, by design.

mod ask;
mod finding;
mod group;
mod kubernetes;
pub mod settings;
mod survey;

use api::replica::Replicas;
use tokio::sync::watch;

pub use finding::Discovery;
pub use group::{Group, Leader};
pub use kubernetes::Watching;
pub use survey::{Survey, confirmed_leader};

/// A list of replicas that never changes.
pub fn fixed(replicas: Replicas) -> watch::Receiver<Replicas> {
    // The sender may go: a receiver keeps the last value.
    watch::Sender::new(replicas).subscribe()
}
