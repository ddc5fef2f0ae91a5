//! The files of an import: those that must not exist before, and those that it writes.

use std::collections::BTreeMap;
use std::path::Path;

use api::{Product, Stock};

use super::past_orders::PastOrder;
use crate::local::{PortBase, StoreLayout, WELL_KNOWN_BASE};

/// Maps the numbers that the orders had to their new numbers.
pub(super) const NUMBERS: &str = "imported-orders.csv";

/// A mistake, if `data` already contains a store.
pub(super) fn existing_store(data: &Path) -> Option<String> {
    let layout = StoreLayout::new(data, PortBase::fixed(WELL_KNOWN_BASE));
    let files = layout.members().into_iter().flat_map(|member| layout.files(member));
    let found = files.chain([data.join(NUMBERS)]).filter(|file| file.exists());
    let found: Vec<_> = found.map(|file| file.display().to_string()).collect();
    (!found.is_empty()).then(|| {
        let (data, found) = (data.display(), found.join(", "));
        format!("{data} already contains a store ({found}); an import creates a new one, so choose another directory")
    })
}

/// The present stock plus what was sold.
pub(super) fn initial_stock(products: &[Product], orders: &[PastOrder]) -> Vec<Product> {
    let mut sold = BTreeMap::<_, u64>::new();
    for order in orders {
        *sold.entry(&order.name).or_default() += u64::from(order.quantity.get());
    }
    let with_sold = |product: &Product| {
        let sold = sold.get(&product.name).copied().unwrap_or(0);
        Product { quantity: Stock(product.quantity.0 + sold), ..product.clone() }
    };
    products.iter().map(with_sold).collect()
}

/// Writes the initial products of the catalog, and the map of order numbers.
pub(super) fn write(data: &Path, initial: &[Product], orders: &[PastOrder]) -> Result<(), String> {
    let message = |path: &Path, error: &dyn std::fmt::Display| format!("cannot write {}: {error}", path.display());
    std::fs::create_dir_all(data).map_err(|error| message(data, &error))?;
    let products = initial.iter().map(|it| [it.name.to_string(), it.price.to_string(), it.quantity.to_string()]);
    let numbers = orders.iter().map(|it| [it.before.to_string(), it.number.to_string()]);
    let path = data.join("catalog.csv");
    table(&path, ["name", "price", "quantity"], products).map_err(|error| message(&path, &error))?;
    let path = data.join(NUMBERS);
    table(&path, ["number_before", "number"], numbers).map_err(|error| message(&path, &error))
}

fn table<const N: usize>(
    path: &Path,
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> Result<(), csv::Error> {
    let mut writer = csv::Writer::from_path(path)?;
    writer.write_record(header)?;
    for row in rows {
        writer.write_record(row)?;
    }
    Ok(writer.flush()?)
}
