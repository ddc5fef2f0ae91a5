//! What shoppers observe: errors and latencies.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::ErrorCode;
use hdrhistogram::Histogram;
use serde::Serialize;
use workload::{ClientObserver, Latency, RequestKind, StoreClientError};

/// The highest latency that is recorded exactly, in microseconds: ten minutes.
const LATENCY_US_MAX: u64 = 600_000_000;

/// The number of errors by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ErrorCounts {
    /// Error responses of a frontend, and responses that did not arrive within 6 s, by request and
    /// status.
    #[serde(rename = "errors")]
    pub by_kind: BTreeMap<String, u64>,
    /// Connections to a frontend that broke or were refused, as happens when it is killed. Shoppers
    /// continue with the next frontend.
    pub connection_errors: u64,
}

impl ErrorCounts {
    /// The errors since `before`.
    #[must_use]
    pub(crate) fn since(&self, before: &Self) -> Self {
        let new = |(what, count): (&String, &u64)| {
            let new = count - before.by_kind.get(what).copied().unwrap_or(0);
            (new > 0).then(|| (what.clone(), new))
        };
        Self {
            by_kind: self.by_kind.iter().filter_map(new).collect(),
            connection_errors: self.connection_errors - before.connection_errors,
        }
    }

    /// Adds the errors of `other`.
    pub(crate) fn add(&mut self, other: &Self) {
        for (what, count) in &other.by_kind {
            *self.by_kind.entry(what.clone()).or_default() += count;
        }
        self.connection_errors += other.connection_errors;
    }

    /// The number of errors other than connection errors.
    pub(crate) fn total(&self) -> u64 {
        self.by_kind.values().sum()
    }
}

/// Collects the observations of all shoppers.
#[derive(Debug)]
pub(super) struct Observations(Mutex<(ErrorCounts, Histogram<u64>)>);

impl ClientObserver for Observations {
    fn attempt_failed(&self, kind: RequestKind, error: &StoreClientError) {
        let what = match error {
            StoreClientError::Unreachable(_) | StoreClientError::ConnectionLost(_) => {
                self.lock().0.connection_errors += 1;
                return;
            }
            // The drill reuses keys on purpose.
            StoreClientError::Refused(error) if error.code == ErrorCode::IdempotencyKeyReused => return,
            StoreClientError::Timeout(_) => "no answer".to_owned(),
            StoreClientError::Unavailable { status, .. } => status.to_string(),
            StoreClientError::Refused(error) => format!("{} {}", error.code.status().as_u16(), error.code.as_str()),
            StoreClientError::InvalidResponse(what) => format!("invalid response ({what})"),
        };
        let request = match kind {
            RequestKind::Query => "product read",
            RequestKind::Order | RequestKind::Repeat => "order",
            RequestKind::Check => "order read",
        };
        tracing::debug!(request, %error, "a shopper got an error");
        *self.lock().0.by_kind.entry(format!("{request}: {what}")).or_default() += 1;
    }
}

impl Observations {
    pub(super) fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are valid");
        Self(Mutex::new((ErrorCounts::default(), latency)))
    }

    /// Records an acknowledged order and its latency since the first attempt.
    pub(super) fn placed(&self, latency: Duration) {
        self.lock().1.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn errors(&self) -> ErrorCounts {
        self.lock().0.clone()
    }

    pub(super) fn latency(&self) -> Latency {
        Latency::of(&self.lock().1)
    }

    fn lock(&self) -> MutexGuard<'_, (ErrorCounts, Histogram<u64>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_kind_and_broken_connections_separately() {
        let observations = Observations::new();
        let unavailable = StoreClientError::Unavailable { status: 503, code: None, what: "busy".into() };
        observations.attempt_failed(RequestKind::Order, &unavailable);
        let before = observations.errors();
        observations.attempt_failed(RequestKind::Repeat, &unavailable);
        observations.attempt_failed(RequestKind::Order, &StoreClientError::ConnectionLost("reset".into()));
        observations.attempt_failed(RequestKind::Query, &StoreClientError::Timeout(Duration::from_secs(6)));
        let since = observations.errors().since(&before);
        let errors = [("order: 503".to_owned(), 1), ("product read: no answer".to_owned(), 1)];
        assert_eq!(since, ErrorCounts { by_kind: errors.into(), connection_errors: 1 });
        let mut all = before;
        all.add(&since);
        assert_eq!(all, observations.errors());
        assert_eq!(all.total(), 3);
    }
}
