//! The cache trace: one shopper, and the contents of the cache after each of its requests.
//!
//! The expected contents are known: the least recently used product is evicted ([`LruModel`]), and
//! a product that is ordered is invalidated before the order is acknowledged. In a store that the
//! experiment started itself there are no other clients, so the contents must equal the model after
//! every request.

use std::time::Duration;

use api::frontend::CacheContents;
use api::public::NewOrder;
use api::{OrderId, ProductName, Quantity};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use workload::{Purchase, StoreClient};

use super::target::{CacheMode, Target};

/// Probability that the shopper buys a product that it has read.
const BUYS: f64 = 0.15;

/// Longer than the store's own deadline of 5 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// Maximum number of differences that are described; all are counted.
const DIFFERENCES_LISTED_MAX: usize = 10;

/// A request of the shopper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CacheAction {
    /// A read of a product that was in the cache.
    Hit,
    /// A read of a product that was not in the cache.
    Miss,
    /// An order.
    Buy,
}

impl CacheAction {
    /// Its name in reports.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hit => "read, from the cache",
            Self::Miss => "read, fetched from the catalog",
            Self::Buy => "bought",
        }
    }
}

/// A request, and the contents of the cache after it.
#[derive(Clone, Debug)]
pub(super) struct TraceStep {
    /// The request.
    pub(super) action: CacheAction,
    /// The product that it reads or orders.
    pub(super) product: ProductName,
    /// Its latency.
    pub(super) latency: Duration,
    /// The contents of the cache after it, the most recently used product first.
    pub(super) contents: Vec<ProductName>,
}

/// All requests of the shopper.
#[derive(Clone, Debug)]
pub(super) struct CacheTrace {
    /// The capacity of the cache, in products.
    pub(super) capacity: usize,
    /// In chronological order.
    pub(super) steps: Vec<TraceStep>,
    /// How often the cache was cleared because its lease had expired, as happens on a machine that
    /// stalls for a second.
    pub(super) cleared: u64,
    /// How often the contents differed from the model.
    pub(super) differences: u64,
    /// Descriptions of the first differences.
    pub(super) described: Vec<String>,
    /// The number of acknowledged orders.
    pub(super) acknowledged: u64,
    /// Why not all requests were sent, if so. The last one may have been an order whose outcome is
    /// unknown.
    pub(super) ended_early: Option<String>,
}

/// The expected contents of the cache: an LRU list from which changed products are removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LruModel {
    capacity: usize,
    /// The most recently used product first.
    products: Vec<ProductName>,
}

impl LruModel {
    fn new(capacity: usize, products: Vec<ProductName>) -> Self {
        Self { capacity, products }
    }

    /// Whether a read of the product is a hit.
    fn contains(&self, product: &ProductName) -> bool {
        self.products.contains(product)
    }

    /// A read moves a product to the front, and may evict the last one.
    fn read(&mut self, product: &ProductName) {
        self.invalidate(product);
        self.products.insert(0, product.clone());
        self.products.truncate(self.capacity);
    }

    /// A change of its stock removes a product.
    fn invalidate(&mut self, product: &ProductName) {
        self.products.retain(|kept| kept != product);
    }
}

/// The products that may be served from the cache, the most recently used first. None without a
/// lease: products that are still in the cache are removed before the next lease begins.
fn served(contents: CacheContents) -> Vec<ProductName> {
    let CacheContents { lease_valid, products, .. } = contents;
    products.into_iter().filter(|_| lease_valid).map(|product| product.name).collect()
}

/// Sends this many requests of one shopper, or until `stop`. Returns `None` if the cache cannot be
/// inspected or is off. A trace that ends early says [why](CacheTrace::ended_early).
///
/// # Errors
/// If the store does not answer at the beginning.
pub(super) async fn trace(
    target: &Target,
    steps: u32,
    seed: u64,
    stop: &CancellationToken,
) -> Result<Option<CacheTrace>, String> {
    let Some(initial) = target.cache_contents().await?.filter(|contents| contents.capacity > 0) else {
        return Ok(None);
    };
    let mut recorder = TraceRecorder::new(LruModel::new(initial.capacity, served(initial)));
    let finished = stop.run_until_cancelled(record(&mut recorder, target, steps, seed)).await;
    recorder.trace.ended_early = finished.unwrap_or_else(|| Err("it was stopped".into())).err();
    Ok(Some(recorder.trace))
}

/// Sends the requests.
///
/// # Errors
/// If the store does not serve the shopper.
async fn record(recorder: &mut TraceRecorder, target: &Target, steps: u32, seed: u64) -> Result<(), String> {
    let frontend = target.frontend(CacheMode::On).expect("every target has a frontend with a cache");
    let store = StoreClient::new(workload::base_url(frontend)?, ANSWER_TIMEOUT);
    let text = |error: workload::StoreClientError| error.to_string();
    let products: Vec<_> = store.products().await.map_err(text)?.into_iter().map(|product| product.name).collect();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut last_read = None;
    for _ in 0..steps {
        let buys = random.random_bool(BUYS);
        let product = if let Some(product) = last_read.take().filter(|_| buys) {
            let order = NewOrder { name: product, quantity: Quantity::ONE };
            let begun = Instant::now();
            let purchase = store.place_order(OrderId::random(), &order).await.map_err(text)?;
            recorder.record(CacheAction::Buy, &order.name, begun.elapsed());
            recorder.trace.acknowledged += u64::from(matches!(purchase, Purchase::Placed(_)));
            order.name
        } else {
            let product = products[random.random_range(0..products.len())].clone();
            let action = if recorder.model.contains(&product) { CacheAction::Hit } else { CacheAction::Miss };
            let begun = Instant::now();
            store.product(&product).await.map_err(text)?;
            recorder.record(action, &product, begun.elapsed());
            last_read = Some(product.clone());
            product
        };
        let contents = target.cache_contents().await?.ok_or("the frontend no longer shows its cache")?;
        recorder.compare(&product, served(contents));
    }
    Ok(())
}

/// Records a trace and compares it with the model.
struct TraceRecorder {
    model: LruModel,
    trace: CacheTrace,
}

impl TraceRecorder {
    fn new(model: LruModel) -> Self {
        let capacity = model.capacity;
        let (steps, described, ended_early) = (Vec::new(), Vec::new(), None);
        let trace = CacheTrace { capacity, steps, cleared: 0, differences: 0, described, acknowledged: 0, ended_early };
        Self { model, trace }
    }

    /// Records a request; [`TraceRecorder::compare`] adds the contents of the cache.
    fn record(&mut self, action: CacheAction, product: &ProductName, latency: Duration) {
        match action {
            CacheAction::Hit | CacheAction::Miss => self.model.read(product),
            CacheAction::Buy => self.model.invalidate(product),
        }
        self.trace.steps.push(TraceStep { action, product: product.clone(), latency, contents: Vec::new() });
    }

    /// Compares the contents of the cache after a request for `product` with the model.
    fn compare(&mut self, product: &ProductName, contents: Vec<ProductName>) {
        let CacheTrace { steps, cleared, differences, described, .. } = &mut self.trace;
        if contents != self.model.products {
            if contents.iter().all(|kept| kept == product) {
                *cleared += 1;
            } else {
                *differences += 1;
                if described.len() < DIFFERENCES_LISTED_MAX {
                    let list =
                        |names: &[ProductName]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                    let (held, should) = (list(&contents), list(&self.model.products));
                    described.push(format!(
                        "step {}, {product}: the cache holds {held}, but should hold {should}",
                        steps.len()
                    ));
                }
            }
            self.model.products.clone_from(&contents);
        }
        steps.last_mut().expect("a step was recorded").contents = contents;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<ProductName> {
        text.split_whitespace().map(|name| ProductName::new(name).unwrap()).collect()
    }

    fn record_and_compare(recorder: &mut TraceRecorder, action: CacheAction, product: &str, contents: &str) {
        let product = ProductName::new(product).unwrap();
        recorder.record(action, &product, Duration::ZERO);
        recorder.compare(&product, names(contents));
    }

    #[test]
    fn the_least_recently_used_product_is_evicted_and_an_ordered_one_is_invalidated() {
        let mut recorder = TraceRecorder::new(LruModel::new(3, names("")));
        for (action, product, contents) in [
            (CacheAction::Miss, "Fox", "Fox"),
            (CacheAction::Miss, "Tux", "Tux Fox"),
            (CacheAction::Miss, "Bear", "Bear Tux Fox"),
            (CacheAction::Hit, "Fox", "Fox Bear Tux"),
            (CacheAction::Miss, "Crab", "Crab Fox Bear"),
            (CacheAction::Buy, "Fox", "Crab Bear"),
        ] {
            record_and_compare(&mut recorder, action, product, contents);
        }
        assert_eq!((recorder.trace.differences, recorder.trace.cleared), (0, 0), "{:?}", recorder.trace.described);
        assert!(recorder.model.contains(&names("Bear")[0]) && !recorder.model.contains(&names("Fox")[0]));
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
        let mut recorder = TraceRecorder::new(LruModel::new(2, served(contents(true))));
        // The lease expired, so the fetched product was not kept.
        let fox = names("Fox").remove(0);
        recorder.record(CacheAction::Miss, &fox, Duration::ZERO);
        recorder.compare(&fox, served(contents(false)));
        assert_eq!((recorder.trace.differences, recorder.trace.cleared), (0, 1));
        assert!(!recorder.model.contains(&products[0].name));
    }

    #[test]
    fn differences_are_noticed_and_a_cleared_cache_is_not_one() {
        let mut recorder = TraceRecorder::new(LruModel::new(2, names("Fox Tux")));
        record_and_compare(&mut recorder, CacheAction::Miss, "Bear", "Bear");
        assert_eq!((recorder.trace.differences, recorder.trace.cleared), (0, 1));
        // The wrong product was evicted.
        record_and_compare(&mut recorder, CacheAction::Miss, "Fox", "Fox Bear");
        record_and_compare(&mut recorder, CacheAction::Miss, "Tux", "Tux Bear");
        assert_eq!((recorder.trace.differences, recorder.trace.cleared), (1, 1));
        assert!(
            recorder.trace.described[0].ends_with("holds Tux, Bear, but should hold Tux, Fox"),
            "{:?}",
            recorder.trace.described
        );
        // Ordered, but still in the cache: a stale read is possible.
        record_and_compare(&mut recorder, CacheAction::Buy, "Tux", "Tux Bear");
        assert_eq!(recorder.trace.differences, 2);
    }
}
