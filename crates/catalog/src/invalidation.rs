//! Ensures that a frontend no longer has a product in its cache: it confirms that, or its lease
//! expires.

use std::time::Duration;

use api::event::{Event, Text};
use api::frontend::{INVALIDATION_PATH, Invalidate, Invalidated};
use api::{HolderId, ProductName};
use serde::de::IgnoredAny;
use service::events::emit;
use service::http::Hedge;
use service::json_client::JsonClient;
use service::mutation::{self, Mutation};
use tokio::time::{Instant, timeout_at};

use crate::account::Offer;
use crate::lease::AffectedHolder;
use crate::metrics::CatalogMetrics;
use crate::visible_offers::SharedOffers;

/// For one attempt. A frontend answers from memory within a millisecond. After this its lease is
/// not renewed until it confirms, so a frontend that cannot be reached delays a change by at most
/// this plus a lease. An attempt whose packet is lost is made again.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(100);

/// The pause between two attempts at the same frontend.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Sends invalidations, and waits until they are effective.
#[derive(Debug)]
pub(crate) struct Invalidator<'a> {
    pub(crate) client: &'a JsonClient,
    pub(crate) visible: &'a SharedOffers,
    pub(crate) metrics: &'a CatalogMetrics,
}

impl Invalidator<'_> {
    /// Returns once the holder has confirmed that it dropped its products of `offers`, or its lease
    /// has expired.
    ///
    /// A holder that does not confirm at once gets no renewal until it does. Otherwise a holder
    /// that can reach the catalog, but cannot be reached, would delay the change forever.
    pub(crate) async fn invalidate(&self, target: AffectedHolder, offers: &[Offer]) {
        let AffectedHolder { holder, address, products } = target;
        let request = request(holder, products, offers);
        let attempt = async || {
            self.metrics.invalidation_attempts.inc();
            self.client
                .hedged(Hedge::QUICK)
                .delete::<_, IgnoredAny>(&address, INVALIDATION_PATH, Some(&request), ATTEMPT_TIMEOUT)
                .await
        };

        let begun = Instant::now();
        let Err(error) = attempt().await else {
            self.metrics.invalidations_confirmed.inc();
            let products = request.products.len();
            emit(Event::Invalidated { address, products, elapsed_us: begun.elapsed().into() });
            return;
        };
        if mutation::active(Mutation::IgnoreLease) {
            return;
        }
        let Some(over) = self.visible.lock().leases().suspend(holder, Instant::now()) else {
            self.metrics.invalidations_expired.inc();
            return;
        };
        emit(Event::InvalidationUnconfirmed { address: address.clone(), error: Text::of(error) });
        // Until it confirms, or gives up its lease.
        let retries = async {
            while attempt().await.is_err() && self.visible.lock().leases().holds(holder, Instant::now()) {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        };
        if timeout_at(over, retries).await.is_ok() {
            self.visible.lock().leases().resume(holder);
            self.metrics.invalidations_confirmed.inc();
        } else {
            emit(Event::InvalidationExpired { address });
            self.metrics.invalidations_expired.inc();
        }
    }
}

fn request(holder: HolderId, products: Vec<ProductName>, offers: &[Offer]) -> Invalidate {
    let version = |name: &ProductName| {
        let offer = offers.iter().find(|offer| offer.product.name == *name);
        offer.expect("only changed products are invalidated").version
    };
    let products = products.into_iter().map(|name| Invalidated { version: version(&name), name }).collect();
    Invalidate { holder, products }
}
