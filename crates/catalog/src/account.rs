//! The stock account of one product.

use api::catalog::StockAccount;
use api::{Price, Product, ProductName, ProductVersion, Quantity, Stock};
use serde::{Deserialize, Serialize};

/// What shoppers see of a product, and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The product.
    pub product: Product,
    /// Counts the changes of its stock.
    pub version: ProductVersion,
}

/// Where each piece of one product is: in stock, reserved, or sold.
///
/// Each change checks invariant I4 at its end: `initial + restocked = stock + reserved + sold`. If
/// it is broken, the process ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    price: Price,
    initial: u64,
    restocked: u64,
    stock: Stock,
    reserved: u64,
    sold: u64,
    version: ProductVersion,
}

impl Account {
    /// A new product with this stock.
    pub(crate) fn open(price: Price, pieces: Stock) -> Self {
        let version = ProductVersion(1);
        Self { price, initial: pieces.0, restocked: 0, stock: pieces, reserved: 0, sold: 0, version }
    }

    /// Moves pieces from stock to reserved; returns false, and moves nothing, if there are too few.
    pub(crate) fn reserve(&mut self, quantity: Quantity) -> bool {
        let Some(left) = self.stock.take(quantity) else { return false };
        self.reserved = plus(self.reserved, quantity);
        self.change_stock(left);
        true
    }

    /// Moves reserved pieces to sold. What shoppers see stays the same.
    pub(crate) fn sell(&mut self, quantity: Quantity) {
        self.reserved = minus(self.reserved, quantity);
        self.sold = plus(self.sold, quantity);
        self.check();
    }

    /// Moves reserved pieces back to stock.
    pub(crate) fn release(&mut self, quantity: Quantity) {
        self.reserved = minus(self.reserved, quantity);
        self.change_stock(self.stock.put_back(quantity));
    }

    /// Adds `level` pieces if nothing is in stock; returns whether it did.
    pub(crate) fn restock(&mut self, level: Stock) -> bool {
        if self.stock != Stock(0) || level == Stock(0) {
            return false;
        }
        self.restocked = self.restocked.checked_add(level.0).expect("restocked pieces fit in 64 bits");
        self.change_stock(level);
        true
    }

    pub(crate) fn sold(&self) -> u64 {
        self.sold
    }

    pub(crate) fn is_sold_out(&self) -> bool {
        self.stock == Stock(0)
    }

    pub(crate) fn version(&self) -> ProductVersion {
        self.version
    }

    pub(crate) fn offer(&self, name: &ProductName) -> Offer {
        let product = Product { name: name.clone(), price: self.price, quantity: self.stock };
        Offer { product, version: self.version }
    }

    pub(crate) fn statement(&self, name: &ProductName) -> StockAccount {
        StockAccount {
            name: name.clone(),
            price: self.price,
            initial: self.initial,
            restocked: self.restocked,
            stock: self.stock,
            sold: self.sold,
            reserved: self.reserved,
        }
    }

    fn change_stock(&mut self, stock: Stock) {
        self.stock = stock;
        self.version = ProductVersion(self.version.0 + 1);
        self.check();
    }

    fn check(&self) {
        let received = self.initial.checked_add(self.restocked);
        let accounted_for = self.stock.0.checked_add(self.reserved).and_then(|pieces| pieces.checked_add(self.sold));
        assert!(
            received.is_some() && received == accounted_for,
            "I4: initial + restocked = stock + reserved + sold does not hold: {self:?}"
        );
    }
}

fn plus(pieces: u64, quantity: Quantity) -> u64 {
    pieces.checked_add(u64::from(quantity.get())).expect("pieces fit in 64 bits")
}

fn minus(pieces: u64, quantity: Quantity) -> u64 {
    pieces.checked_sub(u64::from(quantity.get())).expect("I4: no more pieces leave the reservations than are in them")
}
