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

/// The end of a connection: it lingers, if the last answer was a refusal.
pub(super) struct Linger {
    refused: Refused,
    closing: Option<Closing>,
}

/// Our half is closed.
struct Closing {
    left: usize,
    until: Pin<Box<Sleep>>,
}

impl Linger {
    pub(super) fn new(refused: Refused) -> Self {
        Self { refused, closing: None }
    }

    /// Closes our half, then reads on until the other side has closed its own, or a bound is reached.
    pub(super) fn poll_shutdown<S: AsyncRead + AsyncWrite>(
        &mut self,
        mut stream: Pin<&mut S>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.closing.is_none() {
            ready!(stream.as_mut().poll_shutdown(context))?;
        }
        if self.refused.0.load(Ordering::Relaxed) {
            let begin = || Closing { left: BYTES_MAX, until: Box::pin(sleep(TIME_MAX)) };
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
            let mut dropped = ReadBuf::new(&mut bytes);
            let read = ready!(stream.as_mut().poll_read(context, &mut dropped));
            match dropped.filled().len() {
                0 => return Poll::Ready(()),
                _ if read.is_err() => return Poll::Ready(()),
                length if length > self.left => return Poll::Ready(()),
                length => self.left -= length,
            }
        }
    }
}
