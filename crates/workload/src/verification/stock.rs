//! Compares the stock before and after a run with the pieces that were sold.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use api::{OrderId, Product, ProductName};
use history::OrderCall;
use reqwest::Url;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::retrying_client::RetryPolicy;
use crate::store_client::StoreClient;

/// How long the stock may take to add up. If a leader dies while it places an order, the order's
/// pieces stay reserved until the next leader gives them back.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the stock is read until it adds up.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// What is known of a run during which no other client bought.
#[derive(Clone, Debug)]
pub struct SoleBuyer {
    /// The products before the run.
    pub before: Vec<Product>,
    /// The level that sold-out products are restocked to, if it is known.
    pub restock_level: Option<u64>,
    /// The frontends that show the stock after the run, at least one.
    pub targets: Vec<Url>,
    /// How long to ask a store that does not answer.
    pub timeout: Duration,
}

/// What the stock before and after a run says, given that no other client bought.
///
/// The public API shows how many pieces there are, but not how many were restocked. For each
/// product, *before* + *restocked* = *after* + *sold* gives the number of restocked pieces, which
/// must be possible:
///
/// * It is not negative. Otherwise pieces are missing that no client bought.
/// * If it is not zero, the product was sold out at least once, so *sold* is at least *before*.
/// * If the level that sold-out products are restocked to is known, it is a multiple of that level,
///   and all restocks but the last are sold, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StockCheck {
    /// Products that were compared.
    pub products: u64,
    /// Pieces sold.
    pub sold: u64,
    /// Pieces that must have been restocked.
    pub restocked: u64,
    /// Products whose stock does not add up; at most one entry per product.
    pub broken: Vec<StockMismatch>,
    /// Why the stock was not compared, if it was not.
    pub unknown: Option<String>,
}

/// A product whose stock does not add up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StockMismatch {
    /// The product.
    pub product: ProductName,
    /// Pieces in stock before the run.
    pub before: u64,
    /// Pieces in stock after the run.
    pub after: u64,
    /// Pieces sold.
    pub sold: u64,
}

impl StockCheck {
    /// Whether the stock of a product does not add up.
    pub fn is_broken(&self) -> bool {
        !self.broken.is_empty()
    }

    fn not_checked(why: impl Into<String>) -> Self {
        Self { unknown: Some(why.into()), ..Self::default() }
    }
}

impl fmt::Display for StockCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { products, sold, restocked, broken, unknown } = self;
        if let Some(why) = unknown {
            return write!(f, "NOT CHECKED: {why}");
        }
        write!(f, "{products} products, {sold} pieces sold, {restocked} restocked: ")?;
        if broken.is_empty() {
            return f.write_str("it adds up");
        }
        f.write_str("IT DOES NOT ADD UP")?;
        broken.iter().try_for_each(|StockMismatch { product, before, after, sold }| {
            write!(f, "\n  {product}: {before} before, {after} after, {sold} sold")
        })
    }
}

/// Compares the stock until it adds up, for at most [`SETTLE_TIMEOUT`]; if the store does not
/// answer, for at most `timeout`.
pub(super) async fn compare(orders: &[OrderCall], sole_buyer: SoleBuyer, is_known: bool) -> StockCheck {
    let SoleBuyer { before, restock_level, targets, timeout } = sole_buyer;
    if !is_known {
        return StockCheck::not_checked("it is not known of every order whether it was placed");
    }
    let stores: Vec<_> =
        targets.into_iter().map(|target| StoreClient::new(target, RetryPolicy::default().request_timeout)).collect();
    let sold = sold(orders);
    let begun = Instant::now();
    for store in stores.iter().cycle() {
        let (timeout, check) = match store.products().await {
            Ok(after) => (SETTLE_TIMEOUT, evaluate(&before, &after, &sold, restock_level)),
            Err(error) => (timeout, StockCheck::not_checked(error.to_string())),
        };
        if (!check.is_broken() && check.unknown.is_none()) || begun.elapsed() > timeout {
            return check;
        }
        sleep(POLL_INTERVAL).await;
    }
    StockCheck::not_checked("there is no frontend to read the stock from")
}

/// The acknowledged pieces of each product, each idempotency key once.
fn sold(orders: &[OrderCall]) -> BTreeMap<&ProductName, u64> {
    let acknowledged = orders.iter().filter(|call| call.number().is_some());
    let orders: BTreeMap<OrderId, _> =
        acknowledged.map(|call| (call.order_id, (&call.product, call.quantity))).collect();
    orders.into_values().fold(BTreeMap::new(), |mut sold, (product, quantity)| {
        *sold.entry(product).or_default() += u64::from(quantity.get());
        sold
    })
}

fn evaluate(
    before: &[Product],
    after: &[Product],
    sold: &BTreeMap<&ProductName, u64>,
    level: Option<u64>,
) -> StockCheck {
    let after: BTreeMap<_, _> = after.iter().map(|product| (&product.name, product.quantity.0)).collect();
    let mut check = StockCheck::default();
    for Product { name, quantity, .. } in before {
        let sold = sold.get(name).copied().unwrap_or(0);
        let after = after.get(name).copied().unwrap_or(0);
        let restocked = (after + sold).checked_sub(quantity.0);
        check.products += 1;
        check.sold += sold;
        match restocked.filter(|restocked| is_possible(*restocked, quantity.0, sold, level)) {
            Some(restocked) => check.restocked += restocked,
            None => check.broken.push(StockMismatch { product: name.clone(), before: quantity.0, after, sold }),
        }
    }
    check
}

/// Whether this many pieces can have been restocked.
fn is_possible(restocked: u64, before: u64, sold: u64, level: Option<u64>) -> bool {
    match (restocked, level) {
        (0, _) => true,
        (_, None) => sold >= before,
        (_, Some(0)) => false,
        // A product is restocked only when it is sold out: all pieces from before it are sold.
        (_, Some(level)) => restocked.is_multiple_of(level) && sold >= before + (restocked - level),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restock_must_be_possible() {
        // Nothing was restocked, nothing was sold.
        assert!(is_possible(0, 10, 0, None));
        // 10 before, 10 sold, 100 restocked, 3 of those sold.
        assert!(is_possible(100, 10, 13, Some(100)) && is_possible(100, 10, 13, None));
        // Never sold out, but restocked.
        assert!(!is_possible(1, 10, 5, None) && !is_possible(100, 10, 5, Some(100)));
        // Less than a whole restock.
        assert!(!is_possible(50, 10, 60, Some(100)) && is_possible(50, 10, 60, None));
        // Two restocks, but too few pieces were sold for the second.
        assert!(!is_possible(200, 10, 60, Some(100)) && is_possible(200, 10, 110, Some(100)));
        assert!(!is_possible(100, 0, 10, Some(0)));
    }

    #[test]
    fn a_missing_piece_is_found() {
        let product = |quantity: u64| {
            let json = serde_json::json!({"name": "Tux", "price": 25.99, "quantity": quantity});
            serde_json::from_value::<Product>(json).unwrap()
        };
        let name = product(0).name;
        let sold = BTreeMap::from([(&name, 3)]);
        let check = |after| evaluate(&[product(10)], &[product(after)], &sold, None);
        assert!(!check(7).is_broken());
        assert_eq!(check(7).to_string(), "1 products, 3 pieces sold, 0 restocked: it adds up");
        // Two more pieces are gone than were sold; one was restocked although never sold out.
        assert!(check(5).is_broken() && check(8).is_broken());
        assert!(check(5).to_string().ends_with("IT DOES NOT ADD UP\n  Tux: 10 before, 5 after, 3 sold"));
    }
}
