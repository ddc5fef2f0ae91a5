//! The shop window: what readers are shown while changes are under way.
//!
//! A change is announced, becomes durable, and is shown; until it is shown, readers see the old offer and may not cache it.
//! Announcing, reading and showing each happen in one step under one lock, so a reader was either there before the
//! announcement, and is in its audience, or comes after it, and caches nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use api::catalog::ProductRead;
use api::{HolderId, Product, ProductName};
use tokio::time::Instant;

use crate::account::Offer;
use crate::lease::{Audience, Leases};

/// The one window of a leader; held for a few steps at a time, never across an await.
#[derive(Debug)]
pub(crate) struct SharedWindow(Mutex<Window>);

impl SharedWindow {
    pub(crate) fn new(window: Window) -> Self {
        Self(Mutex::new(window))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Window> {
        self.0.lock().expect("a panic ends the process")
    }
}

/// The offers that are shown, and who may have kept one.
#[derive(Debug)]
pub(crate) struct Window {
    shown: BTreeMap<ProductName, Offer>,
    changing: BTreeSet<ProductName>,
    leases: Leases,
}

impl Window {
    pub(crate) fn new(offers: impl IntoIterator<Item = Offer>, leases: Leases) -> Self {
        let shown = offers.into_iter().map(|offer| (offer.product.name.clone(), offer)).collect();
        Self { shown, changing: BTreeSet::new(), leases }
    }

    /// One product, and whether `holder` may cache it.
    pub(crate) fn read(&mut self, name: &str, holder: Option<HolderId>, now: Instant) -> Option<ProductRead> {
        let Offer { product, version } = self.shown.get(name)?.clone();
        let steady = !self.changing.contains(name);
        let cacheable = steady && holder.is_some_and(|holder| self.leases.fetch(holder, &product.name, now));
        Some(ProductRead { product, version, cacheable })
    }

    /// All products as of one moment, by name.
    pub(crate) fn read_all(&self) -> Vec<Product> {
        self.shown.values().map(|offer| offer.product.clone()).collect()
    }

    /// The leases, for what does not touch the offers.
    pub(crate) fn leases(&mut self) -> &mut Leases {
        &mut self.leases
    }

    /// `offers` are about to be shown: nobody may cache their products until then. Answers who has to be told.
    ///
    /// # Panics
    /// If a change is under way already.
    pub(crate) fn announce(&mut self, offers: &[Offer], now: Instant) -> Vec<Audience> {
        assert!(self.changing.is_empty(), "one change at a time");
        let names: Vec<_> = offers.iter().map(|offer| offer.product.name.clone()).collect();
        let audience = self.leases.audience(&names, now);
        self.changing = names.into_iter().collect();
        audience
    }

    /// Shows what was announced.
    ///
    /// # Panics
    /// If that was something else, or a version does not grow.
    pub(crate) fn show(&mut self, offers: Vec<Offer>) {
        for offer in offers {
            let name = offer.product.name.clone();
            assert!(self.changing.remove(&name), "{name} was announced");
            let version = offer.version;
            let before = self.shown.insert(name, offer);
            assert!(before.is_none_or(|before| before.version < version), "versions grow");
        }
        assert!(self.changing.is_empty(), "all that was announced is shown");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use api::catalog::LeaseRequest;
    use api::{Address, Price, ProductVersion, Stock};

    use super::*;

    fn offer(name: &str, stock: u64, version: u64) -> Offer {
        let (name, price) = (ProductName::new(name).unwrap(), Price::from_cents(100).unwrap());
        Offer { product: Product { name, price, quantity: Stock(stock) }, version: ProductVersion(version) }
    }

    fn window(holder: HolderId, now: Instant) -> Window {
        let mut window = Window::new([offer("Tux", 10, 1), offer("Fox", 10, 1)], Leases::new(Duration::from_secs(1)));
        window.leases().grant(LeaseRequest { holder, address: Address::new("frontend", 1111) }, now).unwrap();
        window
    }

    #[test]
    fn a_changing_product_shows_its_old_value_to_all_and_is_cached_by_none() {
        let (holder, now) = (HolderId::random(), Instant::now());
        let mut window = window(holder, now);
        assert!(window.read("Tux", Some(holder), now).unwrap().cacheable);
        assert!(!window.read("Tux", None, now).unwrap().cacheable);

        let audience = window.announce(&[offer("Tux", 7, 2)], now);
        assert_eq!(audience.len(), 1);
        let during = window.read("Tux", Some(holder), now).unwrap();
        assert_eq!((during.product.quantity, during.version, during.cacheable), (Stock(10), ProductVersion(1), false));
        assert!(window.read("Fox", Some(holder), now).unwrap().cacheable, "other products are steady");

        window.show(vec![offer("Tux", 7, 2)]);
        let after = window.read("Tux", Some(holder), now).unwrap();
        assert_eq!((after.product.quantity, after.version, after.cacheable), (Stock(7), ProductVersion(2), true));
    }

    #[test]
    fn what_was_read_while_changing_is_in_no_audience() {
        let (holder, now) = (HolderId::random(), Instant::now());
        let mut window = window(holder, now);
        assert_eq!(window.announce(&[offer("Tux", 9, 2)], now), []);
        window.read("Tux", Some(holder), now).unwrap();
        window.show(vec![offer("Tux", 9, 2)]);
        assert_eq!(window.announce(&[offer("Tux", 8, 3)], now), []);
    }

    #[test]
    fn unknown_products_are_not_there() {
        let (holder, now) = (HolderId::random(), Instant::now());
        let mut window = window(holder, now);
        assert_eq!(window.read("Bear", Some(holder), now), None);
        let names: Vec<_> = window.read_all().into_iter().map(|product| product.name.to_string()).collect();
        assert_eq!(names, ["Fox", "Tux"]);
    }
}
