//! The environment of a process: network, disk, randomness, blocking threads, and its own end.
//!
//! A service reaches its environment only through this module. In a real process the environment is
//! the operating system. A simulation [enters](enter) its own [`World`] on the thread that runs a
//! simulated process; from then on, the same calls on that thread go to this world. Time needs no
//! such boundary: tokio's clock can be paused and advanced, so code that decides by time reads
//! `tokio::time::Instant`.
//!
//! A process that never enters a world pays one access to a thread-local variable per opened file,
//! created client or random number, and nothing per request.
//!
//! Read `boundary` first: it has the [`World`] trait. The other files give each part of the
//! environment its interface.

mod blocking;
mod boundary;
pub mod disk;
mod fatal;
mod file_system;
mod random;

pub use blocking::{BlockingWorker, blocking};
pub use boundary::{ConnectionError, Entered, World, current, enter};
pub use fatal::fatal;
pub use random::{random, random_fraction, random_uuid};
