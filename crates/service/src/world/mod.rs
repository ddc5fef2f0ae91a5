//! Everything outside of a process: the network, the disk, randomness, blocking threads, its own end.
//!
//! A service reaches these through this module alone. In a real process that is the operating system. A simulation
//! [enters](enter) a [`World`] of its own on the thread that runs a simulated process, and from then on, on that
//! thread, the same calls go to it. Time needs no seam: tokio's clock can be paused and moved, so whatever reads the
//! time for a decision reads `tokio::time::Instant`.
//!
//! A process that never enters a world pays one look at a thread-local variable per file opened, client made, or
//! number drawn, and nothing per request.

pub mod disk;
mod threads;

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use api::Address;
use axum::Router;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use tokio_util::sync::CancellationToken;

use crate::lifecycle::ExitCode;

pub use threads::{Worker, blocking};

/// What stands for the outside of one simulated process.
pub trait World: fmt::Debug + Send + Sync + 'static {
    /// 64 random bits.
    fn random(&self) -> u64;

    /// The process has ended itself. Gives what [`lifecycle::fatal`](crate::lifecycle::fatal) unwinds the current task
    /// with; the other tasks must not run any more.
    fn exit(&self, code: ExitCode, what: String) -> Box<dyn Any + Send>;

    /// Takes a port. Port 0 lets the world pick.
    fn bind(&self, port: u16) -> io::Result<SocketAddr>;

    /// Answers what is sent to a port that was taken, until `stop`; then finishes what is in flight.
    fn serve(&self, at: SocketAddr, router: Router, stop: CancellationToken) -> BoxFuture<'static, ()>;

    /// Carries a request to another process and its answer back. Never ends if one of them is lost; a caller that drops it has not
    /// taken the request back.
    fn carry(&self, to: Address, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Bytes>, Lost>>;

    /// The process's disk.
    fn disk(&self) -> &dyn disk::FileSystem;

    /// Waits as long as a piece of blocking work keeps its thread busy: a sync, mostly.
    fn work(&self) -> BoxFuture<'static, ()>;
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Nobody listens there: the other side has seen nothing.
    #[error("connection refused")]
    Refused,
    /// The other side was there and is gone: it may or may not have done what it was asked.
    #[error("connection reset")]
    Reset,
}

thread_local! {
    static WORLD: RefCell<Option<Arc<dyn World>>> = const { RefCell::new(None) };
}

/// Until it is dropped, this thread is inside a world.
#[must_use = "the world is left when this is dropped"]
#[derive(Debug)]
pub struct Entered {
    before: Option<Arc<dyn World>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        WORLD.set(self.before.take());
    }
}

/// From now on the outside of the process, as seen by this thread, is `world`.
pub fn enter(world: Arc<dyn World>) -> Entered {
    Entered { before: WORLD.replace(Some(world)) }
}

/// The world that this thread is in; `None` in a real process.
pub fn current() -> Option<Arc<dyn World>> {
    // A thread that is just being ended is in none.
    WORLD.try_with(|world| world.borrow().clone()).ok().flatten()
}

/// 64 random bits.
pub fn random() -> u64 {
    current().map_or_else(rand::random, |world| world.random())
}

/// A random number from 0 (inclusive) to 1 (exclusive).
pub fn random_fraction() -> f64 {
    // The upper 53 bits: as many as a double's fraction has.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact in a double")]
    let fraction = (random() >> 11) as f64 / (1_u64 << 53) as f64;
    fraction
}

/// A random (version 4) UUID.
pub fn random_uuid() -> uuid::Uuid {
    let [high, low] = [random(), random()].map(u128::from);
    uuid::Builder::from_u128(high << 64 | low).with_version(uuid::Version::Random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_below_one_and_uuids_are_random_ones() {
        for _ in 0..1000 {
            assert!((0.0..1.0).contains(&random_fraction()));
        }
        assert_eq!(random_uuid().get_version_num(), 4);
        assert_ne!(random_uuid(), random_uuid());
    }
}
