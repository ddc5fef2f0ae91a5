//! Keeps the lease from the catalog without which nothing may be served from the cache.
//!
//! Each request for the lease carries this process's [`HolderId`], and the address to which
//! invalidations are sent. The lease counts from *before* the request was sent, by this process's
//! monotonic clock. The catalog counts from when it received the request, which is later. The lease
//! is renewed after a third of its duration, so that two renewals may fail before it expires.
//!
//! A restarted frontend is another holder with an empty cache; the lease of the earlier process
//! expires.

use std::time::Duration;

use api::catalog::{LeaseGranted, LeaseRequest};
use api::event::{Event, Text};
use api::{Address, HolderId};
use discovery::Group;
use service::events::emit;
use service::http::Hedge;
use service::json_client::{CallError, RequestPath};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::cache::SharedCache;

/// Timeout of one request: a default lease. A later response would grant none of it.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(250);
/// Deadline of one renewal, over all attempts. A renewal that misses it has failed; a default lease
/// is over by then.
const RENEWAL_DEADLINE: Duration = Duration::from_millis(300);
/// Delay after a failed renewal. The attempts of the renewal have a back-off of their own.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// The shortest time between two renewals, however short the leases are.
const RENEWAL_MIN: Duration = Duration::from_millis(20);
/// A longer lease is cut to this: a change of a product waits that long for a frontend that is
/// gone.
const LEASE_MAX: Duration = Duration::from_mins(1);
/// Timeout for releasing the lease, which spares the next change a wait but must not delay
/// shutdown.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(300);

/// Keeps the cache's lease.
#[derive(Clone, Debug)]
pub(crate) struct LeaseKeeper {
    /// The catalog, which grants the lease.
    pub(crate) catalog: Group,
    /// The cache that the lease is for.
    pub(crate) cache: SharedCache,
    /// The holder of the lease: this process.
    pub(crate) holder: HolderId,
    /// Address at which the catalog reaches this process's internal port.
    pub(crate) address: Address,
}

impl LeaseKeeper {
    /// Renews the lease until `stop`, then releases it.
    pub(crate) async fn run(self, stop: CancellationToken) {
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

    /// Renews the lease once. Returns when the request was sent, and how long the lease lasts from
    /// then.
    async fn renew(&self) -> Result<(Instant, Duration), CallError> {
        let request = LeaseRequest { holder: self.holder, address: self.address.clone() };
        let deadline = Instant::now() + RENEWAL_DEADLINE;
        let granted = self.catalog.call_leader(deadline, async |client, catalog| {
            let sent = Instant::now();
            let client = client.hedged(Hedge::QUICK);
            let granted: LeaseGranted = client.post(&catalog, "/leases", &request, REQUEST_TIMEOUT).await?;
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
        let released = self.catalog.call_leader(deadline, async |client, catalog| {
            let path = format!("/leases/{}", self.holder);
            client
                .delete::<(), serde::de::IgnoredAny>(
                    &catalog,
                    RequestPath::filled("/leases/{holder}", &path),
                    None,
                    RELEASE_TIMEOUT,
                )
                .await
        });
        if let Err(error) = released.await {
            tracing::debug!(%error, "could not release the cache's lease; it will expire");
        }
    }
}

/// Logs when the lease is gained or lost, but not each renewal.
fn report(held: &mut Option<bool>, renewal: Result<(), CallError>) {
    let is_held = renewal.is_ok();
    if held.replace(is_held) == Some(is_held) {
        return;
    }
    match renewal {
        Ok(()) => emit(Event::LeaseHeld {}),
        Err(error) => emit(Event::LeaseLost { error: Text::of(error) }),
    }
}
