//! Is every piece that went sold?

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use api::{Product, ProductName};
use history::History;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::super::Plan;
use super::{ANSWER_TIMEOUT, PATIENCE, PAUSE, sold};
use crate::store::{Store, base_url};

/// An order that was cut off in the middle by a dying leader has taken its pieces until the next leader gives them back.
const SETTLING: Duration = Duration::from_secs(10);

/// What the stock before and after a load says, given that nobody else bought.
///
/// The public API shows how many pieces there are, and not what came in. So, per product, *before* + *restocked* = *after* + *sold* tells
/// what was restocked, and that must be possible:
///
/// * it is not negative, else pieces are gone that nobody bought;
/// * if it is not 0, the product was sold out at least once, so that *sold* is at least *before*;
/// * if it is known what a sold-out product comes back to, it is a multiple of that, and all but the last restock are sold too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stock {
    /// Products that were compared.
    pub products: u64,
    /// Pieces sold.
    pub sold: u64,
    /// Pieces that must have been restocked.
    pub restocked: u64,
    /// What cannot be; at most one entry per product.
    pub broken: Vec<StockFinding>,
    /// Why nothing is said, if so.
    pub unknown: Option<String>,
}

/// A product whose numbers do not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StockFinding {
    /// Which one.
    pub product: ProductName,
    /// Pieces in stock before the load.
    pub before: u64,
    /// Pieces in stock after it.
    pub after: u64,
    /// Pieces sold.
    pub sold: u64,
}

impl Stock {
    /// Whether pieces came or went in a way that cannot be.
    pub fn is_broken(&self) -> bool {
        !self.broken.is_empty()
    }
}

impl fmt::Display for Stock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { products, sold, restocked, broken, unknown } = self;
        if let Some(why) = unknown {
            return write!(f, "nothing can be said: {why}");
        }
        write!(f, "{products} products, {sold} pieces sold, {restocked} restocked: ")?;
        if broken.is_empty() {
            return f.write_str("it adds up");
        }
        f.write_str("IT DOES NOT ADD UP")?;
        broken.iter().try_for_each(|StockFinding { product, before, after, sold }| {
            write!(f, "\n  {product}: {before} before, {after} after, {sold} sold")
        })
    }
}

/// Looks until it adds up, for [`SETTLING`] at most.
pub(super) async fn compare(
    plan: &Plan,
    history: &History,
    before: Vec<Product>,
    restock_level: Option<u64>,
    is_known: bool,
) -> Stock {
    if !is_known {
        return Stock {
            unknown: Some("it is not known of each order whether it was placed".into()),
            ..Stock::default()
        };
    }
    let store = base_url(&plan.targets[0]).map(|base| Store::enter(base, ANSWER_TIMEOUT)).expect("it was loaded");
    let sold = sold(history);
    let begun = Instant::now();
    loop {
        let (patience, outcome) = match store.products().await {
            Ok(after) => (SETTLING, judge(&before, &after, &sold, restock_level)),
            Err(error) => (PATIENCE, Stock { unknown: Some(error.to_string()), ..Stock::default() }),
        };
        if (!outcome.is_broken() && outcome.unknown.is_none()) || begun.elapsed() > patience {
            return outcome;
        }
        sleep(PAUSE).await;
    }
}

fn judge(before: &[Product], after: &[Product], sold: &BTreeMap<&ProductName, u64>, level: Option<u64>) -> Stock {
    let after: BTreeMap<_, _> = after.iter().map(|product| (&product.name, product.quantity.0)).collect();
    let mut stock = Stock::default();
    for Product { name, quantity, .. } in before {
        let sold = sold.get(name).copied().unwrap_or(0);
        let after = after.get(name).copied().unwrap_or(0);
        let restocked = (after + sold).checked_sub(quantity.0);
        stock.products += 1;
        stock.sold += sold;
        match restocked.filter(|restocked| is_possible(*restocked, quantity.0, sold, level)) {
            Some(restocked) => stock.restocked += restocked,
            None => stock.broken.push(StockFinding { product: name.clone(), before: quantity.0, after, sold }),
        }
    }
    stock
}

/// Whether so many pieces can have been restocked.
fn is_possible(restocked: u64, before: u64, sold: u64, level: Option<u64>) -> bool {
    match (restocked, level) {
        (0, _) => true,
        (_, None) => sold >= before,
        (_, Some(0)) => false,
        // Each restock finds nothing: what was there before it is sold.
        (_, Some(level)) => restocked.is_multiple_of(level) && sold >= before + (restocked - level),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be() {
        // Nothing came, nothing went.
        assert!(is_possible(0, 10, 0, None));
        // 10 before, 10 sold, 100 came, 3 of those sold.
        assert!(is_possible(100, 10, 13, Some(100)) && is_possible(100, 10, 13, None));
        // It was never sold out, and yet something came.
        assert!(!is_possible(1, 10, 5, None) && !is_possible(100, 10, 5, Some(100)));
        // A part of a restock.
        assert!(!is_possible(50, 10, 60, Some(100)) && is_possible(50, 10, 60, None));
        // Two restocks, but too few were sold for the second.
        assert!(!is_possible(200, 10, 60, Some(100)) && is_possible(200, 10, 110, Some(100)));
        assert!(!is_possible(100, 0, 10, Some(0)));
    }

    #[test]
    fn a_piece_that_is_gone_is_seen() {
        let product = |quantity: u64| {
            let json = serde_json::json!({"name": "Tux", "price": 25.99, "quantity": quantity});
            serde_json::from_value::<Product>(json).unwrap()
        };
        let name = product(0).name;
        let sold = BTreeMap::from([(&name, 3)]);
        let judge = |after| judge(&[product(10)], &[product(after)], &sold, None);
        assert!(!judge(7).is_broken());
        assert_eq!(judge(7).to_string(), "1 products, 3 pieces sold, 0 restocked: it adds up");
        // Two more are gone than were sold; and one came although it was never sold out.
        assert!(judge(5).is_broken() && judge(8).is_broken());
        assert!(judge(5).to_string().ends_with("IT DOES NOT ADD UP\n  Tux: 10 before, 5 after, 3 sold"));
    }
}
