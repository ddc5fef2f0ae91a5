//! Admission control: bounds the client requests that are in flight to the services behind the
//! frontend. A request beyond the bound is refused at once, before any work is done for it: it
//! would only wait, and use memory while it waits.
//!
//! Orders, reads and lists have limiters of their own, so that a flood of orders does not keep
//! clients from reading products. A response that this process gives by itself, such as a cached
//! product or an error, needs no permit. The limits follow what the services behind can take
//! ([`adaptive_limit`]).
//!
//! An order takes its permit once its body has arrived, so that a client that sends slowly does not
//! occupy one. While no permit is left, an order is refused before its body is read
//! ([`ConcurrencyLimiter::check`]).

mod adaptive_limit;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::ErrorCode;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use service::http::ErrorResponse;
use service::metrics::registered;
use tokio::time::Instant;

use adaptive_limit::AdaptiveLimit;

/// The lowest limit that the settings allow: the limit is not adapted below it.
pub(crate) const LIMIT_MIN: u32 = adaptive_limit::LIMIT_MIN;

/// The highest limit that the settings allow. Every request in flight holds a connection to another
/// service and a few KiB.
pub(crate) const LIMIT_MAX: u32 = 16_384;

/// The limiters of a frontend.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    /// For `POST /orders`.
    pub(crate) orders: ConcurrencyLimiter,
    /// For products and orders that are read from the services behind.
    pub(crate) reads: ConcurrencyLimiter,
    /// For lists of all products, where many clients wait for one response.
    pub(crate) lists: ConcurrencyLimiter,
}

impl Admission {
    /// `orders_max` and `reads_max` are the highest limits. Registers
    /// `toystore_frontend_in_flight_requests`, `…_concurrency_limit_requests` and
    /// `…_refused_total`.
    pub(crate) fn new(orders_max: u32, reads_max: u32, registry: &Registry) -> Self {
        let gauge = |name, help| registered(registry, IntGaugeVec::new(Opts::new(name, help), &["kind"]));
        let in_flight: IntGaugeVec =
            gauge("toystore_frontend_in_flight_requests", "Requests in flight to the services behind the frontend");
        let limits = gauge("toystore_frontend_concurrency_limit_requests", "How many requests may be in flight");
        let refused = Opts::new(
            "toystore_frontend_refused_total",
            "Requests refused because as many as allowed were already in flight",
        );
        let refused = registered(registry, IntCounterVec::new(refused, &["kind"]));
        let limiter = |kind, max| {
            let limit = AdaptiveLimit::new(max);
            let limit_gauge = limits.with_label_values(&[kind]);
            limit_gauge.set(limit.get().into());
            ConcurrencyLimiter(Arc::new(Shared {
                limit: Mutex::new(limit),
                in_flight_gauge: in_flight.with_label_values(&[kind]),
                limit_gauge,
                refused: refused.with_label_values(&[kind]),
            }))
        };
        Self {
            orders: limiter("order", orders_max),
            reads: limiter("read", reads_max),
            lists: limiter("list", reads_max),
        }
    }
}

/// Limits how many requests of one kind are in flight. Clones share the limit.
#[derive(Clone)]
pub(crate) struct ConcurrencyLimiter(Arc<Shared>);

struct Shared {
    limit: Mutex<AdaptiveLimit>,
    in_flight_gauge: IntGauge,
    limit_gauge: IntGauge,
    refused: IntCounter,
}

impl fmt::Debug for ConcurrencyLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConcurrencyLimiter").field(&*self.0.limit()).finish()
    }
}

impl ConcurrencyLimiter {
    /// Runs `work` with a permit, and adapts the limit to its outcome.
    ///
    /// # Errors
    /// `overloaded` if no permit is left; `work` is not started then. Otherwise the error of
    /// `work`.
    pub(crate) async fn admit<T>(
        &self,
        work: impl Future<Output = Result<T, ErrorResponse>>,
    ) -> Result<T, ErrorResponse> {
        let permit = self.acquire()?;
        let done = work.await;
        permit.record(matches!(&done, Err(ErrorResponse(error)) if error.code == ErrorCode::Overloaded));
        done
    }

    /// Takes a permit.
    ///
    /// # Errors
    /// `overloaded` if none is left.
    pub(crate) fn acquire(&self) -> Result<Permit, ErrorResponse> {
        let mut limit = self.0.limit();
        if !limit.try_acquire() {
            drop(limit);
            return Err(self.refusal());
        }
        self.0.in_flight_gauge.set(limit.in_flight().into());
        drop(limit);
        Ok(Permit { shared: Arc::clone(&self.0), started: Instant::now() })
    }

    /// Checks whether a permit is left, without taking it.
    ///
    /// # Errors
    /// `overloaded` if none is left.
    pub(crate) fn check(&self) -> Result<(), ErrorResponse> {
        let has_capacity = self.0.limit().has_capacity();
        if has_capacity { Ok(()) } else { Err(self.refusal()) }
    }

    /// How many requests are in flight.
    pub(crate) fn in_flight(&self) -> u32 {
        u32::try_from(self.0.in_flight_gauge.get()).unwrap_or(0)
    }

    fn refusal(&self) -> ErrorResponse {
        self.0.refused.inc();
        ErrorResponse::new(ErrorCode::Overloaded, "too many requests are in flight; this one was not started")
    }
}

impl Shared {
    fn limit(&self) -> MutexGuard<'_, AdaptiveLimit> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("limit", &*self.limit()).finish_non_exhaustive()
    }
}

/// Permission for one request to be in flight; returned when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    shared: Arc<Shared>,
    started: Instant,
}

impl Permit {
    /// Adapts the limit to the outcome of the request; `overloaded` says whether a service refused
    /// it for overload. The permit of a request that was cancelled is only dropped: it shows
    /// nothing.
    fn record(self, overloaded: bool) {
        let mut limit = self.shared.limit();
        limit.record(self.started, overloaded, Instant::now());
        self.shared.limit_gauge.set(limit.get().into());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut limit = self.shared.limit();
        limit.release();
        self.shared.in_flight_gauge.set(limit.in_flight().into());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn order_limiter(max: u32) -> ConcurrencyLimiter {
        Admission::new(max, LIMIT_MIN, &Registry::new()).orders
    }

    #[tokio::test]
    async fn a_request_beyond_the_limit_is_refused_until_a_permit_is_returned() {
        let limiter = order_limiter(LIMIT_MIN);
        let mut permits: Vec<_> = (0..LIMIT_MIN).map(|_| limiter.acquire().unwrap()).collect();
        let refused = limiter.admit(async { Ok(()) }).await.unwrap_err();
        assert_eq!(refused.0.code, ErrorCode::Overloaded);
        assert_eq!(limiter.0.refused.get(), 1);
        permits.pop();
        limiter.admit(async { Ok(()) }).await.unwrap();
        assert_eq!(limiter.0.in_flight_gauge.get(), i64::from(LIMIT_MIN) - 1);
    }

    #[tokio::test]
    async fn orders_do_not_take_the_permits_of_reads() {
        let admission = Admission::new(LIMIT_MIN, LIMIT_MIN, &Registry::new());
        let _orders: Vec<_> = (0..LIMIT_MIN).map(|_| admission.orders.acquire().unwrap()).collect();
        assert!(admission.orders.acquire().is_err());
        admission.reads.acquire().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn overload_lowers_the_limit_and_slow_or_cancelled_requests_do_not() {
        let limiter = order_limiter(100);
        let late = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            Ok(())
        };
        limiter.admit(late).await.unwrap();
        let never = limiter.admit::<()>(std::future::pending());
        assert!(tokio::time::timeout(Duration::from_secs(9), never).await.is_err());
        assert_eq!((limiter.0.limit_gauge.get(), limiter.0.in_flight_gauge.get()), (100, 0));
        for expected in [80, i64::from(LIMIT_MIN)] {
            tokio::time::advance(Duration::from_millis(1)).await;
            let full = ErrorResponse::new(ErrorCode::Overloaded, "full");
            limiter.admit::<()>(std::future::ready(Err(full))).await.unwrap_err();
            assert_eq!(limiter.0.limit_gauge.get(), expected);
        }
    }
}
