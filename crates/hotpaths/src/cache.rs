//! The frontend's way through its cache.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Result, ensure};
use api::{Price, Product, ProductName, ProductVersion, Stock, Term};
use bytes::Bytes;
use frontend::cache::SharedCache;
use prometheus::Registry;
use tokio::time::Instant;

use crate::Times;

/// As many as the cache holds unless it is told otherwise.
const PRODUCTS: usize = 7;

/// Longer than any run: the lease is looked at, and is valid.
const LEASE: Duration = Duration::from_hours(1);

pub(crate) fn hit(times: Times) -> Result<()> {
    let names: Vec<_> = (1..=PRODUCTS).map(|n| format!("Toy {n}")).collect();
    let cache = filled(&names)?;
    let mut hits = 0;
    for name in names.iter().cycle().take(times.0) {
        hits += usize::from(black_box(cache.hit(black_box(name))).is_some());
    }
    ensure!(hits == times.0, "{hits} hits of {times}");
    Ok(())
}

fn filled(names: &[String]) -> Result<SharedCache> {
    let cache = SharedCache::new(names.len(), &Registry::new());
    cache.grant(Term(1), Instant::now() + LEASE);
    for name in names {
        let name = ProductName::new(name)?;
        let body = Bytes::from(format!(r#"{{"data":{{"name":"{name}","price":25.99,"quantity":100}}}}"#));
        let product = Product { name, price: Price::from_cents(2599)?, quantity: Stock(100) };
        cache.fill(cache.begin_fetch(), product, ProductVersion(1), body);
    }
    Ok(cache)
}
