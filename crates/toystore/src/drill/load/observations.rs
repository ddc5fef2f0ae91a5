//! What shoppers observe: errors and latencies.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::ErrorCode;
use serde::Serialize;
use workload::{
    ClientObserver, Latency, LatencyHistograms, RequestKind, RequestOutcome, RequestTiming, StoreClientError,
};

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
#[derive(Debug, Default)]
pub(super) struct Observations(Mutex<(ErrorCounts, LatencyHistograms)>);

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

    fn ended(
        &self,
        kind: RequestKind,
        _attempts: u32,
        latency: Duration,
        result: Result<RequestOutcome, &StoreClientError>,
    ) {
        if (kind, result) == (RequestKind::Order, Ok(RequestOutcome::Done)) {
            self.lock().1.record(RequestTiming::since_sent(latency));
        }
    }
}

impl Observations {
    pub(super) fn errors(&self) -> ErrorCounts {
        self.lock().0.clone()
    }

    /// How long acknowledged orders have taken, from the first attempt.
    pub(super) fn latency(&self) -> Latency {
        self.lock().1.since_due()
    }

    fn lock(&self) -> MutexGuard<'_, (ErrorCounts, LatencyHistograms)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_kind_and_broken_connections_separately() {
        let observations = Observations::default();
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

    #[test]
    fn only_acknowledged_orders_have_a_latency() {
        let (observations, ms) = (Observations::default(), Duration::from_millis);
        observations.ended(RequestKind::Order, 3, ms(50), Ok(RequestOutcome::Done));
        observations.ended(RequestKind::Order, 1, ms(900), Ok(RequestOutcome::SoldOut));
        observations.ended(RequestKind::Check, 1, ms(900), Ok(RequestOutcome::Done));
        assert!((50_000..50_100).contains(&observations.latency().max_us), "{:?}", observations.latency());
    }
}
