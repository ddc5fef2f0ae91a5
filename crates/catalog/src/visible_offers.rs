//! The visible offers: what readers see while changes are under way.
//!
//! A change begins, becomes durable, and is finished. Until it is finished, readers see the old
//! offer and may not cache it. Beginning a change, reading and finishing a change are single steps
//! under one lock. So a reader either came before the change began, and is among its affected lease
//! holders, or comes after it, and caches nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use api::catalog::{ProductList, ProductRead};
use api::{HolderId, ProductName};
use tokio::time::Instant;

use crate::account::Offer;
use crate::lease::{AffectedHolder, Leases};

/// The visible offers of a leader. Locked for a few steps at a time, never across an await.
#[derive(Debug)]
pub(crate) struct SharedOffers(Mutex<VisibleOffers>);

impl SharedOffers {
    pub(crate) fn new(offers: VisibleOffers) -> Self {
        Self(Mutex::new(offers))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, VisibleOffers> {
        self.0.lock().expect("a panic ends the process")
    }
}

/// The offers that are shown, and the leases of the frontends that may have cached them.
#[derive(Debug)]
pub(crate) struct VisibleOffers {
    visible: BTreeMap<ProductName, Offer>,
    changing: BTreeSet<ProductName>,
    leases: Leases,
}

impl VisibleOffers {
    pub(crate) fn new(offers: impl IntoIterator<Item = Offer>, leases: Leases) -> Self {
        let visible = offers.into_iter().map(|offer| (offer.product.name.clone(), offer)).collect();
        Self { visible, changing: BTreeSet::new(), leases }
    }

    /// One product, and whether `holder` may cache it.
    pub(crate) fn read(&mut self, name: &str, holder: Option<HolderId>, now: Instant) -> Option<ProductRead> {
        let Offer { product, version } = self.visible.get(name)?.clone();
        let is_stable = !self.changing.contains(name);
        let cacheable = is_stable && holder.is_some_and(|holder| self.leases.fetch(holder, &product.name, now));
        Some(ProductRead { product, version, cacheable })
    }

    /// All products at one moment, by name, and whether `holder` may cache them.
    pub(crate) fn read_all(&mut self, holder: Option<HolderId>, now: Instant) -> ProductList {
        let products = self.visible.values().map(|offer| offer.product.clone()).collect();
        let is_stable = self.changing.is_empty();
        let cacheable = is_stable && holder.is_some_and(|holder| self.leases.fetch_list(holder, now));
        ProductList { products, cacheable }
    }

    /// The leases, for operations that do not touch the offers.
    pub(crate) fn leases(&mut self) -> &mut Leases {
        &mut self.leases
    }

    /// Begins a change to `offers`: no reader may cache their products until it is finished.
    /// Returns the holders that must be invalidated.
    ///
    /// # Panics
    /// If another change is under way.
    pub(crate) fn begin_change(&mut self, offers: &[Offer], now: Instant) -> Vec<AffectedHolder> {
        assert!(self.changing.is_empty(), "one change at a time");
        let names: Vec<_> = offers.iter().map(|offer| offer.product.name.clone()).collect();
        let holders = self.leases.affected_holders(&names, now);
        self.changing = names.into_iter().collect();
        holders
    }

    /// Shows the offers of the change that was begun.
    ///
    /// # Panics
    /// If these are not the same products, or a version does not grow.
    pub(crate) fn finish_change(&mut self, offers: Vec<Offer>) {
        for offer in offers {
            let name = offer.product.name.clone();
            assert!(self.changing.remove(&name), "the change of {name} was begun");
            let version = offer.version;
            let before = self.visible.insert(name, offer);
            assert!(before.is_none_or(|before| before.version < version), "versions grow");
        }
        assert!(self.changing.is_empty(), "the whole change is finished");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use api::catalog::LeaseRequest;
    use api::{Address, Price, Product, ProductVersion, Stock};

    use super::*;

    fn offer(name: &str, stock: u64, version: u64) -> Offer {
        let (name, price) = (ProductName::new(name).unwrap(), Price::from_cents(100).unwrap());
        Offer { product: Product { name, price, quantity: Stock(stock) }, version: ProductVersion(version) }
    }

    fn offers(holder: HolderId, now: Instant) -> VisibleOffers {
        let mut offers =
            VisibleOffers::new([offer("Tux", 10, 1), offer("Fox", 10, 1)], Leases::new(Duration::from_secs(1)));
        offers.leases().grant(LeaseRequest { holder, address: Address::new("frontend", 1111) }, now).unwrap();
        offers
    }

    #[test]
    fn a_changing_product_shows_its_old_value_and_may_not_be_cached() {
        let (holder, now) = (HolderId::random(), Instant::now());
        let mut offers = offers(holder, now);
        assert!(offers.read("Tux", Some(holder), now).unwrap().cacheable);
        assert!(!offers.read("Tux", None, now).unwrap().cacheable);

        let holders = offers.begin_change(&[offer("Tux", 7, 2)], now);
        assert_eq!(holders.len(), 1);
        let during = offers.read("Tux", Some(holder), now).unwrap();
        assert_eq!((during.product.quantity, during.version, during.cacheable), (Stock(10), ProductVersion(1), false));
        assert!(offers.read("Fox", Some(holder), now).unwrap().cacheable, "other products do not change");

        offers.finish_change(vec![offer("Tux", 7, 2)]);
        let after = offers.read("Tux", Some(holder), now).unwrap();
        assert_eq!((after.product.quantity, after.version, after.cacheable), (Stock(7), ProductVersion(2), true));
    }

    #[test]
    fn a_read_during_a_change_is_not_recorded_as_cached() {
        let (holder, now) = (HolderId::random(), Instant::now());
        let mut offers = offers(holder, now);
        assert_eq!(offers.begin_change(&[offer("Tux", 9, 2)], now), []);
        offers.read("Tux", Some(holder), now).unwrap();
        offers.finish_change(vec![offer("Tux", 9, 2)]);
        assert_eq!(offers.begin_change(&[offer("Tux", 8, 3)], now), []);
    }

    #[test]
    fn a_holder_of_the_list_is_invalidated_by_the_first_change_of_any_product() {
        let (holder, now) = (HolderId::random(), Instant::now());
        let mut offers = offers(holder, now);
        assert!(!offers.read_all(None, now).cacheable && !offers.read_all(Some(HolderId::random()), now).cacheable);
        assert!(offers.read_all(Some(holder), now).cacheable);

        let holders = offers.begin_change(&[offer("Tux", 7, 2)], now);
        assert_eq!(holders.iter().map(|holder| holder.products[0].as_str()).collect::<Vec<_>>(), ["Tux"]);
        let during = offers.read_all(Some(holder), now);
        assert_eq!((during.products[1].quantity, during.cacheable), (Stock(10), false), "the old value, not cacheable");
        offers.finish_change(vec![offer("Tux", 7, 2)]);
        assert_eq!(offers.begin_change(&[offer("Fox", 9, 2)], now), [], "the list was dropped, and not read since");
        offers.finish_change(vec![offer("Fox", 9, 2)]);
        let after = offers.read_all(Some(holder), now);
        assert_eq!((after.products[1].quantity, after.cacheable), (Stock(7), true));
    }

    #[test]
    fn unknown_products_are_not_found() {
        let (holder, now) = (HolderId::random(), Instant::now());
        let mut offers = offers(holder, now);
        assert_eq!(offers.read("Bear", Some(holder), now), None);
        let names: Vec<_> =
            offers.read_all(None, now).products.into_iter().map(|product| product.name.to_string()).collect();
        assert_eq!(names, ["Fox", "Tux"]);
    }
}
