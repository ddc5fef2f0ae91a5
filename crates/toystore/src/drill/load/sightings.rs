//! What shoppers had to put up with: errors, and waiting.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::ErrorCode;
use client::{Latency, StoreError};
use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest latency that is told apart, in microseconds: ten minutes.
const LATENCY_US_MAX: u64 = 600_000_000;

/// Errors, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Final answers of a frontend that were errors, and answers that did not come within 6 s: by request and status.
    pub errors: BTreeMap<String, u64>,
    /// Connections to a frontend that broke or were refused, as they are when it is killed. Shoppers go on with the next one.
    pub connection_errors: u64,
}

impl Seen {
    /// What has been seen since `before`.
    #[must_use]
    pub(in crate::drill) fn since(&self, before: &Self) -> Self {
        let new = |(what, count): (&String, &u64)| {
            let new = count - before.errors.get(what).copied().unwrap_or(0);
            (new > 0).then(|| (what.clone(), new))
        };
        Self {
            errors: self.errors.iter().filter_map(new).collect(),
            connection_errors: self.connection_errors - before.connection_errors,
        }
    }

    /// What both have seen.
    pub(in crate::drill) fn add(&mut self, other: &Self) {
        for (what, count) in &other.errors {
            *self.errors.entry(what.clone()).or_default() += count;
        }
        self.connection_errors += other.connection_errors;
    }

    /// All errors that are answers.
    pub(in crate::drill) fn total(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// Collects what all shoppers see.
pub(super) struct Sightings(Mutex<(Seen, Histogram<u64>)>);

impl Sightings {
    pub(super) fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are valid");
        Self(Mutex::new((Seen::default(), latency)))
    }

    /// An order was acknowledged that long after its first attempt.
    pub(super) fn placed(&self, latency: Duration) {
        self.lock().1.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// An answer came, or did not.
    pub(super) fn answer<T>(&self, request: &str, answer: &Result<T, StoreError>) {
        let Err(error) = answer else { return };
        let what = match error {
            StoreError::Unreachable(_) | StoreError::Broken(_) => {
                self.lock().0.connection_errors += 1;
                return;
            }
            // The drill misuses keys on purpose.
            StoreError::Refused(error) if error.code == ErrorCode::IdempotencyKeyReused => return,
            StoreError::Silent(_) => "no answer".to_owned(),
            StoreError::Failing { status, .. } => status.to_string(),
            StoreError::Refused(error) => format!("{} {}", error.code.status().as_u16(), error.code.as_str()),
            StoreError::Nonsense(what) => format!("nonsense ({what})"),
        };
        tracing::debug!(request, %error, "a shopper saw an error");
        *self.lock().0.errors.entry(format!("{request}: {what}")).or_default() += 1;
    }

    pub(super) fn seen(&self) -> Seen {
        self.lock().0.clone()
    }

    pub(super) fn latency(&self) -> Latency {
        let histogram = &self.lock().1;
        Latency {
            p50_us: histogram.value_at_quantile(0.5),
            p90_us: histogram.value_at_quantile(0.9),
            p99_us: histogram.value_at_quantile(0.99),
            max_us: histogram.max(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, (Seen, Histogram<u64>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_kind_and_broken_connections_apart() {
        let sightings = Sightings::new();
        let unavailable = || Err::<(), _>(StoreError::Failing { status: 503, what: "busy".into() });
        sightings.answer("order", &unavailable());
        let before = sightings.seen();
        sightings.answer("order", &unavailable());
        sightings.answer("order", &Ok(()));
        sightings.answer("order", &Err::<(), _>(StoreError::Broken("reset".into())));
        sightings.answer("product", &Err::<(), _>(StoreError::Silent(Duration::from_secs(6))));
        let since = sightings.seen().since(&before);
        let errors = [("order: 503".to_owned(), 1), ("product: no answer".to_owned(), 1)];
        assert_eq!(since, Seen { errors: errors.into(), connection_errors: 1 });
        let mut all = before;
        all.add(&since);
        assert_eq!(all, sightings.seen());
        assert_eq!(all.total(), 3);
    }
}
