//! The cache as requests share it: one short lock, the clock, and the counts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::frontend::{CacheContents, Invalidated};
use api::{Product, ProductName, ProductVersion, Term};
use bytes::Bytes;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use service::metrics::registered;
use tokio::time::Instant;

use super::{Cache, Fill, Ticket};

/// A [`Cache`] behind a lock. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SharedCache {
    cache: Arc<Mutex<Cache>>,
    metrics: Metrics,
}

impl SharedCache {
    /// A cache for `capacity` products; 0 switches it off. Registers `toystore_cache_*`.
    pub fn new(capacity: usize, registry: &Registry) -> Self {
        let metrics = Metrics::new(registry);
        metrics.capacity.set(gauge(capacity));
        Self { cache: Arc::new(Mutex::new(Cache::new(capacity))), metrics }
    }

    /// The answer for the product, if it may be served now. Who goes on to fetch it calls [`Self::missed`].
    pub fn hit(&self, name: &str) -> Option<Bytes> {
        let answer = {
            let mut cache = self.lock();
            // Under the lock: no invalidation comes between the clock and the answer.
            cache.hit(name, Instant::now())
        };
        if answer.is_some() {
            self.metrics.hits.inc();
        }
        answer
    }

    /// A product is to be answered for that was no hit.
    pub fn missed(&self) {
        self.metrics.misses.inc();
    }

    /// See [`Cache::begin_fetch`].
    pub fn begin_fetch(&self) -> Ticket {
        self.lock().begin_fetch()
    }

    /// See [`Cache::fill`].
    pub fn fill(&self, ticket: Ticket, product: Product, version: ProductVersion, body: Bytes) -> Fill {
        let mut cache = self.lock();
        let fill = cache.fill(ticket, product, version, body, Instant::now());
        self.metrics.products.set(gauge(cache.len()));
        match fill {
            Fill::Kept { evicted: true } => self.metrics.evictions.inc(),
            Fill::Kept { evicted: false } => {}
            Fill::Refused => self.metrics.refused_fills.inc(),
        }
        fill
    }

    /// Forgets products that are about to change.
    pub fn invalidate(&self, products: &[Invalidated]) {
        let mut cache = self.lock();
        for product in products {
            cache.invalidate(product);
        }
        self.metrics.invalidations.inc_by(products.len() as u64);
        self.metrics.products.set(gauge(cache.len()));
    }

    /// Forgets one product, whatever its version.
    pub fn remove(&self, name: &ProductName) {
        let mut cache = self.lock();
        cache.remove(name);
        self.metrics.invalidations.inc();
        self.metrics.products.set(gauge(cache.len()));
    }

    /// See [`Cache::grant`].
    pub fn grant(&self, term: Term, valid_until: Instant) {
        self.metrics.renewed.inc();
        self.change_lease(|cache, now| cache.grant(term, valid_until, now));
    }

    /// The lease was not renewed. See [`Cache::expire`].
    pub fn expire(&self) {
        self.metrics.not_renewed.inc();
        self.change_lease(Cache::expire);
    }

    /// See [`Cache::end_lease`].
    pub fn end_lease(&self) {
        self.change_lease(|cache, _| cache.end_lease());
    }

    fn change_lease(&self, change: impl FnOnce(&mut Cache, Instant)) {
        let mut cache = self.lock();
        let now = Instant::now();
        change(&mut cache, now);
        self.metrics.lease_valid.set(cache.lease_valid(now).into());
        self.metrics.products.set(gauge(cache.len()));
    }

    /// A look inside, which changes nothing.
    pub fn contents(&self) -> CacheContents {
        let cache = self.lock();
        CacheContents {
            capacity: cache.capacity(),
            lease_valid: cache.lease_valid(Instant::now()),
            products: cache.products(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        // A panic ends the process, so nobody sees what it left behind.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gauge(products: usize) -> i64 {
    i64::try_from(products).unwrap_or(i64::MAX)
}

#[derive(Clone, Debug)]
struct Metrics {
    hits: IntCounter,
    misses: IntCounter,
    evictions: IntCounter,
    invalidations: IntCounter,
    refused_fills: IntCounter,
    lease_valid: IntGauge,
    products: IntGauge,
    capacity: IntGauge,
    renewed: IntCounter,
    not_renewed: IntCounter,
}

impl Metrics {
    fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| registered(registry, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| registered(registry, IntGauge::new(name, help));
        let renewals =
            Opts::new("toystore_cache_lease_renewals_total", "Requests for the cache's lease, by how they ended");
        let renewals = registered(registry, IntCounterVec::new(renewals, &["outcome"]));
        Self {
            hits: counter("toystore_cache_hits_total", "Products served from the cache"),
            misses: counter("toystore_cache_misses_total", "Products that had to be fetched from the catalog"),
            evictions: counter("toystore_cache_evictions_total", "Products that gave way to others"),
            invalidations: counter("toystore_cache_invalidations_total", "Products that were to be forgotten"),
            refused_fills: counter(
                "toystore_cache_refused_fills_total",
                "Fetched products not kept, because they changed meanwhile or the lease was gone",
            ),
            lease_valid: gauge("toystore_cache_lease_valid", "1 while the cache may be served from"),
            products: gauge("toystore_cache_products", "Products in the cache"),
            capacity: gauge(
                "toystore_cache_capacity_products",
                "Products that fit into the cache; 0: it is switched off",
            ),
            renewed: renewals.with_label_values(&["granted"]),
            not_renewed: renewals.with_label_values(&["failed"]),
        }
    }
}
