//! Lingering close: closing a connection so that the client gets the last response.
//!
//! When a request is refused before its body was read (too long, wrong type, no token), the client
//! is still sending. If the socket were closed then, the client's kernel would receive a reset and
//! discard the response on its way: the client would see a broken pipe instead of the 413 that
//! explains the problem. So the server closes its sending half first, then reads and discards what
//! still arrives, within bounds, until the client closes its half, too.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// The most bytes that are read and discarded. A client that sends more is reset.
const DISCARDED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long bytes are read and discarded.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// Whether a connection's last response was a refusal. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub(super) struct RefusedFlag(Arc<AtomicBool>);

impl RefusedFlag {
    /// Sets the flag for the response that is being written.
    pub(super) fn set(&self, refused: bool) {
        self.0.store(refused, Ordering::Relaxed);
    }
}

/// Closes a connection; lingers if its last response was a refusal.
pub(super) struct LingeringClose {
    refused: RefusedFlag,
    closing: Option<Closing>,
}

/// The state after the server has closed its half.
struct Closing {
    left: usize,
    until: Pin<Box<Sleep>>,
}

impl LingeringClose {
    pub(super) fn new(refused: RefusedFlag) -> Self {
        Self { refused, closing: None }
    }

    /// Closes the server's half, then reads until the client closes its half or a bound is reached.
    pub(super) fn poll_shutdown<S: AsyncRead + AsyncWrite>(
        &mut self,
        mut stream: Pin<&mut S>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.closing.is_none() {
            ready!(stream.as_mut().poll_shutdown(context))?;
        }
        if self.refused.0.load(Ordering::Relaxed) {
            let begin = || Closing { left: DISCARDED_BYTES_MAX, until: Box::pin(sleep(LINGER_MAX)) };
            ready!(self.closing.get_or_insert_with(begin).poll(stream, context));
        }
        Poll::Ready(Ok(()))
    }
}

impl Closing {
    fn poll<S: AsyncRead>(&mut self, mut stream: Pin<&mut S>, context: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; 8 * 1024];
        loop {
            if self.until.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            let mut discarded = ReadBuf::new(&mut bytes);
            let read = ready!(stream.as_mut().poll_read(context, &mut discarded));
            match discarded.filled().len() {
                0 => return Poll::Ready(()),
                _ if read.is_err() => return Poll::Ready(()),
                length if length > self.left => return Poll::Ready(()),
                length => self.left -= length,
            }
        }
    }
}
