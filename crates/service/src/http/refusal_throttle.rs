//! Throttling clients that ignore `Retry-After`.
//!
//! A refusal is cheap but not free. Clients that send the next request as soon as the last one was
//! refused make the port spend its time on refusals, while admitted work waits. So a port limits
//! the rate of refusals. Below [`Limits::refusals_per_second`](super::Limits), nothing happens.
//! Above it, a connection that was refused is held: it is not read from until its slot comes, and
//! the client's own kernel keeps the next request until then. The refusal itself is always sent at
//! once, and its `Retry-After` is at least as long as the hold, so a client that waits as told
//! never notices.
//!
//! The slots form a virtual queue (the generic cell rate algorithm, ITU-T I.371), whose whole state
//! is one instant.
//!
//! # Caveats
//! * A client that opens a new connection for each request is not held. Its handshakes cost the
//!   client more than they cost the server, but they do cost the server.
//! * When a client closes a held connection, this is noticed only when the hold ends, unless the
//!   client resets it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use tokio::time::{Instant, Sleep, sleep_until};

/// The longest hold, and so the longest `Retry-After`: less than the 5 s in which every request is
/// answered, even one of a client that does not wait.
const HOLD_MAX: Duration = Duration::from_secs(4);

/// The refusals of this much time may come at once before a connection is held.
const BURST: Duration = Duration::from_millis(100);

/// The throttle of one port. Clones share its state.
#[derive(Clone, Debug)]
pub(super) struct RefusalThrottle {
    /// The time between two slots; `None` if no connection is ever held.
    interval: Option<Duration>,
    /// The end of the last slot that was assigned.
    taken_until: Arc<Mutex<Instant>>,
}

impl RefusalThrottle {
    /// A throttle that holds connections above this rate.
    ///
    /// # Panics
    /// If the rate is zero.
    pub(super) fn new(refusals_per_second: Option<u32>) -> Self {
        let interval = refusals_per_second.map(|rate| Duration::from_secs(1) / rate);
        Self { interval, taken_until: Arc::new(Mutex::new(Instant::now())) }
    }

    /// Assigns a slot to a connection that was refused now: until when it is held, if it is.
    fn hold_until(&self, now: Instant) -> Option<Instant> {
        let interval = self.interval?;
        let mut taken_until = self.taken_until.lock().unwrap_or_else(PoisonError::into_inner);
        // Unused time is kept up to the burst. Slots beyond the longest hold are not queued.
        let slot = (*taken_until).max(now.checked_sub(BURST).unwrap_or(now)) + interval;
        *taken_until = slot.min(now + HOLD_MAX);
        (*taken_until > now).then_some(*taken_until)
    }

    /// For a new connection: the observer of its responses, and the hold of its reads.
    pub(super) fn connection(&self) -> (RefusalObserver, Hold) {
        let until = Arc::<Mutex<Option<Instant>>>::default();
        let observer = RefusalObserver { throttle: self.clone(), held_until: Arc::clone(&until) };
        (observer, Hold { until, waits: None })
    }
}

/// Observes the responses of a connection.
#[derive(Clone, Debug)]
pub(super) struct RefusalObserver {
    throttle: RefusalThrottle,
    held_until: Arc<Mutex<Option<Instant>>>,
}

impl RefusalObserver {
    /// Call this before the response is written. It raises a `Retry-After` that is shorter than the
    /// hold.
    pub(super) fn observe(&self, response: &mut Response) {
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .filter(|_| response.status() == StatusCode::SERVICE_UNAVAILABLE);
        let Some(retry_after) = retry_after.map(seconds) else { return };
        let now = Instant::now();
        let Some(until) = self.throttle.hold_until(now) else { return };
        let hold = whole_seconds(until - now);
        if retry_after < hold {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(hold));
        }
        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }
}

/// The seconds of a `Retry-After`; 0 for a date, which the store never sends.
fn seconds(value: &HeaderValue) -> u64 {
    value.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Rounded up.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Delays the reads of a connection while it is held.
pub(super) struct Hold {
    until: Arc<Mutex<Option<Instant>>>,
    waits: Option<Pin<Box<Sleep>>>,
}

impl Hold {
    /// Ready when the connection may be read from.
    pub(super) fn poll_released(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(until) = until {
            self.waits = Some(Box::pin(sleep_until(until)));
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

    fn response(status: StatusCode) -> Response {
        Response::builder().status(status).header(header::RETRY_AFTER, "1").body(Body::empty()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn few_refusals_are_not_held_and_many_get_slots_at_the_rate() {
        let throttle = RefusalThrottle::new(Some(PER_SECOND));
        let now = Instant::now() + Duration::from_secs(1);
        for _ in 0..10 {
            assert_eq!(throttle.hold_until(now), None, "a tenth of a second's worth");
        }
        let slots: Vec<_> = (0..50).map(|_| throttle.hold_until(now).unwrap() - now).collect();
        assert!(slots.iter().zip(1..).all(|(slot, n)| *slot == Duration::from_millis(10) * n), "{slots:?}");
        assert_eq!(throttle.hold_until(now + Duration::from_secs(1)), None, "all slots are over");
    }

    #[tokio::test(start_paused = true)]
    async fn no_connection_is_held_for_longer_than_the_maximum_and_no_debt_remains() {
        let throttle = RefusalThrottle::new(Some(PER_SECOND));
        let now = Instant::now() + Duration::from_secs(1);
        let longest = (0..1000).filter_map(|_| throttle.hold_until(now)).max().unwrap();
        assert_eq!(longest - now, HOLD_MAX);
        assert_eq!(throttle.hold_until(now + HOLD_MAX + BURST), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_told_to_retry_later_is_held_once() {
        let (mut theirs, ours) = duplex(64);
        // At this rate, the burst covers no refusal.
        let (observer, hold) = RefusalThrottle::new(Some(1)).connection();
        let mut ours = ClientStream { hold, ..ClientStream::unguarded(ours) };
        theirs.write_all(b"abc").await.unwrap();
        let begun = Instant::now();
        observer.observe(&mut response(StatusCode::OK));
        assert_eq!(ours.read_u8().await.unwrap(), b'a');
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let mut refusals = [const { StatusCode::SERVICE_UNAVAILABLE }; 2].map(response);
        for refusal in &mut refusals {
            observer.observe(refusal);
        }
        let retry_after = refusals.map(|refusal| seconds(&refusal.headers()[header::RETRY_AFTER]));
        assert_eq!(retry_after, [1, 2], "a second each, less the burst");
        assert_eq!(ours.read_u8().await.unwrap(), b'b');
        let then = begun.elapsed();
        assert!(then > Duration::from_secs(1) && then <= Duration::from_secs(2), "{then:?}");
        assert_eq!(ours.read_u8().await.unwrap(), b'c');
        assert_eq!(begun.elapsed(), then, "the connection is held once");
    }
}
