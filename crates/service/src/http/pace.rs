//! Clients that are told to come back later, and do not wait.
//!
//! A refusal is cheap, but not free: whoever sends its next request as soon as the last was refused makes the port spend its time on refusing,
//! and the work that there is room for waits. So the refusals of a port are paced. As long as there are few, nothing happens. When there are more than
//! [`Limits::refusals_per_second`](super::Limits), the connection that got one is not read from until its turn has come; the
//! client's own kernel keeps its next request until then. The refusal itself is always sent at once, and no connection
//! is held for longer than any `Retry-After` says, so that a client that waits as it is told never meets a hold.
//!
//! The turns are a virtual queue (the generic cell rate algorithm, ITU-T I.371): one instant is the whole state.
//!
//! # Caveats
//! * A client that opens a new connection for each request is not held: its handshakes cost it more than they cost us, but they do cost us.
//! * A connection on hold is not seen to hang up before its turn.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::Response;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// The longest hold: the least `Retry-After`.
const HOLD_MAX: Duration = Duration::from_secs(1);

/// So much of the rate may come at once before anyone is held.
const BURST: Duration = Duration::from_millis(100);

/// The turns of one port. Clones are the same port's.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// Between two turns.
    every: Duration,
    /// When the last turn that was given out ends.
    taken_until: Arc<Mutex<Instant>>,
}

impl Pace {
    /// # Panics
    /// If the rate is zero.
    pub(super) fn new(refusals_per_second: u32) -> Self {
        Self { every: Duration::from_secs(1) / refusals_per_second, taken_until: Arc::new(Mutex::new(Instant::now())) }
    }

    /// The turn of a client that was refused now: until when it is held, if it is.
    fn turn(&self, now: Instant) -> Option<Instant> {
        let mut taken_until = self.taken_until.lock().unwrap_or_else(PoisonError::into_inner);
        // What was not used in the last while is kept as burst; what nobody would be held for is not queued.
        let turn = (*taken_until).max(now.checked_sub(BURST).unwrap_or(now)) + self.every;
        *taken_until = turn.min(now + HOLD_MAX);
        (*taken_until > now).then_some(*taken_until)
    }

    /// A connection of the port: what its answers are shown to, and its stream.
    pub(super) fn connection<S>(&self, stream: S) -> (Answers, Paced<S>) {
        let held_until = Arc::<Mutex<Option<Instant>>>::default();
        let answers = Answers { pace: self.clone(), held_until: Arc::clone(&held_until) };
        (answers, Paced { stream, held_until, held: None })
    }
}

/// Where a connection's answers are seen.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    pace: Pace,
    held_until: Arc<Mutex<Option<Instant>>>,
}

impl Answers {
    /// To be called before the answer is written.
    pub(super) fn see(&self, answer: &Response) {
        let later =
            answer.status() == StatusCode::SERVICE_UNAVAILABLE && answer.headers().contains_key(header::RETRY_AFTER);
        if later && let Some(turn) = self.pace.turn(Instant::now()) {
            *self.held_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
        }
    }
}

/// A connection that is not read from while it is held.
pub(super) struct Paced<S> {
    stream: S,
    held_until: Arc<Mutex<Option<Instant>>>,
    held: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let turn = self.held_until.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(turn) = turn {
            self.held = Some(Box::pin(sleep_until(turn)));
        }
        if let Some(held) = &mut self.held {
            ready!(held.as_mut().poll(context));
            self.held = None;
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
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
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const PER_SECOND: u32 = 100;

    fn answer(status: StatusCode) -> Response {
        Response::builder().status(status).header(header::RETRY_AFTER, "1").body(Body::empty()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn few_are_not_held_and_many_get_turns_at_the_rate() {
        let pace = Pace::new(PER_SECOND);
        let now = Instant::now() + Duration::from_secs(1);
        for _ in 0..10 {
            assert_eq!(pace.turn(now), None, "a tenth of a second's worth");
        }
        let turns: Vec<_> = (0..50).map(|_| pace.turn(now).unwrap() - now).collect();
        assert!(turns.iter().zip(1..).all(|(turn, n)| *turn == Duration::from_millis(10) * n), "{turns:?}");
        assert_eq!(pace.turn(now + Duration::from_secs(1)), None, "they are over");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_held_for_longer_than_told_and_no_debt_is_left() {
        let pace = Pace::new(PER_SECOND);
        let now = Instant::now() + Duration::from_secs(1);
        let longest = (0..1000).filter_map(|_| pace.turn(now)).max().unwrap();
        assert_eq!(longest - now, HOLD_MAX);
        assert_eq!(pace.turn(now + HOLD_MAX + BURST), None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_is_told_to_come_later_is_held_and_then_read() {
        let (mut theirs, ours) = duplex(64);
        // One turn, which the burst does not cover.
        let (answers, mut ours) = Pace::new(1).connection(ours);
        theirs.write_all(b"abc").await.unwrap();
        let begun = Instant::now();
        answers.see(&answer(StatusCode::OK));
        assert_eq!(ours.read_u8().await.unwrap(), b'a');
        assert_eq!(begun.elapsed(), Duration::ZERO);
        answers.see(&answer(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(ours.read_u8().await.unwrap(), b'b');
        assert!(begun.elapsed() > HOLD_MAX / 2, "{:?}", begun.elapsed());
        let then = begun.elapsed();
        assert_eq!(ours.read_u8().await.unwrap(), b'c');
        assert_eq!(begun.elapsed(), then, "it is held once");
    }
}
