//! Keeping the catalog's lease, without which nothing may be served from the cache.
//!
//! Each request for the lease carries this process's [`HolderId`] and where its invalidations go. What is granted counts from *before*
//! that request was sent, by this process's monotonic clock: the catalog counts from when it received it, which is later. It is
//! renewed after a third of its time, so that two renewals may fail before it runs out.
//!
//! A restarted frontend is another holder with an empty cache; the lease of its predecessor runs out by itself.

use std::time::Duration;

use api::catalog::{LeaseGranted, LeaseRequest};
use api::{Address, HolderId};
use discovery::Group;
use service::call::{CallError, Route};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::cache::SharedCache;

/// For one request: a lease lasts about a second, and an answer that takes longer than this is hardly worth having.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(400);
/// For one lease, whoever leads the catalog. Past it the cache is told that its lease has run out.
const RENEWAL_DEADLINE: Duration = Duration::from_secs(1);
/// After a failure; the requests themselves have waited for a leader with a back-off of their own.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// No catalog is asked more often than that, however short its leases are.
const RENEWAL_MIN: Duration = Duration::from_millis(20);
/// Longer leases are cut to this: a change would wait that long for a frontend that is gone.
const LEASE_MAX: Duration = Duration::from_mins(1);
/// Giving the lease back is a courtesy to the next change; it must not hold up the end.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(300);

/// Holds the lease for the cache.
#[derive(Clone, Debug)]
pub(crate) struct LeaseKeeper {
    /// The catalog.
    pub(crate) catalog: Group,
    /// Whose answers the lease allows to be served.
    pub(crate) cache: SharedCache,
    /// This process.
    pub(crate) holder: HolderId,
    /// Its `FRONT_PORT`, as the catalog can reach it.
    pub(crate) address: Address,
}

impl LeaseKeeper {
    /// Renews the lease until `stop`; then ends it and gives it back.
    pub(crate) async fn keep(self, stop: CancellationToken) {
        let mut held = None;
        loop {
            let renewal = tokio::select! {
                () = stop.cancelled() => break,
                renewal = self.renew() => renewal,
            };
            let pause = match &renewal {
                Ok((sent, duration)) => (*duration / 3).max(RENEWAL_MIN).saturating_sub(sent.elapsed()),
                Err(_) => RETRY_AFTER,
            };
            report(&mut held, renewal.map(|_| ()));
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(pause) => {}
            }
        }
        self.release().await;
    }

    /// One lease: when its request was sent, and how long from then it lasts.
    async fn renew(&self) -> Result<(Instant, Duration), CallError> {
        let request = LeaseRequest { holder: self.holder, address: self.address.clone() };
        let deadline = Instant::now() + RENEWAL_DEADLINE;
        let granted = self.catalog.ask_leader(deadline, async |caller, catalog| {
            let sent = Instant::now();
            let granted: LeaseGranted = caller.post(&catalog, "/leases", &request, REQUEST_TIMEOUT).await?;
            Ok((sent, granted))
        });
        let (sent, granted) = granted.await.inspect_err(|_| self.cache.expire())?;
        let duration = Duration::from_millis(granted.duration_ms).min(LEASE_MAX);
        self.cache.grant(granted.term, sent + duration);
        Ok((sent, duration))
    }

    async fn release(&self) {
        self.cache.end_lease();
        let deadline = Instant::now() + RELEASE_TIMEOUT;
        let released = self.catalog.ask_leader(deadline, async |caller, catalog| {
            let path = format!("/leases/{}", self.holder);
            caller
                .delete::<(), serde::de::IgnoredAny>(
                    &catalog,
                    Route::filled("/leases/{holder}", &path),
                    None,
                    RELEASE_TIMEOUT,
                )
                .await
        });
        if let Err(error) = released.await {
            tracing::debug!(%error, "the lease was not given back and will run out by itself");
        }
    }
}

/// Tells when the lease comes and goes, not each renewal.
fn report(held: &mut Option<bool>, renewal: Result<(), CallError>) {
    let now = renewal.is_ok();
    if held.replace(now) == Some(now) {
        return;
    }
    match renewal {
        Ok(()) => tracing::info!("the catalog has granted the cache's lease"),
        Err(error) => tracing::warn!(%error, "no lease from the catalog: products are fetched, not cached"),
    }
}
