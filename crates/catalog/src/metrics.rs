//! The metrics of the catalog, `toystore_catalog_…`. Only the leader sets the gauges; a replica
//! that does not lead resets them.

use api::catalog::{BatchReserved, Reservation};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use service::metrics::registered;

use crate::account::Offer;

/// From 0.5 ms (one synced write) to 5 s (the longest that a request waits).
const CHANGE_BUCKETS_S: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// The catalog's metrics. Clones share their counts.
#[derive(Clone, Debug)]
pub(crate) struct CatalogMetrics {
    stock_pieces: IntGaugeVec,
    reservations_open: IntGauge,
    reserved: IntCounter,
    out_of_stock: IntCounter,
    no_such_product: IntCounter,
    pub(crate) restocks: IntCounter,
    leases_held: IntGauge,
    pub(crate) invalidation_attempts: IntCounter,
    pub(crate) invalidations_confirmed: IntCounter,
    pub(crate) invalidations_expired: IntCounter,
    pub(crate) change_seconds: Histogram,
}

impl CatalogMetrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let counter = |name, help| registered(registry, IntCounter::new(name, help));
        let gauge = |name, help| registered(registry, IntGauge::new(name, help));
        let change = HistogramOpts::new(
            "toystore_catalog_change_duration_seconds",
            "Time from starting a change until it is durable and no cache is stale",
        );
        let invalidations = Opts::new(
            "toystore_catalog_invalidations_total",
            "Completed invalidations: confirmed by the holder, or ended by the expiry of its lease",
        );
        let invalidations = registered(registry, IntCounterVec::new(invalidations, &["outcome"]));
        let reservations =
            Opts::new("toystore_catalog_reservations_total", "Orders for which stock was requested, by outcome");
        let reservations = registered(registry, IntCounterVec::new(reservations, &["outcome"]));
        Self {
            // One series per product: at most `PRODUCTS_MAX`.
            stock_pieces: registered(
                registry,
                IntGaugeVec::new(Opts::new("toystore_catalog_stock_pieces", "Pieces in stock"), &["product"]),
            ),
            reservations_open: gauge(
                "toystore_catalog_reservations_open_orders",
                "Orders whose stock is neither sold nor released",
            ),
            reserved: reservations.with_label_values(&["reserved"]),
            out_of_stock: reservations.with_label_values(&["out_of_stock"]),
            no_such_product: reservations.with_label_values(&["no_such_product"]),
            restocks: counter("toystore_catalog_restocks_total", "Restocks of sold-out products"),
            leases_held: gauge("toystore_catalog_leases_held_frontends", "Frontends that may serve from their caches"),
            invalidation_attempts: counter(
                "toystore_catalog_invalidation_attempts_total",
                "Invalidation requests sent to frontends",
            ),
            invalidations_confirmed: invalidations.with_label_values(&["confirmed"]),
            invalidations_expired: invalidations.with_label_values(&["expired"]),
            change_seconds: registered(registry, Histogram::with_opts(change.buckets(CHANGE_BUCKETS_S.to_vec()))),
        }
    }

    pub(crate) fn stock<'a>(&self, offers: impl IntoIterator<Item = &'a Offer>) {
        for Offer { product, .. } in offers {
            let pieces = i64::try_from(product.quantity.0).unwrap_or(i64::MAX);
            self.stock_pieces.with_label_values(&[product.name.as_str()]).set(pieces);
        }
    }

    pub(crate) fn reservations_open(&self, orders: usize) {
        self.reservations_open.set(gauge(orders));
    }

    pub(crate) fn leases_held(&self, holders: usize) {
        self.leases_held.set(gauge(holders));
    }

    pub(crate) fn reserved(&self, answer: &BatchReserved) {
        for outcome in &answer.outcomes {
            let orders = match outcome {
                Reservation::Reserved => &self.reserved,
                Reservation::OutOfStock => &self.out_of_stock,
                Reservation::NoSuchProduct => &self.no_such_product,
            };
            orders.inc();
        }
    }

    /// Resets the gauges: another replica reports them from now on.
    pub(crate) fn clear(&self) {
        self.stock_pieces.reset();
        self.reservations_open.set(0);
        self.leases_held.set(0);
    }
}

fn gauge(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
