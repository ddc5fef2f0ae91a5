//! Ready-made answers to `GET /products/{name}`, the least recently used of which give way; and when they may be served.
//!
//! # Never stale
//! The catalog promises the holder of a **lease**: no change of a product that you have fetched becomes visible before you have
//! confirmed that you forgot it, or your lease has run out. So an answer from here is as good as one from the catalog, if
//!
//! 1. the lease is valid *when the answer is taken* ([`Cache::hit`] compares clocks under the same lock: a process that was paused
//!    for a minute wakes to a lease that has run out);
//! 2. everything fetched under another lease is gone: one that had run out before it was renewed, or was granted in
//!    another term. The catalog does not know what was fetched under it ([`Cache::grant`]);
//! 3. a product that was being fetched when its invalidation arrived is not kept: the fetch may have read the old value.
//!
//! # A fetch races an invalidation
//! Every invalidation and every clear is a *moment*. A fetch takes a [`Ticket`] with the moment at which it began, and is kept only if
//! nothing happened to its product since. The moments of the last 1024 products are remembered; when one is
//! forgotten, its moment becomes the floor for all: a fetch that is older is not kept, whatever its product. That errs on the safe side
//! and bounds the memory. Beside it, a version below the last one invalidated is refused. The catalog's own care
//! (what it reads out during a change is marked as not to be cached) makes that redundant; it costs nothing.
//!
//! # Caveats
//! A monotonic clock stands still while a virtual machine is suspended: a frontend whose clock stops while the catalog's goes on can
//! serve a stale value for the rest of a lease after it wakes. Suspended laptops suspend both.

mod shared;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;

use api::frontend::Invalidated;
use api::{Product, ProductName, ProductVersion, Term};
use bytes::Bytes;
use lru::LruCache;
use service::mutation::{self, Mutation};
use tokio::time::Instant;

pub use shared::SharedCache;

/// Products whose last invalidation is remembered by itself.
const INVALIDATED_MAX: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// The cache without lock or clock: time comes in with each call.
#[derive(Debug)]
pub struct Cache {
    /// `None` is a cache that is switched off.
    answers: Option<LruCache<ProductName, Answer>>,
    lease: Option<Lease>,
    /// Counts invalidations and clears.
    now: Moment,
    /// Fetches that began before it are not kept.
    floor: Moment,
    invalidated: LruCache<ProductName, Invalidation>,
}

/// A point in the order of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(u64);

#[derive(Clone, Copy, Debug)]
struct Lease {
    term: Term,
    valid_until: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Invalidation {
    moment: Moment,
    version: ProductVersion,
}

#[derive(Debug)]
struct Answer {
    version: ProductVersion,
    product: Product,
    body: Bytes,
}

/// When a fetch began.
#[derive(Clone, Copy, Debug)]
pub struct Ticket(Moment);

/// What became of a fetched product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// It is in the cache now.
    Kept {
        /// Another product had to go.
        evicted: bool,
    },
    /// It was fetched too early, or it is too old, or there is no lease.
    Refused,
}

impl Cache {
    /// An empty cache for `capacity` products; 0 switches it off.
    pub fn new(capacity: usize) -> Self {
        Self::remembering(capacity, INVALIDATED_MAX)
    }

    /// … that remembers the invalidations of so many products.
    fn remembering(capacity: usize, invalidated_max: NonZeroUsize) -> Self {
        Self {
            answers: NonZeroUsize::new(capacity).map(LruCache::new),
            lease: None,
            now: Moment(0),
            floor: Moment(0),
            invalidated: LruCache::new(invalidated_max),
        }
    }

    /// The answer for the product, if there is one and it may be served at `now`.
    pub fn hit(&mut self, name: &str, now: Instant) -> Option<Bytes> {
        if !self.lease_valid(now) && !mutation::active(Mutation::IgnoreLease) {
            return None;
        }
        self.answers.as_mut()?.get(name).map(|answer| answer.body.clone())
    }

    /// A fetch begins: must come before its request is sent.
    pub fn begin_fetch(&self) -> Ticket {
        Ticket(self.now)
    }

    /// A fetch is over, and the catalog allows to keep what it brought.
    pub fn fill(
        &mut self,
        ticket: Ticket,
        product: Product,
        version: ProductVersion,
        body: Bytes,
        now: Instant,
    ) -> Fill {
        if !self.lease_valid(now) || self.is_outdated(ticket, &product.name, version) {
            return Fill::Refused;
        }
        let Some(answers) = &mut self.answers else { return Fill::Refused };
        if answers.peek(&product.name).is_some_and(|kept| kept.version > version) {
            return Fill::Refused;
        }
        let name = product.name.clone();
        let out = answers.push(name.clone(), Answer { version, product, body });
        Fill::Kept { evicted: out.is_some_and(|(out, _)| out != name) }
    }

    fn is_outdated(&self, ticket: Ticket, name: &ProductName, version: ProductVersion) -> bool {
        let last = self.invalidated.peek(name);
        if mutation::active(Mutation::StoreRacedFill) {
            return false;
        }
        ticket.0 < self.floor || last.is_some_and(|last| ticket.0 < last.moment || version < last.version)
    }

    /// The product is about to change: forgets it. Whether it was there.
    pub fn invalidate(&mut self, invalidated: &Invalidated) -> bool {
        self.forget(&invalidated.name, Some(invalidated.version))
    }

    /// Forgets the product, whatever its version. Whether it was there.
    pub fn remove(&mut self, name: &ProductName) -> bool {
        self.forget(name, None)
    }

    fn forget(&mut self, name: &ProductName, version: Option<ProductVersion>) -> bool {
        self.now.0 += 1;
        let known = self.invalidated.peek(name).map(|last| last.version);
        let latest = Invalidation { moment: self.now, version: known.max(version).unwrap_or_default() };
        if let Some((forgotten, last)) = self.invalidated.push(name.clone(), latest)
            && forgotten != *name
        {
            self.floor = self.floor.max(last.moment);
        }
        self.answers.as_mut().is_some_and(|answers| answers.pop(name).is_some())
    }

    /// A lease of `term` was granted and lasts until `valid_until`. What was fetched under another one goes.
    pub fn grant(&mut self, term: Term, valid_until: Instant, now: Instant) {
        if !self.lease.is_some_and(|lease| lease.term == term && now < lease.valid_until) {
            self.clear();
        }
        self.lease = Some(Lease { term, valid_until });
    }

    /// Gives up what a lease that has run out had allowed.
    pub fn expire(&mut self, now: Instant) {
        if self.lease.is_some() && !self.lease_valid(now) && !mutation::active(Mutation::IgnoreLease) {
            self.end_lease();
        }
    }

    /// Gives up the lease, and everything with it.
    pub fn end_lease(&mut self) {
        self.lease = None;
        self.clear();
    }

    fn clear(&mut self) {
        self.now.0 += 1;
        self.floor = self.now;
        self.invalidated.clear();
        if let Some(answers) = &mut self.answers {
            answers.clear();
        }
    }

    /// Whether answers may be served at `now`.
    pub fn lease_valid(&self, now: Instant) -> bool {
        self.lease.is_some_and(|lease| now < lease.valid_until)
    }

    /// How many products it may hold.
    pub fn capacity(&self) -> usize {
        self.answers.as_ref().map_or(0, |answers| answers.cap().get())
    }

    /// How many products it holds.
    pub fn len(&self) -> usize {
        self.answers.as_ref().map_or(0, LruCache::len)
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it holds, the most recently used first.
    pub fn products(&self) -> Vec<Product> {
        self.answers.iter().flat_map(LruCache::iter).map(|(_, answer)| answer.product.clone()).collect()
    }
}
