//! The boundary between a process and its environment: the [`World`] trait, and the world that a
//! thread is in.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use api::Address;
use api::event::Event;
use axum::Router;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use tokio_util::sync::CancellationToken;

use super::file_system::FileSystem;
use crate::exit::ExitCode;

/// The environment of one simulated process.
pub trait World: fmt::Debug + Send + Sync + 'static {
    /// 64 random bits.
    fn random(&self) -> u64;

    /// The process ends itself. Returns the payload with which
    /// [`lifecycle::fatal`](crate::lifecycle::fatal()) unwinds the current task; no other task of
    /// the process may run any more.
    fn exit(&self, code: ExitCode, reason: String) -> Box<dyn Any + Send>;

    /// Binds a port. With port 0 the world picks one.
    fn bind(&self, port: u16) -> io::Result<SocketAddr>;

    /// Serves a bound port until `stop` is cancelled, then finishes the requests in flight.
    fn serve(&self, at: SocketAddr, router: Router, stop: CancellationToken) -> BoxFuture<'static, ()>;

    /// Sends a request to another process, and returns the response. Never completes if either is
    /// lost. Dropping the future does not cancel the request.
    fn send(
        &self,
        to: Address,
        request: Request<Bytes>,
    ) -> BoxFuture<'static, Result<Response<Bytes>, ConnectionError>>;

    /// The process's disk.
    fn disk(&self) -> &dyn FileSystem;

    /// Keeps an event of the process; see [`events::emit`](crate::events::emit).
    fn event(&self, event: Event);

    /// Waits as long as blocking work, mostly a sync, would keep its thread busy.
    fn blocking_delay(&self) -> BoxFuture<'static, ()>;
}

/// Why a request has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// No process listens on the port: the other side has seen nothing.
    #[error("connection refused")]
    Refused,
    /// The other side died: it may or may not have carried out the request.
    #[error("connection reset")]
    Reset,
}

thread_local! {
    static WORLD: RefCell<Option<Arc<dyn World>>> = const { RefCell::new(None) };
}

/// This thread is inside a world until this guard is dropped.
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

/// Makes `world` the environment of this thread.
pub fn enter(world: Arc<dyn World>) -> Entered {
    Entered { before: WORLD.replace(Some(world)) }
}

/// The world that this thread is in; `None` in a real process.
pub fn current() -> Option<Arc<dyn World>> {
    // A thread whose thread-local variables are already destroyed is in no world.
    WORLD.try_with(|world| world.borrow().clone()).ok().flatten()
}
