//! The byte stream of a client's connection.
//!
//! Below HTTP, three modules guard the stream: [`refusal_throttle`](super::refusal_throttle) delays
//! a client that ignores `Retry-After`, [`write_timeout`](super::write_timeout) closes the
//! connection of a client that does not read, and [`lingering_close`](super::lingering_close)
//! handles a client that is still sending when its request is refused.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::lingering_close::LingeringClose;
use super::refusal_throttle::Hold;
use super::write_timeout::WriteTimeout;

/// A socket that can be watched while it is read and written elsewhere.
///
/// It is split because only a reading half of tokio knows that a read which did not fill its buffer
/// has emptied the socket. Reads through a shared reference end with one more system call, which
/// reads nothing: a twentieth of the time that a cached product takes.
#[derive(Debug)]
pub(super) struct WatchedStream {
    reader: OwnedReadHalf,
    writer: Arc<OwnedWriteHalf>,
}

/// Watches a [`WatchedStream`].
#[derive(Clone, Debug)]
pub(super) struct ResetWatch(Arc<OwnedWriteHalf>);

impl WatchedStream {
    pub(super) fn new(stream: TcpStream) -> (Self, ResetWatch) {
        let (reader, writer) = stream.into_split();
        let writer = Arc::new(writer);
        (Self { reader, writer: Arc::clone(&writer) }, ResetWatch(writer))
    }
}

impl ResetWatch {
    /// Completes when the client resets the connection, which means that it is gone. Closing its
    /// half is not a reset.
    pub(super) async fn reset(&self) {
        if let Err(error) = self.0.ready(Interest::ERROR).await {
            tracing::debug!(%error, "cannot watch a connection for resets");
            std::future::pending::<()>().await;
        }
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(context, buffer)
    }
}

impl WatchedStream {
    fn poll_try(
        &self,
        context: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let stream = (*self.writer).as_ref();
        loop {
            ready!(stream.poll_write_ready(context))?;
            match write(stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_try(context, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_try(context, |stream| stream.try_write_vectored(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The kernel has what was written.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream: &TcpStream = (*self.writer).as_ref();
        Poll::Ready(SockRef::from(stream).shutdown(Shutdown::Write))
    }
}

/// A stream with its three guards.
pub(super) struct ClientStream<S> {
    pub(super) stream: S,
    pub(super) hold: Hold,
    pub(super) write_timeout: WriteTimeout,
    pub(super) lingering_close: LingeringClose,
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.hold.poll_released(context));
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.write_timeout.bound(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.write_timeout.bound(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.lingering_close.poll_shutdown(Pin::new(&mut this.stream), context)
    }
}

#[cfg(test)]
impl<S> ClientStream<S> {
    /// A stream whose guards do nothing, or only after a long time.
    pub(super) fn unguarded(stream: S) -> Self {
        let (_, hold) = super::refusal_throttle::RefusalThrottle::new(None).connection();
        Self {
            stream,
            hold,
            write_timeout: WriteTimeout::new(std::time::Duration::from_hours(1)),
            lingering_close: LingeringClose::new(super::lingering_close::RefusedFlag::default()),
        }
    }
}
