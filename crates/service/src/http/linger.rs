//! Closing a connection so that the other side gets the last answer.
//!
//! A request that is refused before its body was read (too long, wrong type, no token) finds its sender still writing. If the
//! socket were closed then, the sender's kernel would get a reset, and the answer that is on its way would be thrown away:
//! the client would see a broken pipe instead of the 413 that tells what is wrong. So the sending half is closed first, and
//! what still arrives is read and dropped, within bounds, until the client has closed its half too.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// What is read and dropped at most. A client that sends more is reset.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// For how long.
const TIME_MAX: Duration = Duration::from_secs(2);

/// Whether a connection's last answer was a refusal. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Refused(Arc<AtomicBool>);

impl Refused {
    /// Notes what was just answered.
    pub(super) fn set(&self, refused: bool) {
        self.0.store(refused, Ordering::Relaxed);
    }
}

/// A connection that lingers at its end, if its last answer was a refusal.
pub(super) struct Lingering<S> {
    stream: S,
    refused: Refused,
    lingers: Option<Linger>,
}

struct Linger {
    left: usize,
    until: Pin<Box<Sleep>>,
}

impl<S> Lingering<S> {
    pub(super) fn new(stream: S, refused: Refused) -> Self {
        Self { stream, refused, lingers: None }
    }
}

impl<S: AsyncRead + Unpin> Lingering<S> {
    /// Reads on until the other side has closed, or a bound is reached.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let linger = self.lingers.get_or_insert_with(|| Linger { left: BYTES_MAX, until: Box::pin(sleep(TIME_MAX)) });
        let mut bytes = [0; 8 * 1024];
        loop {
            if linger.until.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            let mut dropped = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut dropped));
            match dropped.filled().len() {
                0 => return Poll::Ready(()),
                _ if read.is_err() => return Poll::Ready(()),
                length if length > linger.left => return Poll::Ready(()),
                length => linger.left -= length,
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingers.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        if self.refused.0.load(Ordering::Relaxed) {
            ready!(self.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }
}
