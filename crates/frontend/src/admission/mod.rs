//! How many shoppers' requests are on their way to the services behind at once. Past that a request is refused at once, with nothing
//! begun: it would only wait, and hold memory while it waits.
//!
//! Orders and reads have places of their own, so that a flood of orders does not keep anyone from looking. What this process
//! answers by itself, a cached product or a mistake, needs no place. How many places there are follows what the services take ([`limit`]).
//!
//! An order takes its place when its body is there: a client that sends slowly keeps nobody out. When all places are taken, its
//! head is enough for a refusal ([`turn_away`]); the body is not waited for.

mod limit;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::ErrorCode;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use service::http::Failure;
use service::metrics::registered;
use tokio::time::Instant;

use limit::Limit;

/// The least that the settings allow: below it nothing adapts.
pub(crate) const PLACES_MIN: u32 = limit::FLOOR;

/// The most. Each holds a connection to another service and a few KiB.
pub(crate) const PLACES_MAX: u32 = 16_384;

/// The places for one sort of request. Clones are the same places.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Shared>);

struct Shared {
    limit: Mutex<Limit>,
    in_flight: IntGauge,
    places: IntGauge,
    refused: IntCounter,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&*self.0.limit()).finish()
    }
}

/// The two gates.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    /// For `POST /orders`.
    pub(crate) orders: Gate,
    /// For what is read from the catalog or the order service.
    pub(crate) reads: Gate,
}

impl Admission {
    /// With so many places at most. Registers `toystore_frontend_in_flight_requests`, `…_places_requests` and `…_turned_away_total`.
    pub(crate) fn new(orders_max: u32, reads_max: u32, registry: &Registry) -> Self {
        let gauge = |name, help| registered(registry, IntGaugeVec::new(Opts::new(name, help), &["kind"]));
        let in_flight: IntGaugeVec =
            gauge("toystore_frontend_in_flight_requests", "Requests on their way to the services behind");
        let places = gauge("toystore_frontend_places_requests", "How many may be on their way at once");
        let refused =
            Opts::new("toystore_frontend_turned_away_total", "Requests refused because all places were taken");
        let refused = registered(registry, IntCounterVec::new(refused, &["kind"]));
        let kind = |kind, max| {
            let limit = Limit::new(max);
            let places = places.with_label_values(&[kind]);
            places.set(limit.get().into());
            Gate(Arc::new(Shared {
                limit: Mutex::new(limit),
                in_flight: in_flight.with_label_values(&[kind]),
                places,
                refused: refused.with_label_values(&[kind]),
            }))
        };
        Self { orders: kind("order", orders_max), reads: kind("read", reads_max) }
    }
}

impl Gate {
    /// A place, or the refusal.
    pub(crate) fn enter(&self) -> Result<Place, Failure> {
        let mut limit = self.0.limit();
        if !limit.enter() {
            drop(limit);
            return Err(self.refusal());
        }
        self.0.in_flight.set(limit.in_flight().into());
        drop(limit);
        Ok(Place { shared: Arc::clone(&self.0), begun: Instant::now() })
    }

    /// The refusal while there is no place; nothing is taken.
    pub(crate) fn look(&self) -> Result<(), Failure> {
        let has_room = self.0.limit().has_room();
        if has_room { Ok(()) } else { Err(self.refusal()) }
    }

    /// Runs `work` in a place, and learns from its answer.
    pub(crate) async fn admit<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let place = self.enter()?;
        let done = work.await;
        place.answered(matches!(&done, Err(Failure(error)) if error.code == ErrorCode::Overloaded));
        done
    }

    fn refusal(&self) -> Failure {
        self.0.refused.inc();
        Failure::new(ErrorCode::Overloaded, "too many requests at once; nothing was begun")
    }
}

impl Shared {
    fn limit(&self) -> MutexGuard<'_, Limit> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    shared: Arc<Shared>,
    begun: Instant,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("limit", &*self.limit()).finish_non_exhaustive()
    }
}

impl Place {
    /// The request is answered; `overloaded` if the service behind had too much to do. A request that was given up teaches nothing: it is just dropped.
    fn answered(self, overloaded: bool) {
        let mut limit = self.shared.limit();
        limit.answered(self.begun, overloaded, Instant::now());
        self.shared.places.set(limit.get().into());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut limit = self.shared.limit();
        limit.leave();
        self.shared.in_flight.set(limit.in_flight().into());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn orders(places: u32) -> Gate {
        Admission::new(places, PLACES_MIN, &Registry::new()).orders
    }

    #[tokio::test]
    async fn one_more_than_fits_is_refused_at_once_and_a_place_is_given_back() {
        let gate = orders(PLACES_MIN);
        let mut places: Vec<_> = (0..PLACES_MIN).map(|_| gate.enter().unwrap()).collect();
        let refused = gate.admit(async { Ok(()) }).await.unwrap_err();
        assert_eq!(refused.0.code, ErrorCode::Overloaded);
        assert_eq!(gate.0.refused.get(), 1);
        places.pop();
        gate.admit(async { Ok(()) }).await.unwrap();
        assert_eq!(gate.0.in_flight.get(), i64::from(PLACES_MIN) - 1);
    }

    #[tokio::test]
    async fn orders_do_not_take_the_places_of_reads() {
        let admission = Admission::new(PLACES_MIN, PLACES_MIN, &Registry::new());
        let _orders: Vec<_> = (0..PLACES_MIN).map(|_| admission.orders.enter().unwrap()).collect();
        assert!(admission.orders.enter().is_err());
        admission.reads.enter().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_told_of_overload_makes_less_room_and_who_is_late_or_given_up_does_not() {
        let gate = orders(100);
        let late = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            Ok(())
        };
        gate.admit(late).await.unwrap();
        let never = gate.admit::<()>(std::future::pending());
        assert!(tokio::time::timeout(Duration::from_secs(9), never).await.is_err());
        assert_eq!((gate.0.places.get(), gate.0.in_flight.get()), (100, 0));
        for places in [80, i64::from(PLACES_MIN)] {
            tokio::time::advance(Duration::from_millis(1)).await;
            let full = Failure::new(ErrorCode::Overloaded, "full");
            gate.admit::<()>(std::future::ready(Err(full))).await.unwrap_err();
            assert_eq!(gate.0.places.get(), places);
        }
    }
}
