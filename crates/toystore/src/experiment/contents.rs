//! What the cache holds: one shopper, and a look into the cache after each of his requests.
//!
//! What should be in it is known: the least recently used product gives way ([`Model`]), and one that is bought is gone before the order is
//! acknowledged. Of our own store, which nobody else is in, each look must show exactly that.

use std::time::Duration;

use api::frontend::CacheContents;
use api::public::NewOrder;
use api::{OrderId, ProductName, Quantity};
use client::{Purchase, Store};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use super::shop::{Cache, Shop};

/// How likely the shopper buys what it has looked at.
const BUYS: f64 = 0.15;

/// The store's own deadline is 5 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// Differences that are told of; the rest is counted.
const WRONG_MAX: usize = 10;

/// What the shopper did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Looked at a product that was in the cache.
    Hit,
    /// Looked at one that was not.
    Miss,
    /// Bought one.
    Buy,
}

impl Act {
    /// As reports call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hit => "looked at, from the cache",
            Self::Miss => "looked at, fetched",
            Self::Buy => "bought",
        }
    }
}

/// One request, and what was in the cache after it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// What was done.
    pub(super) act: Act,
    /// To which product.
    pub(super) product: ProductName,
    /// How long the shopper waited for it.
    pub(super) latency: Duration,
    /// What the cache held then, the most recently used first.
    pub(super) contents: Vec<ProductName>,
}

/// All of them.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    /// How many products fit.
    pub(super) capacity: usize,
    /// In their order.
    pub(super) steps: Vec<Step>,
    /// How often the cache was cleared: its lease had run out, as it does on a machine that stands still for a second.
    pub(super) cleared: u64,
    /// How often it held something else than it should.
    pub(super) differences: u64,
    /// The first of those.
    pub(super) wrong: Vec<String>,
    /// Orders that were acknowledged.
    pub(super) acknowledged: u64,
}

/// A cache as it should be: an LRU list from which changed products are taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Model {
    capacity: usize,
    /// The most recently used first.
    products: Vec<ProductName>,
}

impl Model {
    fn new(capacity: usize, products: Vec<ProductName>) -> Self {
        Self { capacity, products }
    }

    /// Whether a look would be answered from it.
    fn has(&self, product: &ProductName) -> bool {
        self.products.contains(product)
    }

    /// Somebody looks at a product: it comes to the front, and the last one may have to go.
    fn look(&mut self, product: &ProductName) {
        self.change(product);
        self.products.insert(0, product.clone());
        self.products.truncate(self.capacity);
    }

    /// Its stock changes: it is forgotten.
    fn change(&mut self, product: &ProductName) {
        self.products.retain(|kept| kept != product);
    }
}

/// What may be served, the most recently used first. Without a lease that is nothing: what is still there goes before the next lease begins.
fn served(contents: CacheContents) -> Vec<ProductName> {
    let CacheContents { lease_valid, products, .. } = contents;
    products.into_iter().filter(|_| lease_valid).map(|product| product.name).collect()
}

/// Lets one shopper make so many requests. `None` if nobody can look into the cache, or if it is off.
///
/// # Errors
/// If the store does not serve the shopper.
pub(super) async fn trace(shop: &Shop, steps: u32, seed: u64) -> Result<Option<Trace>, String> {
    let Some(first) = shop.contents().await?.filter(|contents| contents.capacity > 0) else { return Ok(None) };
    let front = shop.front(Cache::On).expect("it is there whatever the cache is");
    let store = Store::enter(client::base_url(front)?, ANSWER_TIMEOUT);
    let told = |error: client::StoreError| error.to_string();
    let products: Vec<_> = store.products().await.map_err(told)?.into_iter().map(|product| product.name).collect();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut tracing = Tracing::new(Model::new(first.capacity, served(first)));
    let mut looked_at = None;
    for _ in 0..steps {
        let buys = random.random_bool(BUYS);
        let product = if let Some(product) = looked_at.take().filter(|_| buys) {
            let order = NewOrder { name: product, quantity: Quantity::ONE };
            let begun = Instant::now();
            let purchase = store.order(OrderId::random(), &order).await.map_err(told)?;
            tracing.act(Act::Buy, &order.name, begun.elapsed());
            tracing.trace.acknowledged += u64::from(matches!(purchase, Purchase::Placed(_)));
            order.name
        } else {
            let product = products[random.random_range(0..products.len())].clone();
            let act = if tracing.model.has(&product) { Act::Hit } else { Act::Miss };
            let begun = Instant::now();
            store.product(&product).await.map_err(told)?;
            tracing.act(act, &product, begun.elapsed());
            looked_at = Some(product.clone());
            product
        };
        let contents = shop.contents().await?.ok_or("the cache cannot be asked any more")?;
        tracing.compare(&product, served(contents));
    }
    Ok(Some(tracing.trace))
}

/// A trace under way.
struct Tracing {
    model: Model,
    trace: Trace,
}

impl Tracing {
    fn new(model: Model) -> Self {
        let capacity = model.capacity;
        let (steps, wrong) = (Vec::new(), Vec::new());
        Self { model, trace: Trace { capacity, steps, cleared: 0, differences: 0, wrong, acknowledged: 0 } }
    }

    /// Something was done; what the cache holds is seen next.
    fn act(&mut self, act: Act, product: &ProductName, latency: Duration) {
        match act {
            Act::Hit | Act::Miss => self.model.look(product),
            Act::Buy => self.model.change(product),
        }
        self.trace.steps.push(Step { act, product: product.clone(), latency, contents: Vec::new() });
    }

    /// Compares what the cache holds after `product` was asked for with what it should hold.
    fn compare(&mut self, product: &ProductName, contents: Vec<ProductName>) {
        let Trace { steps, cleared, differences, wrong, .. } = &mut self.trace;
        if contents != self.model.products {
            if contents.iter().all(|kept| kept == product) {
                *cleared += 1;
            } else {
                *differences += 1;
                if wrong.len() < WRONG_MAX {
                    let list =
                        |names: &[ProductName]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                    let (held, should) = (list(&contents), list(&self.model.products));
                    wrong.push(format!(
                        "step {}, {product}: the cache holds {held}, and should hold {should}",
                        steps.len()
                    ));
                }
            }
            self.model.products.clone_from(&contents);
        }
        steps.last_mut().expect("something was done").contents = contents;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<ProductName> {
        text.split_whitespace().map(|name| ProductName::new(name).unwrap()).collect()
    }

    fn do_and_compare(tracing: &mut Tracing, act: Act, product: &str, contents: &str) {
        let product = ProductName::new(product).unwrap();
        tracing.act(act, &product, Duration::ZERO);
        tracing.compare(&product, names(contents));
    }

    #[test]
    fn the_least_recently_used_gives_way_and_the_bought_is_gone() {
        let mut tracing = Tracing::new(Model::new(3, names("")));
        for (act, product, contents) in [
            (Act::Miss, "Fox", "Fox"),
            (Act::Miss, "Tux", "Tux Fox"),
            (Act::Miss, "Bear", "Bear Tux Fox"),
            (Act::Hit, "Fox", "Fox Bear Tux"),
            (Act::Miss, "Crab", "Crab Fox Bear"),
            (Act::Buy, "Fox", "Crab Bear"),
        ] {
            do_and_compare(&mut tracing, act, product, contents);
        }
        assert_eq!((tracing.trace.differences, tracing.trace.cleared), (0, 0), "{:?}", tracing.trace.wrong);
        assert!(tracing.model.has(&names("Bear")[0]) && !tracing.model.has(&names("Fox")[0]));
    }

    #[test]
    fn without_a_lease_nothing_is_served_and_the_cache_counts_as_cleared() {
        let products = [("Bear", 1), ("Tux", 2)].map(|(name, quantity)| api::Product {
            name: ProductName::new(name).unwrap(),
            price: api::Price::from_cents(100).unwrap(),
            quantity: api::Stock(quantity),
        });
        let contents = |lease_valid| CacheContents { capacity: 2, lease_valid, products: products.to_vec() };
        assert_eq!(served(contents(true)), names("Bear Tux"));
        let mut tracing = Tracing::new(Model::new(2, served(contents(true))));
        // The lease ran out, so what was fetched was not kept.
        let fox = names("Fox").remove(0);
        tracing.act(Act::Miss, &fox, Duration::ZERO);
        tracing.compare(&fox, served(contents(false)));
        assert_eq!((tracing.trace.differences, tracing.trace.cleared), (0, 1));
        assert!(!tracing.model.has(&products[0].name));
    }

    #[test]
    fn what_is_wrong_is_seen_and_a_cleared_cache_is_not_wrong() {
        let mut tracing = Tracing::new(Model::new(2, names("Fox Tux")));
        do_and_compare(&mut tracing, Act::Miss, "Bear", "Bear");
        assert_eq!((tracing.trace.differences, tracing.trace.cleared), (0, 1));
        // Not the one that should have gone.
        do_and_compare(&mut tracing, Act::Miss, "Fox", "Fox Bear");
        do_and_compare(&mut tracing, Act::Miss, "Tux", "Tux Bear");
        assert_eq!((tracing.trace.differences, tracing.trace.cleared), (1, 1));
        assert!(
            tracing.trace.wrong[0].ends_with("holds Tux, Bear, and should hold Tux, Fox"),
            "{:?}",
            tracing.trace.wrong
        );
        // Bought, and still there: a stale answer is possible.
        do_and_compare(&mut tracing, Act::Buy, "Tux", "Tux Bear");
        assert_eq!(tracing.trace.differences, 2);
    }
}
