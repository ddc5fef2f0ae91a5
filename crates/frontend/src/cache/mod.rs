//! A cache of ready-made responses to `GET /products/{name}`, with least-recently-used eviction,
//! and to `GET /products`.
//!
//! Reading order: `leased_cache` is the cache as a pure state machine, `shared` adds the lock,
//! the clock and the metrics.
//!
//! # Never stale
//! The catalog promises to the holder of a **lease**: no change of a product that you have fetched
//! becomes visible before you have confirmed its invalidation, or your lease has expired. So a
//! response from the cache is as good as one from the catalog if
//!
//! 1. the lease is valid *when the response is taken* ([`LeasedCache::get`] reads the clock under
//!    the lock that protects the entries, so a process that was paused for a minute finds its lease
//!    expired);
//! 2. everything fetched under another lease is gone. The catalog no longer tracks what was fetched
//!    under a lease that expired before its renewal, or that was granted in another term
//!    ([`LeasedCache::grant`]);
//! 3. a product that was being fetched when its invalidation arrived is not kept, because the fetch
//!    may have read the old value.
//!
//! The same holds for the list of all products: any invalidation drops it, and a list that was
//! being fetched meanwhile is not kept.
//!
//! # A fetch races an invalidation
//! Every invalidation and every clear advances a logical clock. A fetch takes a [`FetchTicket`]
//! with the logical time at which it began, and its product is kept only if nothing has happened to
//! the product since. The times of the last 1,024 invalidated products are remembered. When one of
//! them is forgotten, its time becomes the floor: a fetch that began earlier is not kept, whatever
//! its product. This bounds the memory and errs on the safe side. In addition, a version below the
//! last invalidated one is refused. The catalog's own precaution (a product that is read during a
//! change is marked as not cacheable) makes this check redundant, but it costs nothing.
//!
//! # Caveats
//! * A monotonic clock stands still while a virtual machine is suspended. A frontend whose clock
//!   stands still while the catalog's clock advances can serve a stale value for the rest of a
//!   lease after it resumes. A suspended laptop suspends both.

mod leased_cache;
mod shared;

pub use leased_cache::{FetchTicket, FillOutcome, LeasedCache};
pub use shared::SharedCache;
