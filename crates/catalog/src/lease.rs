//! Which frontends may serve from their caches, and what each may have cached.
//!
//! A holder counts its lease from *before* it sent the request. This side counts from when it
//! grants the lease, and a tenth longer. So a lease that has expired here has expired there, even
//! if the two clocks run at different speeds. Leases are volatile: a new leader has none, and waits
//! until those of its predecessor have expired.
//!
//! This module reads no clock: the time comes with each call.

use std::collections::BTreeSet;
use std::time::Duration;

use api::catalog::LeaseRequest;
use api::event::Event;
use api::{Address, HolderId, ProductName};
use rustc_hash::FxHashMap;
use service::events::emit;
use tokio::time::Instant;

/// Most holders: ten times the frontends of a large store.
pub(crate) const HOLDERS_MAX: usize = 64;

/// Most holders on one machine: more than the frontends that it runs, and few enough that one
/// machine cannot use up the leases of the others.
const HOLDERS_PER_HOST_MAX: usize = 16;

/// Most holders at one address: a frontend, its predecessor whose lease has not expired yet, and
/// one more of those.
const HOLDERS_PER_ADDRESS_MAX: usize = 3;

/// When a lease of `duration` has certainly expired, by a clock that may run a tenth faster than
/// the holder's. Real clocks drift by less than a thousandth; the rest is for virtual machines.
pub(crate) fn with_margin(duration: Duration) -> Duration {
    duration + duration / 10
}

/// Why a lease is not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseRefusal {
    /// There are [`HOLDERS_MAX`] others, or too many on the same machine.
    TooMany,
    /// A holder is one process, and its address does not change.
    Moved,
    /// The holder has not confirmed an invalidation; it gets no lease until its last one has
    /// expired.
    Suspended,
}

/// A holder that may have cached a product that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AffectedHolder {
    pub(crate) holder: HolderId,
    pub(crate) address: Address,
    /// The changed products that it may have cached.
    pub(crate) products: Vec<ProductName>,
}

/// All leases.
#[derive(Debug)]
pub(crate) struct Leases {
    duration: Duration,
    leases: FxHashMap<HolderId, GrantedLease>,
}

#[derive(Debug)]
struct GrantedLease {
    address: Address,
    /// By this side's clock, including the margin.
    expires: Instant,
    /// Products that it read as cacheable, and that were not invalidated since.
    fetched: BTreeSet<ProductName>,
    /// Whether it read the list of all products as cacheable, and no product was invalidated since.
    listed: bool,
    suspended: bool,
}

impl Leases {
    pub(crate) fn new(duration: Duration) -> Self {
        Self { duration, leases: FxHashMap::default() }
    }

    /// Grants or renews a lease.
    pub(crate) fn grant(&mut self, request: LeaseRequest, now: Instant) -> Result<(), LeaseRefusal> {
        let LeaseRequest { holder, address } = request;
        let expires = now + with_margin(self.duration);
        match self.leases.get_mut(&holder).filter(|lease| lease.expires > now) {
            Some(lease) if lease.suspended => return Err(LeaseRefusal::Suspended),
            Some(lease) => {
                // It stays at the address that was verified.
                if lease.address != address {
                    return Err(LeaseRefusal::Moved);
                }
                lease.expires = lease.expires.max(expires);
            }
            None => {
                self.leases.retain(|_, lease| lease.expires > now);
                let count =
                    |same: &dyn Fn(&Address) -> bool| self.leases.values().filter(|it| same(&it.address)).count();
                if self.leases.len() >= HOLDERS_MAX
                    || count(&|other| other.host() == address.host()) >= HOLDERS_PER_HOST_MAX
                    || count(&|other| *other == address) >= HOLDERS_PER_ADDRESS_MAX
                {
                    return Err(LeaseRefusal::TooMany);
                }
                emit(Event::LeaseGranted { address: address.clone() });
                // Its last lease has expired, so its cache is empty.
                self.leases.insert(
                    holder,
                    GrantedLease { address, expires, fetched: BTreeSet::new(), listed: false, suspended: false },
                );
            }
        }
        Ok(())
    }

    /// The holder has emptied its cache and gives up its lease.
    pub(crate) fn release(&mut self, holder: HolderId) {
        if let Some(GrantedLease { address, .. }) = self.leases.remove(&holder) {
            emit(Event::LeaseReleased { address });
        }
    }

    /// Records that the holder may cache a product from now on; false if it has no lease, and so
    /// may not.
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

    /// The same for the list of all products.
    pub(crate) fn fetch_list(&mut self, holder: HolderId, now: Instant) -> bool {
        let lease = self.leases.get_mut(&holder).filter(|lease| lease.expires > now && !lease.suspended);
        lease.is_some_and(|lease| {
            lease.listed = true;
            true
        })
    }

    /// Which holders may have cached one of the changed products, or a list that contains it. The
    /// products are then no longer recorded as cached: the caller must get the holder's
    /// confirmation, or wait for its lease to expire.
    pub(crate) fn affected_holders(&mut self, changed: &[ProductName], now: Instant) -> Vec<AffectedHolder> {
        self.leases.retain(|_, lease| lease.expires > now);
        let affected = self.leases.iter_mut().filter_map(|(holder, lease)| {
            // A list is dropped with the first of its products that changes.
            let listed = !changed.is_empty() && std::mem::take(&mut lease.listed);
            let may_have = |name: &&ProductName| lease.fetched.remove(*name) || listed;
            let products: Vec<_> = changed.iter().filter(may_have).cloned().collect();
            let address = lease.address.clone();
            (!products.is_empty()).then_some(AffectedHolder { holder: *holder, address, products })
        });
        affected.collect()
    }

    /// Whether the holder has a lease.
    pub(crate) fn holds(&self, holder: HolderId, now: Instant) -> bool {
        self.leases.get(&holder).is_some_and(|lease| lease.expires > now)
    }

    /// The holder did not confirm: its lease is not renewed until [`resume`](Self::resume). Returns
    /// when it has certainly expired; `None` if it already has.
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
        at("frontend", holder)
    }

    fn at(host: &str, holder: HolderId) -> LeaseRequest {
        LeaseRequest { holder, address: Address::new(host, 1111) }
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
    fn only_holders_that_fetched_a_product_are_affected_and_only_once() {
        let (mut leases, now) = (Leases::new(DURATION), Instant::now());
        let (fan, other, stranger) = (HolderId::random(), HolderId::random(), HolderId::random());
        leases.grant(request(fan), now).unwrap();
        leases.grant(request(other), now).unwrap();
        assert!(leases.fetch(fan, &name("Tux"), now) && leases.fetch(fan, &name("Fox"), now));
        assert!(leases.fetch(other, &name("Fox"), now));
        assert!(!leases.fetch(stranger, &name("Tux"), now), "no lease, no caching");

        let affected = leases.affected_holders(&[name("Tux"), name("Bear")], now);
        assert_eq!(affected.len(), 1);
        assert_eq!((affected[0].holder, affected[0].products.clone()), (fan, vec![name("Tux")]));
        assert_eq!(leases.affected_holders(&[name("Tux")], now), []);
        assert_eq!(leases.affected_holders(&[name("Fox")], now).len(), 2);
    }

    #[test]
    fn a_holder_whose_lease_has_expired_is_not_affected() {
        let (mut leases, holder, now) = (Leases::new(DURATION), HolderId::random(), Instant::now());
        leases.grant(request(holder), now).unwrap();
        assert!(leases.fetch(holder, &name("Tux"), now));
        assert_eq!(leases.affected_holders(&[name("Tux")], now + Duration::from_millis(1100)), []);
    }

    #[test]
    fn a_suspended_holder_gets_no_renewal_until_its_lease_has_expired() {
        let (mut leases, holder, start) = (Leases::new(DURATION), HolderId::random(), Instant::now());
        leases.grant(request(holder), start).unwrap();
        let over = leases.suspend(holder, start).unwrap();
        assert_eq!(over, start + Duration::from_millis(1100));
        assert_eq!(leases.grant(request(holder), over - Duration::from_millis(1)), Err(LeaseRefusal::Suspended));
        assert!(!leases.fetch(holder, &name("Tux"), start), "a suspended holder caches nothing new");
        assert_eq!(leases.suspend(holder, over), None);
        leases.grant(request(holder), over).unwrap();
        assert!(leases.fetch(holder, &name("Tux"), over));
    }

    #[test]
    fn a_holder_that_confirms_after_all_is_resumed() {
        let (mut leases, holder, now) = (Leases::new(DURATION), HolderId::random(), Instant::now());
        leases.grant(request(holder), now).unwrap();
        leases.suspend(holder, now).unwrap();
        leases.resume(holder);
        assert_eq!(leases.grant(request(holder), now), Ok(()));
        leases.release(holder);
        assert_eq!((leases.suspend(holder, now), leases.held(now), leases.holds(holder, now)), (None, 0, false));
    }

    #[test]
    fn one_machine_takes_no_more_than_its_share() {
        let (mut leases, now) = (Leases::new(DURATION), Instant::now());
        let first = HolderId::random();
        leases.grant(request(first), now).unwrap();
        let greedy = |n| LeaseRequest { holder: HolderId::random(), address: Address::new("frontend", n) };
        let granted = (1..=100).filter(|n| leases.grant(greedy(*n), now).is_ok()).count();
        assert_eq!(granted, HOLDERS_PER_HOST_MAX - 1);
        leases.grant(request(first), now).expect("a holder keeps its lease");
        leases.grant(at("another", HolderId::random()), now).expect("other machines get leases");

        let mut leases = Leases::new(DURATION);
        let granted = (0..100).filter(|_| leases.grant(request(HolderId::random()), now).is_ok()).count();
        assert_eq!(granted, HOLDERS_PER_ADDRESS_MAX);
    }

    #[test]
    fn a_holder_stays_at_its_verified_address() {
        let (mut leases, holder, now) = (Leases::new(DURATION), HolderId::random(), Instant::now());
        leases.grant(request(holder), now).unwrap();
        assert_eq!(leases.grant(at("elsewhere", holder), now), Err(LeaseRefusal::Moved));
    }

    #[test]
    fn the_table_is_bounded_and_drops_expired_leases() {
        let (mut leases, now) = (Leases::new(DURATION), Instant::now());
        for host in 0..HOLDERS_MAX {
            leases.grant(at(&host.to_string(), HolderId::random()), now).unwrap();
        }
        assert_eq!(leases.held(now), HOLDERS_MAX);
        assert_eq!(leases.grant(request(HolderId::random()), now), Err(LeaseRefusal::TooMany));
        leases.grant(request(HolderId::random()), now + with_margin(DURATION)).unwrap();
        assert_eq!(leases.held(now + with_margin(DURATION)), 1);
    }
}
