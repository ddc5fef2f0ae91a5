//! Which frontends may serve from their caches just now, and what each may have in it.
//!
//! A holder counts its lease from *before* it asked; this side counts it from when it grants it, and a tenth longer, so that a
//! lease that is over here is over there, even if the two clocks run at different speeds. Volatile: a new leader has no leases,
//! and waits instead until its predecessor's are over.
//!
//! No clock in here: the time comes with each call.

use std::collections::BTreeSet;
use std::time::Duration;

use api::catalog::LeaseRequest;
use api::{Address, HolderId, ProductName};
use rustc_hash::FxHashMap;
use tokio::time::Instant;

/// Most holders: ten times the frontends of a large store.
pub(crate) const HOLDERS_MAX: usize = 64;

/// A lease of `duration` is over for sure, by a clock that may run a tenth faster than the holder's. Real clocks drift by
/// less than a thousandth; the rest is for virtual machines.
pub(crate) fn with_margin(duration: Duration) -> Duration {
    duration + duration / 10
}

/// Why a lease is not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoLease {
    /// There are [`HOLDERS_MAX`] others.
    TooMany,
    /// The holder does not confirm an invalidation; it gets none until its last one is over.
    Suspended,
}

/// A holder that has to be told of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Audience {
    pub(crate) holder: HolderId,
    pub(crate) address: Address,
    /// Those of the changed products that it may have.
    pub(crate) products: Vec<ProductName>,
}

/// All leases.
#[derive(Debug)]
pub(crate) struct Leases {
    duration: Duration,
    leases: FxHashMap<HolderId, Lease>,
}

#[derive(Debug)]
struct Lease {
    address: Address,
    /// By this side's clock, margin included.
    expires: Instant,
    /// Products that were read as cacheable, and not invalidated since.
    fetched: BTreeSet<ProductName>,
    suspended: bool,
}

impl Leases {
    pub(crate) fn new(duration: Duration) -> Self {
        Self { duration, leases: FxHashMap::default() }
    }

    /// Grants or renews a lease.
    pub(crate) fn grant(&mut self, request: LeaseRequest, now: Instant) -> Result<(), NoLease> {
        let LeaseRequest { holder, address } = request;
        let expires = now + with_margin(self.duration);
        match self.leases.get_mut(&holder).filter(|lease| lease.expires > now) {
            Some(lease) if lease.suspended => return Err(NoLease::Suspended),
            Some(lease) => {
                lease.expires = lease.expires.max(expires);
                lease.address = address;
            }
            None => {
                self.leases.retain(|_, lease| lease.expires > now);
                if self.leases.len() >= HOLDERS_MAX {
                    return Err(NoLease::TooMany);
                }
                // Its last lease is over, so its cache is empty.
                self.leases.insert(holder, Lease { address, expires, fetched: BTreeSet::new(), suspended: false });
            }
        }
        Ok(())
    }

    /// The holder has emptied its cache and wants no lease any more.
    pub(crate) fn release(&mut self, holder: HolderId) {
        self.leases.remove(&holder);
    }

    /// Notes that the holder may cache a product from now on; false if it has no lease, and so may not.
    pub(crate) fn fetch(&mut self, holder: HolderId, name: &ProductName, now: Instant) -> bool {
        match self.leases.get_mut(&holder) {
            Some(lease) if lease.expires > now && !lease.suspended => {
                if !lease.fetched.contains(name) {
                    lease.fetched.insert(name.clone());
                }
                true
            }
            _ => false,
        }
    }

    /// Who may have one of the changed products. Each product leaves its holder's list: the caller sees to it that the holder
    /// confirms, or waits for its lease's end.
    pub(crate) fn audience(&mut self, changed: &[ProductName], now: Instant) -> Vec<Audience> {
        self.leases.retain(|_, lease| lease.expires > now);
        let told = self.leases.iter_mut().filter_map(|(holder, lease)| {
            let products: Vec<_> = changed.iter().filter(|name| lease.fetched.remove(*name)).cloned().collect();
            let address = lease.address.clone();
            (!products.is_empty()).then_some(Audience { holder: *holder, address, products })
        });
        told.collect()
    }

    /// Whether the holder has a lease.
    pub(crate) fn holds(&self, holder: HolderId, now: Instant) -> bool {
        self.leases.get(&holder).is_some_and(|lease| lease.expires > now)
    }

    /// The holder did not confirm: its lease is not renewed until [`resume`](Self::resume). Answers when it is over for sure; `None` if it
    /// is already.
    pub(crate) fn suspend(&mut self, holder: HolderId, now: Instant) -> Option<Instant> {
        let lease = self.leases.get_mut(&holder).filter(|lease| lease.expires > now)?;
        lease.suspended = true;
        Some(lease.expires)
    }

    /// The holder has confirmed after all.
    pub(crate) fn resume(&mut self, holder: HolderId) {
        if let Some(lease) = self.leases.get_mut(&holder) {
            lease.suspended = false;
        }
    }

    /// How many leases are held.
    pub(crate) fn held(&self, now: Instant) -> usize {
        self.leases.values().filter(|lease| lease.expires > now).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(1);

    fn request(holder: HolderId) -> LeaseRequest {
        LeaseRequest { holder, address: Address::new("frontend", 1111) }
    }

    fn name(name: &str) -> ProductName {
        ProductName::new(name).unwrap()
    }

    #[test]
    fn a_lease_lasts_a_tenth_longer_here_than_there() {
        let (mut leases, holder, start) = (Leases::new(DURATION), HolderId::random(), Instant::now());
        leases.grant(request(holder), start).unwrap();
        assert!(leases.fetch(holder, &name("Tux"), start + Duration::from_millis(1099)));
        assert!(!leases.fetch(holder, &name("Tux"), start + Duration::from_millis(1100)));
        leases.grant(request(holder), start + Duration::from_millis(1050)).unwrap();
        assert!(leases.fetch(holder, &name("Tux"), start + Duration::from_millis(2149)));
    }

    #[test]
    fn only_those_who_fetched_are_told_and_only_once() {
        let (mut leases, now) = (Leases::new(DURATION), Instant::now());
        let (fan, other, stranger) = (HolderId::random(), HolderId::random(), HolderId::random());
        leases.grant(request(fan), now).unwrap();
        leases.grant(request(other), now).unwrap();
        assert!(leases.fetch(fan, &name("Tux"), now) && leases.fetch(fan, &name("Fox"), now));
        assert!(leases.fetch(other, &name("Fox"), now));
        assert!(!leases.fetch(stranger, &name("Tux"), now), "no lease, no caching");

        let told = leases.audience(&[name("Tux"), name("Bear")], now);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].holder, told[0].products.clone()), (fan, vec![name("Tux")]));
        assert_eq!(leases.audience(&[name("Tux")], now), []);
        assert_eq!(leases.audience(&[name("Fox")], now).len(), 2);
    }

    #[test]
    fn a_holder_whose_lease_is_over_is_not_told() {
        let (mut leases, holder, now) = (Leases::new(DURATION), HolderId::random(), Instant::now());
        leases.grant(request(holder), now).unwrap();
        assert!(leases.fetch(holder, &name("Tux"), now));
        assert_eq!(leases.audience(&[name("Tux")], now + Duration::from_millis(1100)), []);
    }

    #[test]
    fn a_suspended_holder_gets_no_renewal_until_its_lease_is_over() {
        let (mut leases, holder, start) = (Leases::new(DURATION), HolderId::random(), Instant::now());
        leases.grant(request(holder), start).unwrap();
        let over = leases.suspend(holder, start).unwrap();
        assert_eq!(over, start + Duration::from_millis(1100));
        assert_eq!(leases.grant(request(holder), over - Duration::from_millis(1)), Err(NoLease::Suspended));
        assert!(!leases.fetch(holder, &name("Tux"), start), "a suspended holder caches nothing new");
        assert_eq!(leases.suspend(holder, over), None);
        leases.grant(request(holder), over).unwrap();
        assert!(leases.fetch(holder, &name("Tux"), over));
    }

    #[test]
    fn a_holder_that_confirms_after_all_goes_on() {
        let (mut leases, holder, now) = (Leases::new(DURATION), HolderId::random(), Instant::now());
        leases.grant(request(holder), now).unwrap();
        leases.suspend(holder, now).unwrap();
        leases.resume(holder);
        assert_eq!(leases.grant(request(holder), now), Ok(()));
        leases.release(holder);
        assert_eq!((leases.suspend(holder, now), leases.held(now), leases.holds(holder, now)), (None, 0, false));
    }

    #[test]
    fn the_table_is_bounded_and_makes_room_for_the_living() {
        let (mut leases, now) = (Leases::new(DURATION), Instant::now());
        for _ in 0..HOLDERS_MAX {
            leases.grant(request(HolderId::random()), now).unwrap();
        }
        assert_eq!(leases.held(now), HOLDERS_MAX);
        assert_eq!(leases.grant(request(HolderId::random()), now), Err(NoLease::TooMany));
        leases.grant(request(HolderId::random()), now + with_margin(DURATION)).unwrap();
        assert_eq!(leases.held(now + with_margin(DURATION)), 1);
    }
}
