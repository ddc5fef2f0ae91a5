//! The order leader's client of the catalog, which reserves stock, sells it, and puts it back.
//!
//! Each request is repeated unchanged until the catalog has answered it conclusively. No error ends
//! it: a batch without a known answer can be neither placed nor forgotten. A request ends early
//! only at the fence (a newer leader has taken over, so the answer no longer matters), or when the
//! caller drops it because leadership is lost.
//!
//! The catalog recognizes a repeated batch, settlement or fence. So a request that has no answer
//! yet is sent once more beside the first ([`Hedge`]), which makes a lost packet less costly.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::catalog::{BatchReserved, Fence, Fenced, ReserveBatch, Resolve, Settle};
use api::{ApiError, BatchId, ErrorCode, Term};
use discovery::Group;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use service::http::Hedge;
use service::json_client::{CallError, JsonClient, RequestPath};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::data_mismatch::DataMismatch;

/// For one attempt at the catalog's leader. Longer than the longest cache lease (2 s, 0.25 s by
/// default): the catalog answers only when no frontend can serve the old
/// stock any more.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long attempts are made before a missing answer is logged; then they continue.
const ROUND_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause before a refused request is repeated: the catalog is full, or an operator must act.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How long an answer may be outstanding before the other replicas are polled for a new leader, and
/// the interval of later polls. An election takes about this long; an answer that waits for leases
/// may take ten times as long.
const LEADER_POLL_AFTER: Duration = Duration::from_millis(250);

/// For the statuses, which are answered from memory.
const LEADER_POLL_TIMEOUT: Duration = Duration::from_millis(200);

const FENCE_PATH: &str = "/fence";

/// For the statuses, before the catalog counts as unreachable: enough for eight attempts (see
/// [`Hedge::QUICK`]).
const REACHABILITY_TIMEOUT: Duration = Duration::from_millis(250);

/// A newer leader has fenced this one's term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a newer leader has fenced this term")]
pub(crate) struct StaleTerm;

/// Why no stock was reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReserveError {
    #[error(transparent)]
    Stale(#[from] StaleTerm),
    /// The catalog's disks are full, and it has certainly never seen this batch: nothing is
    /// reserved for it, and nothing will be.
    #[error("the catalog's disks are full")]
    DiskFull,
}

/// A client of the catalog group. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct CatalogClient {
    group: Group,
    /// Since when a request has been unanswered.
    pending_since: watch::Sender<Option<Instant>>,
    /// Why the catalog's data and the orders' do not belong together.
    mismatch: watch::Sender<Option<DataMismatch>>,
    /// The last batch that the catalog has answered.
    answered: Arc<Mutex<Option<BatchId>>>,
    accepted_difference: i64,
    attempt_timeout: Duration,
}

impl CatalogClient {
    /// Runs while an answer is outstanding. A catalog leader that is frozen or cut off answers
    /// nothing, and the attempt would last until its timeout. A new leader that a majority follows
    /// is set at once, which abandons the attempt.
    async fn follow_new_leader(&self) -> Infallible {
        loop {
            sleep(LEADER_POLL_AFTER).await;
            if self.group.replicas().len() > 1
                && let Some(leader) = self.group.find_leader(LEADER_POLL_TIMEOUT).await
            {
                self.group.set_leader(leader);
            }
        }
    }

    /// `accepted_difference` is the number of pieces by which the orders may be ahead of the
    /// catalog.
    pub(crate) fn new(catalog: Group, accepted_difference: i64) -> Self {
        Self {
            group: catalog,
            pending_since: watch::Sender::new(None),
            mismatch: watch::Sender::new(None),
            answered: Arc::default(),
            accepted_difference,
            attempt_timeout: ATTEMPT_TIMEOUT,
        }
    }

    /// Why no order can be accepted, if that is so.
    pub(crate) fn mismatch(&self) -> watch::Receiver<Option<DataMismatch>> {
        self.mismatch.subscribe()
    }

    pub(crate) fn accepted_difference(&self) -> i64 {
        self.accepted_difference
    }

    /// From now on no order is accepted.
    pub(crate) fn report_mismatch(&self, mismatch: DataMismatch) {
        self.mismatch.send_if_modified(|now| {
            let changed = now.as_ref() != Some(&mismatch);
            if changed {
                tracing::error!("{mismatch}");
                *now = Some(mismatch);
            }
            changed
        });
    }

    /// The catalog that has answered this fence belongs to the orders.
    pub(crate) fn confirm_match(&self, fenced: &Fenced) {
        *self.answered() = fenced.position.and_then(|position| position.last);
        self.clear_mismatch();
    }

    /// The data belong together again, or this replica does not lead.
    pub(crate) fn clear_mismatch(&self) {
        self.mismatch.send_if_modified(|now| {
            let changed = now.take().is_some();
            if changed {
                tracing::info!(
                    "the catalog's data and the orders' belong together again, or this replica no longer leads"
                );
            }
            changed
        });
    }

    fn answered(&self) -> MutexGuard<'_, Option<BatchId>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when a request has been unanswered; `None` while there is no such request. Any answer
    /// counts.
    pub(crate) fn pending_since(&self) -> watch::Receiver<Option<Instant>> {
        self.pending_since.subscribe()
    }

    /// Whether the catalog's leader can be reached from here right now. Allows more time than a
    /// poll usually has: a packet that is lost twice is no reason to transfer leadership.
    pub(crate) async fn is_reachable(&self) -> bool {
        self.group.find_leader(REACHABILITY_TIMEOUT).await.is_some()
    }

    /// Reserves the stock of a batch.
    ///
    /// A batch that the catalog refuses for lack of disk space is repeated like any other: an
    /// earlier copy may have been carried out, or may still arrive. The refusal is final only if it
    /// answers the one and only request for this batch.
    pub(crate) async fn reserve(&self, batch: &ReserveBatch) -> Result<BatchReserved, ReserveError> {
        let attempts = Arc::new(AtomicUsize::new(0));
        let refused = |refusal: &ApiError| {
            refusal.code == ErrorCode::InsufficientStorage && attempts.load(Ordering::Relaxed) == 1
        };
        let answered = self.call_unless("/reservations", batch, &attempts, refused).await?;
        if answered.is_some() {
            *self.answered() = Some(batch.id);
        }
        answered.ok_or(ReserveError::DiskFull)
    }

    /// Turns reservations of placed batches into sales.
    pub(crate) async fn settle(&self, settle: &Settle) -> Result<(), StaleTerm> {
        self.call("/settlements", settle).await.map(|IgnoredAny| ())
    }

    /// Fences all earlier terms; returns the reservations that they left open.
    pub(crate) async fn fence(&self, term: Term) -> Result<Fenced, StaleTerm> {
        self.call(FENCE_PATH, &Fence { term }).await
    }

    /// Resolves those reservations.
    pub(crate) async fn resolve(&self, resolution: &Resolve) -> Result<(), StaleTerm> {
        self.call("/resolution", resolution).await.map(|IgnoredAny| ())
    }

    async fn call<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &'static str,
        body: &B,
    ) -> Result<T, StaleTerm> {
        let answered = self.call_unless(path, body, &Arc::default(), |_| false).await?;
        Ok(answered.expect("no refusal is final"))
    }

    /// `None` after a refusal that `is_final`. `attempts` counts the requests that were sent.
    async fn call_unless<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &'static str,
        body: &B,
        attempts: &Arc<AtomicUsize>,
        is_final: impl Fn(&ApiError) -> bool,
    ) -> Result<Option<T>, StaleTerm> {
        let pending = PendingRequest(&self.pending_since);
        // A fence asks how far the catalog is; every other request relies on it.
        let after = self.answered().filter(|_| path != FENCE_PATH);
        let full_path = match after {
            Some(BatchId { term, batch }) => Cow::Owned(format!("{path}?term={term}&batch={batch}")),
            None => Cow::Borrowed(path),
        };
        loop {
            pending.begin();
            let deadline = Instant::now() + ROUND_TIMEOUT;
            let post = async |client: JsonClient, address| {
                let client = client.hedged(Hedge::STEADY.counted(Arc::clone(attempts)));
                client.post(&address, RequestPath::filled(path, &full_path), body, self.attempt_timeout).await
            };
            let answered = tokio::select! {
                answered = self.group.call_leader(deadline, post) => answered,
                never = self.follow_new_leader() => match never {},
            };
            match answered {
                Ok(answer) => {
                    if path != FENCE_PATH {
                        self.clear_mismatch();
                    }
                    return Ok(Some(answer));
                }
                Err(CallError::Refused(refusal)) if refusal.code == ErrorCode::StaleTerm => return Err(StaleTerm),
                Err(CallError::Refused(refusal)) if is_final(&refusal) => return Ok(None),
                Err(CallError::Refused(refusal)) if refusal.code == ErrorCode::DataMismatch => {
                    pending.end();
                    self.report_mismatch(DataMismatch::Batch(refusal.message.into_owned()));
                }
                Err(CallError::Refused(refusal)) => {
                    pending.end();
                    tracing::warn!(%refusal, path, "the catalog refused the request; retrying");
                }
                Err(error) => tracing::warn!(%error, path, "the catalog does not answer; retrying"),
            }
            sleep(RETRY_PAUSE).await;
        }
    }
}

/// A request without an answer. It ends when it is dropped, whether the answer arrived or is no
/// longer needed.
struct PendingRequest<'a>(&'a watch::Sender<Option<Instant>>);

impl PendingRequest<'_> {
    /// The time counts from the first request that was not answered.
    fn begin(&self) {
        self.0.send_if_modified(|since| {
            let first = since.is_none();
            since.get_or_insert_with(Instant::now);
            first
        });
    }

    fn end(&self) {
        self.0.send_if_modified(|since| since.take().is_some());
    }
}

impl Drop for PendingRequest<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use api::replica::{ReplicaStatus, Replicas, Role};
    use api::{Address, BatchNumber, NodeId, Ordinal};
    use axum::Router;
    use axum::routing::{get, post};
    use discovery::Leader;
    use service::http::{Limits, Listener, data, serve};
    use service::lifecycle::Task;
    use tokio::net::TcpListener;

    use super::*;

    /// A catalog replica that knows replica 2 as the leader, and its port.
    fn catalog(own: u8) -> (Address, Task) {
        let id = |ordinal| NodeId::new(Ordinal(ordinal), 1);
        let status = ReplicaStatus {
            role: if own == 2 { Role::Leader } else { Role::Follower },
            term: Term(2),
            leader: Some(id(2)),
            voters: (1..=3).map(id).collect(),
            ..ReplicaStatus::empty("catalog", id(own))
        };
        let routes = Router::new()
            .route("/status", get(async move || data(status)))
            .route("/settlements", post(async || data(serde_json::json!({}))));
        let listener = Listener::bind([127, 0, 0, 1].into(), 0).unwrap();
        let address = Address::new("127.0.0.1", listener.address().port());
        (address, serve(listener, routes, Limits::default()))
    }

    #[tokio::test]
    async fn a_frozen_leader_is_left_for_its_successor_before_the_attempt_times_out() {
        // Connections are accepted, and nothing is answered.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let frozen = Address::new("127.0.0.1", silent.local_addr().unwrap().port());
        let ((second, _port_of_second), (third, _port_of_third)) = (catalog(2), catalog(3));
        let replicas = Replicas::from([(Ordinal(1), frozen), (Ordinal(2), second), (Ordinal(3), third)]);
        let group = Group::new("catalog", discovery::static_replicas(replicas), JsonClient::new(None));
        group.set_leader(Leader { ordinal: Ordinal(1), term: Term(1) });
        let hour = Duration::from_hours(1);
        let client = CatalogClient { attempt_timeout: hour, ..CatalogClient::new(group.clone(), 0) };
        let settle = Settle { term: Term(1), through: BatchNumber(1), released: Vec::new() };
        let settled = tokio::time::timeout(Duration::from_mins(1), client.settle(&settle)).await;
        assert_eq!(settled, Ok(Ok(())));
        assert_eq!(group.current_leader(), Some(Leader { ordinal: Ordinal(2), term: Term(2) }));
    }
}
