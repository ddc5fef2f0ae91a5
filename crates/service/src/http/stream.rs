//! A client's connection, as far as its bytes go.
//!
//! Below HTTP three things are watched, each in a module of its own: a client that is to wait ([`pace`](super::pace)), one that
//! does not read ([`stall`](super::stall)), and one that still writes when it has been refused ([`linger`](super::linger)).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::linger::Linger;
use super::pace::Hold;
use super::stall::Stall;

/// A stream with its three watches.
pub(super) struct ClientStream<S> {
    pub(super) stream: S,
    pub(super) hold: Hold,
    pub(super) stall: Stall,
    pub(super) linger: Linger,
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.hold.poll_turn(context));
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.stall.bounded(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.stall.bounded(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.linger.poll_shutdown(Pin::new(&mut this.stream), context)
    }
}

#[cfg(test)]
impl<S> ClientStream<S> {
    /// With nobody held, and long bounds.
    pub(super) fn unwatched(stream: S) -> Self {
        let (_, hold) = super::pace::Pace::new(None).connection();
        Self {
            stream,
            hold,
            stall: Stall::new(std::time::Duration::from_hours(1)),
            linger: Linger::new(super::linger::Refused::default()),
        }
    }
}
