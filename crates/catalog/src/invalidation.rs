//! Making sure that a frontend has a product in its cache no more: it says so, or its lease is over.

use std::time::Duration;

use api::frontend::{Invalidate, Invalidated};
use api::{HolderId, ProductName};
use serde::de::IgnoredAny;
use service::call::Caller;
use service::mutation::{self, Mutation};
use tokio::time::{Instant, timeout_at};

use crate::account::Offer;
use crate::lease::Audience;
use crate::metrics::CatalogMetrics;
use crate::window::SharedWindow;

const PATH: &str = "/cache";

/// For one attempt: a frontend answers from memory within a millisecond, and a lost packet is sent again after 200 ms. One that is paused
/// costs its whole lease anyway.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(250);

/// Between two attempts at the same frontend.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Sends invalidations, and knows when they count.
#[derive(Debug)]
pub(crate) struct Invalidator<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) window: &'a SharedWindow,
    pub(crate) metrics: &'a CatalogMetrics,
}

impl Invalidator<'_> {
    /// Returns when the holder has confirmed that it forgot its products of `offers`, or its lease is over.
    ///
    /// A holder that does not confirm at once gets no renewal until it does: else one that can reach us, but cannot be reached,
    /// would hold up the change for ever.
    pub(crate) async fn invalidate(&self, audience: Audience, offers: &[Offer]) {
        let Audience { holder, address, products } = audience;
        let request = request(holder, products, offers);
        let attempt = async || {
            self.metrics.invalidation_attempts.inc();
            self.caller.delete::<_, IgnoredAny>(&address, PATH, Some(&request), ATTEMPT_TIMEOUT).await
        };

        let Err(error) = attempt().await else {
            self.metrics.invalidations_confirmed.inc();
            return;
        };
        if mutation::active(Mutation::IgnoreLease) {
            return;
        }
        let Some(over) = self.window.lock().leases().suspend(holder, Instant::now()) else {
            self.metrics.invalidations_expired.inc();
            return;
        };
        tracing::warn!(%holder, %address, %error, "a frontend does not confirm an invalidation: its lease is not renewed");
        // Until it confirms, or gives its lease back.
        let retries = async {
            while attempt().await.is_err() && self.window.lock().leases().holds(holder, Instant::now()) {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        };
        if timeout_at(over, retries).await.is_ok() {
            self.window.lock().leases().resume(holder);
            self.metrics.invalidations_confirmed.inc();
        } else {
            tracing::warn!(%holder, %address, "a frontend was not told of a change; its lease is over");
            self.metrics.invalidations_expired.inc();
        }
    }
}

fn request(holder: HolderId, products: Vec<ProductName>, offers: &[Offer]) -> Invalidate {
    let version = |name: &ProductName| {
        let offer = offers.iter().find(|offer| offer.product.name == *name);
        offer.expect("an audience is told of what changes").version
    };
    let products = products.into_iter().map(|name| Invalidated { version: version(&name), name }).collect();
    Invalidate { holder, products }
}
