//! The cache as a pure state machine, without lock and clock.

use std::num::NonZeroUsize;

use api::frontend::Invalidated;
use api::{Product, ProductName, ProductVersion, Term};
use bytes::Bytes;
use lru::LruCache;
use service::mutation::{self, Mutation};
use tokio::time::Instant;

/// How many products have their last invalidation remembered.
const INVALIDATED_MAX: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// The cache; see the documentation of the parent module. Time is passed as an argument.
#[derive(Debug)]
pub struct LeasedCache {
    /// `None` if the cache is switched off.
    entries: Option<LruCache<ProductName, CacheEntry>>,
    /// The response body for the list of all products.
    list: Option<Bytes>,
    lease: Option<HeldLease>,
    /// Counts invalidations and clears.
    now: LogicalTime,
    /// Fetches that began before it are not kept.
    floor: LogicalTime,
    invalidated: LruCache<ProductName, Invalidation>,
}

/// A point in the order of invalidations and clears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct LogicalTime(u64);

#[derive(Clone, Copy, Debug)]
struct HeldLease {
    term: Term,
    valid_until: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Invalidation {
    at: LogicalTime,
    version: ProductVersion,
}

#[derive(Debug)]
struct CacheEntry {
    version: ProductVersion,
    product: Product,
    body: Bytes,
}

/// The logical time at which a fetch began.
#[derive(Clone, Copy, Debug)]
pub struct FetchTicket(LogicalTime);

/// What happened to a fetched product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FillOutcome {
    /// It is in the cache now.
    Kept {
        /// Another product was evicted for it.
        evicted: bool,
    },
    /// It may be outdated, or the cache holds a newer version, or there is no valid lease.
    Refused,
}

impl LeasedCache {
    /// An empty cache for `capacity` products; 0 switches the cache off.
    pub fn new(capacity: usize) -> Self {
        Self::with_history(capacity, INVALIDATED_MAX)
    }

    /// The same, remembering the invalidations of `invalidated_max` products.
    fn with_history(capacity: usize, invalidated_max: NonZeroUsize) -> Self {
        Self {
            entries: NonZeroUsize::new(capacity).map(LruCache::new),
            list: None,
            lease: None,
            now: LogicalTime(0),
            floor: LogicalTime(0),
            invalidated: LruCache::new(invalidated_max),
        }
    }

    /// The response body for a product, if it is cached and may be served at `now`.
    pub fn get(&mut self, name: &str, now: Instant) -> Option<Bytes> {
        if !self.lease_valid(now) && !mutation::active(Mutation::IgnoreLease) {
            return None;
        }
        self.entries.as_mut()?.get(name).map(|entry| entry.body.clone())
    }

    /// The response body for the list of all products, if it is cached and may be served at `now`.
    pub fn get_list(&self, now: Instant) -> Option<Bytes> {
        let may_be_served = self.lease_valid(now) || mutation::active(Mutation::IgnoreLease);
        self.list.clone().filter(|_| may_be_served)
    }

    /// Stores a list that the catalog has marked as cacheable. Returns whether it was kept.
    pub fn fill_list(&mut self, ticket: FetchTicket, body: Bytes, now: Instant) -> bool {
        // Every invalidation concerns a product of the list.
        let outdated = ticket.0 < self.now && !mutation::active(Mutation::StoreRacedFill);
        let keeps = self.entries.is_some() && self.lease_valid(now) && !outdated;
        if keeps {
            self.list = Some(body);
        }
        keeps
    }

    /// Begins a fetch. Must be called before the request is sent.
    pub fn begin_fetch(&self) -> FetchTicket {
        FetchTicket(self.now)
    }

    /// Stores a product that the catalog has marked as cacheable.
    pub fn fill(
        &mut self,
        ticket: FetchTicket,
        product: Product,
        version: ProductVersion,
        body: Bytes,
        now: Instant,
    ) -> FillOutcome {
        if !self.lease_valid(now) || self.is_outdated(ticket, &product.name, version) {
            return FillOutcome::Refused;
        }
        let Some(entries) = &mut self.entries else { return FillOutcome::Refused };
        if entries.peek(&product.name).is_some_and(|kept| kept.version > version) {
            return FillOutcome::Refused;
        }
        let name = product.name.clone();
        let replaced = entries.push(name.clone(), CacheEntry { version, product, body });
        FillOutcome::Kept { evicted: replaced.is_some_and(|(replaced, _)| replaced != name) }
    }

    fn is_outdated(&self, ticket: FetchTicket, name: &ProductName, version: ProductVersion) -> bool {
        let last = self.invalidated.peek(name);
        if mutation::active(Mutation::StoreRacedFill) {
            return false;
        }
        ticket.0 < self.floor || last.is_some_and(|last| ticket.0 < last.at || version < last.version)
    }

    /// Removes a product that is about to change. Returns whether it was cached.
    pub fn invalidate(&mut self, invalidated: &Invalidated) -> bool {
        self.forget(&invalidated.name, Some(invalidated.version))
    }

    /// Removes a product, whatever its version. Returns whether it was cached.
    pub fn remove(&mut self, name: &ProductName) -> bool {
        self.forget(name, None)
    }

    fn forget(&mut self, name: &ProductName, version: Option<ProductVersion>) -> bool {
        self.now.0 += 1;
        self.list = None;
        let known = self.invalidated.peek(name).map(|last| last.version);
        let latest = Invalidation { at: self.now, version: known.max(version).unwrap_or_default() };
        if let Some((forgotten, last)) = self.invalidated.push(name.clone(), latest)
            && forgotten != *name
        {
            self.floor = self.floor.max(last.at);
        }
        self.entries.as_mut().is_some_and(|entries| entries.pop(name).is_some())
    }

    /// Takes a lease that was granted in `term` and is valid until `valid_until`. Clears what was
    /// fetched under another lease.
    pub fn grant(&mut self, term: Term, valid_until: Instant, now: Instant) {
        if !self.lease.is_some_and(|lease| lease.term == term && now < lease.valid_until) {
            self.clear();
        }
        self.lease = Some(HeldLease { term, valid_until });
    }

    /// Clears the cache if its lease has expired.
    pub fn expire(&mut self, now: Instant) {
        if self.lease.is_some() && !self.lease_valid(now) && !mutation::active(Mutation::IgnoreLease) {
            self.end_lease();
        }
    }

    /// Gives up the lease and clears the cache.
    pub fn end_lease(&mut self) {
        self.lease = None;
        self.clear();
    }

    fn clear(&mut self) {
        self.now.0 += 1;
        self.floor = self.now;
        self.list = None;
        self.invalidated.clear();
        if let Some(entries) = &mut self.entries {
            entries.clear();
        }
    }

    /// Whether the cache may be served from at `now`.
    pub fn lease_valid(&self, now: Instant) -> bool {
        self.lease.is_some_and(|lease| now < lease.valid_until)
    }

    /// How many products fit into the cache; 0 if it is switched off.
    pub fn capacity(&self) -> usize {
        self.entries.as_ref().map_or(0, |entries| entries.cap().get())
    }

    /// How many products are cached.
    pub fn len(&self) -> usize {
        self.entries.as_ref().map_or(0, LruCache::len)
    }

    /// Whether no product is cached.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cached products, the most recently used first.
    pub fn products(&self) -> Vec<Product> {
        self.entries.iter().flat_map(LruCache::iter).map(|(_, entry)| entry.product.clone()).collect()
    }
}

#[cfg(test)]
mod tests;
