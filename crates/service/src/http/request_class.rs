//! Fair shares of the processor: no class of requests keeps other requests from being answered.
//!
//! A port answers some requests from memory, such as its metrics or an error. They wait for nothing
//! but the processor. Four hundred clients that send such requests all the time make four hundred
//! tasks that can always run. An order, which switches tasks some ten times on its way, waits for
//! all of them each time. Limiting how many of these requests are *in a handler* would change
//! nothing: a handler is never interrupted, so at any moment there are as many as there are
//! threads.
//!
//! So a request of such a class is admitted first. Of each class, only a few requests are in the
//! runtime's queue at a time, at its end; the others wait outside of it. A request without a class
//! (an order, or an invalidation) finds a short queue, whatever else is requested. Nothing is lost:
//! while there is no other work, one request is admitted right after the other.
//!
//! A request that comes long after the one before it does not queue up: requests so far apart keep
//! nothing from running, and queueing would cost a lone client two more system calls.
//!
//! # Caveats
//! * A request's head is parsed before its class is known. A client sends the next request only
//!   when it has a response, so the limits bound the parsing, too; they do not bound a client that
//!   opens a new connection for each request.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::ErrorCode;
use axum::http::{Method, StatusCode};
use prometheus::{IntCounter, IntGauge};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout};

use super::json_response::ErrorResponse;
use super::limits::cores;
use crate::world;

/// The longest wait for admission. A request that would wait longer is refused: a later response is
/// of little use, and a waiting request occupies a connection.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// The requests of this much time may be admitted at once.
const BURST: Duration = Duration::from_millis(100);

/// Requests of a class that are at least this far apart are admitted without queueing. They take a
/// fifth of one processor at most.
const SPARSE_INTERVAL: Duration = Duration::from_micros(100);

/// How many requests of a class are admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassLimit {
    /// The most requests in the runtime's queue at the same time.
    pub at_once: usize,
    /// The most requests over time.
    pub rate: ClassRate,
}

/// The most requests of a class, per second and core. Limiting the queue shares one process fairly;
/// a rate leaves processor time to the other processes of the machine, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassRate {
    /// As many requests as there is time for.
    Unlimited,
    /// A fixed rate, for requests that no client needs more often.
    AtMost(u32),
    /// A rate divided by the number of [preferred](super::PortMetrics::prefer) requests in flight,
    /// of which at most 64 count. The more orders need the processor, the more of it
    /// they get; beside a single order the rate is never reached.
    BesidePreferred(u32),
}

/// The most preferred requests that lower a rate.
const IN_FLIGHT_MAX: u32 = 64;

/// The number of a port's preferred requests in flight.
#[derive(Clone)]
pub(super) struct Preferred(Arc<dyn Fn() -> u32 + Send + Sync>);

impl Preferred {
    pub(super) fn new(in_flight: impl Fn() -> u32 + Send + Sync + 'static) -> Self {
        Self(Arc::new(in_flight))
    }

    pub(super) fn none() -> Self {
        Self::new(|| 0)
    }

    fn in_flight(&self) -> u32 {
        (self.0)().min(IN_FLIGHT_MAX)
    }
}

impl fmt::Debug for Preferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Preferred").field(&self.in_flight()).finish()
    }
}

/// A class of requests, of which a few at a time are admitted. Clones share the limit.
#[derive(Clone, Debug)]
pub struct RequestClass(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Semaphore,
    rate: Option<RateLimiter>,
    /// The number by which the rate is divided.
    preferred: Preferred,
    metrics: ClassMetrics,
    arrivals: Arrivals,
    /// A simulated world has no processor to share, and its tasks run in an order that a seed
    /// decides.
    simulated: bool,
}

/// When the next request is admitted (the generic cell rate algorithm, as in
/// [`refusal_throttle`](super::refusal_throttle)).
#[derive(Debug)]
struct RateLimiter {
    interval: Duration,
    taken_until: Mutex<Instant>,
}

impl RateLimiter {
    fn new(per_second_and_core: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / (per_second_and_core * cores()),
            taken_until: Mutex::new(Instant::now()),
        }
    }

    /// Waits until a request is admitted that counts as `cost` requests.
    async fn admit(&self, cost: u32) {
        let now = Instant::now();
        let slot = {
            let mut taken_until = self.taken_until.lock().unwrap_or_else(PoisonError::into_inner);
            *taken_until = (*taken_until).max(now.checked_sub(BURST).unwrap_or(now)) + self.interval * cost;
            *taken_until
        };
        if slot > now {
            sleep_until(slot).await;
        }
    }
}

/// When the last request of a class arrived.
#[derive(Debug)]
struct Arrivals {
    started: Instant,
    last_us: AtomicU64,
}

impl Arrivals {
    fn new() -> Self {
        Self { started: Instant::now(), last_us: AtomicU64::new(0) }
    }

    /// Notes that a request arrived now. Returns whether it is far from the one before.
    fn is_sparse(&self) -> bool {
        let now_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let last_us = self.last_us.swap(now_us, Ordering::Relaxed);
        Duration::from_micros(now_us.saturating_sub(last_us)) >= SPARSE_INTERVAL
    }
}

/// The metrics of a class.
#[derive(Clone, Debug)]
pub(super) struct ClassMetrics {
    pub(super) waiting: IntGauge,
    pub(super) refused: IntCounter,
}

impl RequestClass {
    pub(super) fn new(ClassLimit { at_once, rate }: ClassLimit, preferred: &Preferred, metrics: ClassMetrics) -> Self {
        let simulated = world::current().is_some();
        let (limiter, preferred) = match rate {
            ClassRate::Unlimited => (None, Preferred::none()),
            ClassRate::AtMost(rate) => (Some(RateLimiter::new(rate)), Preferred::new(|| 1)),
            ClassRate::BesidePreferred(rate) => (Some(RateLimiter::new(rate)), preferred.clone()),
        };
        let queue = Semaphore::new(at_once);
        Self(Arc::new(Shared { queue, rate: limiter, preferred, metrics, arrivals: Arrivals::new(), simulated }))
    }

    /// Waits until the request is admitted. The work that follows should be short, up to its first
    /// await.
    ///
    /// # Errors
    /// If the request would wait for longer than a second.
    pub async fn admit(&self) -> Result<(), ErrorResponse> {
        if self.0.simulated {
            return Ok(());
        }
        let is_sparse = self.0.arrivals.is_sparse();
        let _permit = match self.0.queue.try_acquire() {
            Ok(permit) => permit,
            Err(_) => self.wait().await?,
        };
        if let Some(rate) = &self.0.rate {
            rate.admit(self.0.preferred.in_flight()).await;
        }
        if !is_sparse {
            // Queue up behind all tasks that can run already.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn wait(&self) -> Result<SemaphorePermit<'_>, ErrorResponse> {
        let _waiting = WaitingGuard::begin(&self.0.metrics.waiting);
        let permit = timeout(WAIT_MAX, self.0.queue.acquire()).await;
        let refused = |_| {
            self.0.metrics.refused.inc();
            ErrorResponse::new(ErrorCode::Overloaded, "too many requests of this class at once")
        };
        Ok(permit.map_err(refused)?.expect("the semaphore is never closed"))
    }
}

/// Counts a waiting request until it is dropped.
struct WaitingGuard<'a>(&'a IntGauge);

impl<'a> WaitingGuard<'a> {
    fn begin(waiting: &'a IntGauge) -> Self {
        waiting.inc();
        Self(waiting)
    }
}

impl Drop for WaitingGuard<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The classes of one port, by route and by response.
#[derive(Clone, Debug)]
pub(super) struct RequestClasses {
    /// By method, if it matters, and route.
    by_route: Vec<(Option<Method>, &'static str, RequestClass)>,
    /// Errors of clients: no such path, no such product, a body that cannot be read.
    client_errors: RequestClass,
}

impl RequestClasses {
    pub(super) fn new(client_errors: RequestClass) -> Self {
        Self { by_route: Vec::new(), client_errors }
    }

    pub(super) fn add(&mut self, method: Option<Method>, route: &'static str, class: RequestClass) {
        self.by_route.push((method, route, class));
    }

    /// The class of a request, if it has one.
    pub(super) fn of_request(&self, method: &Method, route: &str) -> Option<&RequestClass> {
        let is_it = |(its_method, its_route, _): &&(Option<Method>, &str, RequestClass)| {
            // A route that supports GET supports HEAD, too.
            let is_method = |its: &Method| its == method || (its == Method::GET && method == Method::HEAD);
            *its_route == route && its_method.as_ref().is_none_or(is_method)
        };
        self.by_route.iter().find(is_it).map(|(_, _, class)| class)
    }

    /// The class of a response, if it has one. Refusals of orders for lack of stock, or because of
    /// a reused key, have none, like all orders.
    pub(super) fn of_response(&self, status: StatusCode) -> Option<&RequestClass> {
        let is_order = matches!(status, StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY);
        (status.is_client_error() && !is_order).then_some(&self.client_errors)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::FutureExt;

    use super::*;

    fn metrics() -> ClassMetrics {
        ClassMetrics {
            waiting: IntGauge::new("waiting", "help").unwrap(),
            refused: IntCounter::new("refused", "help").unwrap(),
        }
    }

    fn class(at_once: usize, rate: ClassRate) -> RequestClass {
        RequestClass::new(ClassLimit { at_once, rate }, &Preferred::none(), metrics())
    }

    /// All arrive at the same time.
    #[tokio::test(start_paused = true)]
    async fn a_request_without_a_class_waits_for_a_few_of_a_class_and_not_for_all() {
        const FLOOD: usize = 400;
        const AT_ONCE: usize = 4;
        const STEPS: usize = 10;
        let (class, done) = (class(AT_ONCE, ClassRate::Unlimited), Arc::new(Mutex::new(0)));
        for _ in 0..FLOOD {
            let (class, done) = (class.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                class.admit().await.unwrap();
                *done.lock().unwrap() += 1;
            });
        }
        // An order switches tasks: each step waits for the tasks in the queue.
        for _ in 0..STEPS {
            tokio::spawn(async {}).await.unwrap();
        }
        let done = *done.lock().unwrap();
        assert!(done <= STEPS * AT_ONCE, "{done} of {FLOOD} went before an order of {STEPS} steps");
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_request_that_comes_soon_after_another_queues_up() {
        let class = class(1, ClassRate::Unlimited);
        let is_admitted_at_once = || class.admit().now_or_never().is_some();
        for _ in 0..2 {
            tokio::time::advance(SPARSE_INTERVAL).await;
            assert!(is_admitted_at_once());
            assert!(!is_admitted_at_once());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_class_is_admitted_at_its_rate() {
        let class = class(1, ClassRate::AtMost(100));
        let begun = Instant::now();
        for _ in 0..60 * cores() {
            class.admit().await.unwrap();
        }
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(490) && took <= Duration::from_millis(610), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_beside_preferred_requests_falls_with_their_number() {
        let in_flight = Arc::new(AtomicU32::new(0));
        let reported = Arc::clone(&in_flight);
        let preferred = Preferred::new(move || reported.load(Ordering::Relaxed));
        let class =
            RequestClass::new(ClassLimit { at_once: 1, rate: ClassRate::BesidePreferred(1600) }, &preferred, metrics());
        let mut took = Vec::new();
        for now in [0, 1, 16, 1_000_000, 0] {
            in_flight.store(now, Ordering::Relaxed);
            // The burst is unused again.
            tokio::time::advance(BURST).await;
            let begun = Instant::now();
            for _ in 0..60 * cores() {
                class.admit().await.unwrap();
            }
            took.push(begun.elapsed().as_millis());
        }
        // 60 requests at 1/1600, 1/100 and 1/25 s, less the burst.
        assert_eq!([took[0], took[1], took[4]], [0; 3], "{took:?}");
        assert!((490..=610).contains(&took[2]) && (2200..=2410).contains(&took[3]), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_would_wait_too_long_are_refused() {
        let class = class(1, ClassRate::Unlimited);
        let permit = class.0.queue.acquire().await.unwrap();
        let waiting = class.clone();
        let refused = tokio::spawn(async move { waiting.admit().await }).await.unwrap().unwrap_err();
        assert_eq!(refused.0.code, ErrorCode::Overloaded);
        assert_eq!((class.0.metrics.refused.get(), class.0.metrics.waiting.get()), (1, 0));
        drop(permit);
        class.admit().await.unwrap();
    }
}
