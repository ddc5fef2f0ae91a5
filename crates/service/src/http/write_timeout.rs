//! The write timeout: closing the connection of a client that does not read its response.
//!
//! Such a response fills the socket's buffer and then waits in the server's memory. Without a bound
//! it would wait forever, and a connection with it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// Fails a write that makes no progress for too long.
pub(super) struct WriteTimeout {
    timeout: Duration,
    /// Runs while a write is pending.
    waits: Option<Pin<Box<Sleep>>>,
}

impl WriteTimeout {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, waits: None }
    }

    /// Returns `written`, or an error if writes have been pending for too long.
    pub(super) fn bound(
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

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_times_out_and_one_that_reads_slowly_does_not() {
        let (ours, mut theirs) = duplex(8);
        let mut ours = ClientStream { write_timeout: WriteTimeout::new(TIMEOUT), ..ClientStream::unguarded(ours) };
        let reads = tokio::spawn(async move {
            for _ in 0..4 {
                tokio::time::sleep(TIMEOUT * 3 / 4).await;
                theirs.read_exact(&mut [0; 8]).await.unwrap();
            }
            theirs
        });
        ours.write_all(&[7; 40]).await.unwrap();
        let _theirs = reads.await.unwrap();
        let begun = Instant::now();
        let error = timeout(TIMEOUT * 2, ours.write_all(&[7; 40])).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= TIMEOUT, "{:?}", begun.elapsed());
    }
}
