//! The cache as requests share it: with a lock that is held briefly, the clock, and the metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::event::Event;
use api::frontend::{CacheContents, Invalidated};
use api::{Product, ProductName, ProductVersion, Term};
use bytes::Bytes;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use service::events::emit;
use service::metrics::registered;
use tokio::time::Instant;

use super::leased_cache::{FetchTicket, FillOutcome, LeasedCache};

/// A [`LeasedCache`] behind a lock. Clones share it.
#[derive(Clone, Debug)]
pub struct SharedCache {
    cache: Arc<Mutex<LeasedCache>>,
    metrics: CacheMetrics,
}

impl SharedCache {
    /// A cache for `capacity` products; 0 switches the cache off. Registers `toystore_cache_*`.
    pub fn new(capacity: usize, registry: &Registry) -> Self {
        let metrics = CacheMetrics::new(registry);
        metrics.capacity.set(gauge_value(capacity));
        Self { cache: Arc::new(Mutex::new(LeasedCache::new(capacity))), metrics }
    }

    /// The response body for a product, if it may be served now; counts a hit then. A caller that
    /// goes on to fetch the product calls [`Self::count_miss`].
    pub fn get(&self, name: &str) -> Option<Bytes> {
        let body = {
            let mut cache = self.lock();
            // The clock is read under the lock, so that no invalidation comes between the two.
            cache.get(name, Instant::now())
        };
        if body.is_some() {
            self.metrics.hits.inc();
        }
        body
    }

    /// Counts a request for a product that the cache could not serve.
    pub fn count_miss(&self) {
        self.metrics.misses.inc();
    }

    /// The response body for the list of all products, if it may be served now; counts a hit then.
    /// A caller that goes on to fetch the list calls [`Self::count_list_miss`].
    pub fn get_list(&self) -> Option<Bytes> {
        let body = self.lock().get_list(Instant::now());
        if body.is_some() {
            self.metrics.list_hits.inc();
        }
        body
    }

    /// Counts a request for the list that the cache could not serve.
    pub fn count_list_miss(&self) {
        self.metrics.list_misses.inc();
    }

    /// See [`LeasedCache::fill_list`].
    pub fn fill_list(&self, ticket: FetchTicket, body: Bytes) -> bool {
        self.lock().fill_list(ticket, body, Instant::now())
    }

    /// See [`LeasedCache::begin_fetch`].
    pub fn begin_fetch(&self) -> FetchTicket {
        self.lock().begin_fetch()
    }

    /// See [`LeasedCache::fill`].
    pub fn fill(&self, ticket: FetchTicket, product: Product, version: ProductVersion, body: Bytes) -> FillOutcome {
        let name = product.name.clone();
        let fill = {
            let mut cache = self.lock();
            let fill = cache.fill(ticket, product, version, body, Instant::now());
            self.metrics.products.set(gauge_value(cache.len()));
            fill
        };
        match fill {
            FillOutcome::Kept { evicted } => {
                self.metrics.evictions.inc_by(evicted.into());
                emit(Event::CacheFilled { product: name });
            }
            FillOutcome::Refused => {
                self.metrics.refused_fills.inc();
                emit(Event::FillRefused { product: name });
            }
        }
        fill
    }

    /// Removes products that are about to change.
    pub fn invalidate(&self, products: &[Invalidated]) {
        let mut cached = Vec::new();
        {
            let mut cache = self.lock();
            cached.extend(products.iter().filter(|product| cache.invalidate(product)));
            self.metrics.products.set(gauge_value(cache.len()));
        }
        self.metrics.invalidations.inc_by(products.len() as u64);
        for Invalidated { name, .. } in cached {
            emit(Event::CacheInvalidated { product: name.clone() });
        }
    }

    /// Removes one product, whatever its version.
    pub fn remove(&self, name: &ProductName) {
        let mut cache = self.lock();
        cache.remove(name);
        self.metrics.invalidations.inc();
        self.metrics.products.set(gauge_value(cache.len()));
    }

    /// See [`LeasedCache::grant`].
    pub fn grant(&self, term: Term, valid_until: Instant) {
        self.metrics.renewed.inc();
        self.change_lease(|cache, now| cache.grant(term, valid_until, now));
    }

    /// Counts a renewal that failed. See [`LeasedCache::expire`].
    pub fn expire(&self) {
        self.metrics.not_renewed.inc();
        self.change_lease(LeasedCache::expire);
    }

    /// See [`LeasedCache::end_lease`].
    pub fn end_lease(&self) {
        self.change_lease(|cache, _| cache.end_lease());
    }

    fn change_lease(&self, change: impl FnOnce(&mut LeasedCache, Instant)) {
        let mut cache = self.lock();
        let now = Instant::now();
        change(&mut cache, now);
        self.metrics.lease_valid.set(cache.lease_valid(now).into());
        self.metrics.products.set(gauge_value(cache.len()));
    }

    /// The contents of the cache, without changing what is used recently.
    pub fn contents(&self) -> CacheContents {
        let cache = self.lock();
        CacheContents {
            capacity: cache.capacity(),
            lease_valid: cache.lease_valid(Instant::now()),
            products: cache.products(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, LeasedCache> {
        // A panic ends the process, so no other thread sees the state that it left behind.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gauge_value(products: usize) -> i64 {
    i64::try_from(products).unwrap_or(i64::MAX)
}

#[derive(Clone, Debug)]
struct CacheMetrics {
    hits: IntCounter,
    misses: IntCounter,
    list_hits: IntCounter,
    list_misses: IntCounter,
    evictions: IntCounter,
    invalidations: IntCounter,
    refused_fills: IntCounter,
    lease_valid: IntGauge,
    products: IntGauge,
    capacity: IntGauge,
    renewed: IntCounter,
    not_renewed: IntCounter,
}

impl CacheMetrics {
    fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| registered(registry, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| registered(registry, IntGauge::new(name, help));
        let renewals = Opts::new("toystore_cache_lease_renewals_total", "Requests for the cache's lease, by outcome");
        let renewals = registered(registry, IntCounterVec::new(renewals, &["outcome"]));
        Self {
            hits: counter("toystore_cache_hits_total", "Products served from the cache"),
            misses: counter("toystore_cache_misses_total", "Products that had to be fetched from the catalog"),
            list_hits: counter("toystore_cache_list_hits_total", "Lists of all products served from the cache"),
            list_misses: counter(
                "toystore_cache_list_misses_total",
                "Requests for the list of all products that the cache could not serve; concurrent ones share one fetch",
            ),
            evictions: counter("toystore_cache_evictions_total", "Products removed to make room for others"),
            invalidations: counter(
                "toystore_cache_invalidations_total",
                "Products removed because they were about to change",
            ),
            refused_fills: counter(
                "toystore_cache_refused_fills_total",
                "Fetched products not kept, because they had changed meanwhile or there was no valid lease",
            ),
            lease_valid: gauge(
                "toystore_cache_lease_valid",
                "1 while the cache has a valid lease and serves responses",
            ),
            products: gauge("toystore_cache_products", "Products in the cache"),
            capacity: gauge(
                "toystore_cache_capacity_products",
                "Products that fit into the cache; 0 if it is switched off",
            ),
            renewed: renewals.with_label_values(&["granted"]),
            not_renewed: renewals.with_label_values(&["failed"]),
        }
    }
}
