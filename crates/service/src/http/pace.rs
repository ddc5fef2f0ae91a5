//! Clients that are told to come back later, and do not wait.
//!
//! A refusal is cheap, but not free: whoever sends its next request as soon as the last was refused makes the port spend its time on refusing,
//! and the work that there is room for waits. So the refusals of a port are paced. As long as there are few, nothing happens. When there are more than
//! [`Limits::refusals_per_second`](super::Limits), the connection that got one is not read from until its turn has come; the
//! client's own kernel keeps its next request until then. The refusal itself is always sent at once, and its
//! `Retry-After` says no less than the hold lasts, so that a client that waits as it is told never meets one.
//!
//! The turns are a virtual queue (the generic cell rate algorithm, ITU-T I.371): one instant is the whole state.
//!
//! # Caveats
//! * A client that opens a new connection for each request is not held: its handshakes cost it more than they cost us, but they do cost us.
//! * A connection on hold is not seen to hang up before its turn.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use tokio::time::{Instant, Sleep, sleep_until};

/// The longest hold, and so the longest `Retry-After`: less than the 5 s in which everyone is answered, also who does not wait.
const HOLD_MAX: Duration = Duration::from_secs(4);

/// So much of the rate may come at once before anyone is held.
const BURST: Duration = Duration::from_millis(100);

/// The turns of one port. Clones are the same port's.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// Between two turns; `None` where nobody is held.
    every: Option<Duration>,
    /// When the last turn that was given out ends.
    taken_until: Arc<Mutex<Instant>>,
}

impl Pace {
    /// # Panics
    /// If the rate is zero.
    pub(super) fn new(refusals_per_second: Option<u32>) -> Self {
        let every = refusals_per_second.map(|rate| Duration::from_secs(1) / rate);
        Self { every, taken_until: Arc::new(Mutex::new(Instant::now())) }
    }

    /// The turn of a client that was refused now: until when it is held, if it is.
    fn turn(&self, now: Instant) -> Option<Instant> {
        let every = self.every?;
        let mut taken_until = self.taken_until.lock().unwrap_or_else(PoisonError::into_inner);
        // What was not used in the last while is kept as burst; what nobody would be held for is not queued.
        let turn = (*taken_until).max(now.checked_sub(BURST).unwrap_or(now)) + every;
        *taken_until = turn.min(now + HOLD_MAX);
        (*taken_until > now).then_some(*taken_until)
    }

    /// A connection of the port: what its answers are shown to, and what holds it.
    pub(super) fn connection(&self) -> (Answers, Hold) {
        let until = Arc::<Mutex<Option<Instant>>>::default();
        let answers = Answers { pace: self.clone(), held_until: Arc::clone(&until) };
        (answers, Hold { until, waits: None })
    }
}

/// Where a connection's answers are seen.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    pace: Pace,
    held_until: Arc<Mutex<Option<Instant>>>,
}

impl Answers {
    /// To be called before the answer is written. One that says when to come back says it as late as this port will listen.
    pub(super) fn see(&self, answer: &mut Response) {
        let told =
            answer.headers().get(header::RETRY_AFTER).filter(|_| answer.status() == StatusCode::SERVICE_UNAVAILABLE);
        let Some(told) = told.map(seconds) else { return };
        let now = Instant::now();
        let Some(turn) = self.pace.turn(now) else { return };
        let hold = whole_seconds(turn - now);
        if told < hold {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(hold));
        }
        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
    }
}

/// What a `Retry-After` says; 0 for a date, which nobody here gives.
fn seconds(told: &HeaderValue) -> u64 {
    told.to_str().ok().and_then(|told| told.parse().ok()).unwrap_or(0)
}

/// Rounded up.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// A connection is not read from while it is held.
pub(super) struct Hold {
    until: Arc<Mutex<Option<Instant>>>,
    waits: Option<Pin<Box<Sleep>>>,
}

impl Hold {
    /// Ready when it may be read from.
    pub(super) fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let turn = self.until.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(turn) = turn {
            self.waits = Some(Box::pin(sleep_until(turn)));
        }
        if let Some(waits) = &mut self.waits {
            ready!(waits.as_mut().poll(context));
            self.waits = None;
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::super::stream::ClientStream;
    use super::*;

    const PER_SECOND: u32 = 100;

    fn answer(status: StatusCode) -> Response {
        Response::builder().status(status).header(header::RETRY_AFTER, "1").body(Body::empty()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn few_are_not_held_and_many_get_turns_at_the_rate() {
        let pace = Pace::new(Some(PER_SECOND));
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
        let pace = Pace::new(Some(PER_SECOND));
        let now = Instant::now() + Duration::from_secs(1);
        let longest = (0..1000).filter_map(|_| pace.turn(now)).max().unwrap();
        assert_eq!(longest - now, HOLD_MAX);
        assert_eq!(pace.turn(now + HOLD_MAX + BURST), None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_is_told_to_come_later_is_held_and_then_read() {
        let (mut theirs, ours) = duplex(64);
        // One turn, which the burst does not cover.
        let (answers, hold) = Pace::new(Some(1)).connection();
        let mut ours = ClientStream { hold, ..ClientStream::unwatched(ours) };
        theirs.write_all(b"abc").await.unwrap();
        let begun = Instant::now();
        answers.see(&mut answer(StatusCode::OK));
        assert_eq!(ours.read_u8().await.unwrap(), b'a');
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let mut refusals = [const { StatusCode::SERVICE_UNAVAILABLE }; 2].map(answer);
        for refusal in &mut refusals {
            answers.see(refusal);
        }
        let told = refusals.map(|refusal| seconds(&refusal.headers()[header::RETRY_AFTER]));
        assert_eq!(told, [1, 2], "a second each, but for the burst");
        assert_eq!(ours.read_u8().await.unwrap(), b'b');
        let then = begun.elapsed();
        assert!(then > Duration::from_secs(1) && then <= Duration::from_secs(2), "{then:?}");
        assert_eq!(ours.read_u8().await.unwrap(), b'c');
        assert_eq!(begun.elapsed(), then, "it is held once");
    }
}
