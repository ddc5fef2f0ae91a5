//! A client that does not read its answer.
//!
//! Its answer fills the socket's buffer, and then waits in ours. Without a bound it would wait for ever, and a connection with it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// Breaks a connection when nothing can be written for too long.
pub(super) struct Stall {
    timeout: Duration,
    /// Running while a write waits.
    waits: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, waits: None }
    }

    /// `written`, or the error if it has been pending for too long.
    pub(super) fn bounded(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.waits = None;
            return written;
        }
        let timeout = self.timeout;
        let waits = self.waits.get_or_insert_with(|| Box::pin(sleep(timeout)));
        waits.as_mut().poll(context).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{Instant, timeout};

    use super::super::stream::ClientStream;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_is_given_up_and_who_reads_slowly_is_not() {
        let (ours, mut theirs) = duplex(8);
        let mut ours = ClientStream { stall: Stall::new(PATIENCE), ..ClientStream::unwatched(ours) };
        let reads = tokio::spawn(async move {
            for _ in 0..4 {
                tokio::time::sleep(PATIENCE * 3 / 4).await;
                theirs.read_exact(&mut [0; 8]).await.unwrap();
            }
            theirs
        });
        ours.write_all(&[7; 40]).await.unwrap();
        let _theirs = reads.await.unwrap();
        let begun = Instant::now();
        let error = timeout(PATIENCE * 2, ours.write_all(&[7; 40])).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= PATIENCE, "{:?}", begun.elapsed());
    }
}
