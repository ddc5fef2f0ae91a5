//! The order log of another store: `Order number,Product name,Quantity`, one line per order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use api::{OrderNumber, Product, ProductName, Quantity};
use catalog::seed::{PIECES_MAX, line_at};
use csv::StringRecord;

/// Maximum number of orders: as many as the order service recognizes by their ids when a request is
/// repeated.
const ORDERS_MAX: usize = order::orders::DEDUP_WINDOW_ORDERS;

/// Maximum size of the file in bytes: room for [`ORDERS_MAX`] lines.
const FILE_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Maximum number of reported mistakes: the user corrects some and tries again.
const MISTAKES_MAX: usize = 50;

/// The names of the columns, in lower case and with spaces.
const COLUMNS: [&str; 3] = ["order number", "product name", "quantity"];

/// An order of the other store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PastOrder {
    /// Its number in the other store.
    pub(super) before: u64,
    /// Its number in the new store.
    pub(super) number: OrderNumber,
    pub(super) name: ProductName,
    pub(super) quantity: Quantity,
}

/// The rules for orders.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    /// The known products; `None` if the catalog file has mistakes of its own.
    pub(super) products: Option<&'a [Product]>,
    /// Whether empty orders are skipped; otherwise they are mistakes.
    pub(super) skip_empty: bool,
}

/// Reads the orders of a file, or all mistakes in it.
pub(super) fn read(path: &Path, rules: &Rules<'_>) -> Result<Vec<PastOrder>, Vec<String>> {
    let name = path.display();
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text));
    match read {
        Err(error) => Err(vec![format!("{name}: {error}")]),
        Ok(_) if text.len() as u64 > FILE_BYTES_MAX => {
            Err(vec![format!("{name} is larger than {FILE_BYTES_MAX} bytes")])
        }
        Ok(_) => parse(&text, rules).map_err(|mistakes| mistakes.iter().map(|what| format!("{name} {what}")).collect()),
    }
}

/// Parses the orders; each mistake starts with its line.
fn parse(text: &[u8], rules: &Rules<'_>) -> Result<Vec<PastOrder>, Vec<String>> {
    // Spreadsheets write a byte order mark before UTF-8.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text);
    let header = reader.headers().map_err(|error| vec![format!("line 1: {error}")])?.clone();
    let mut reading =
        OrderReader { columns: columns(&header)?, rules, orders: Vec::new(), last: None, pieces: BTreeMap::new() };
    let mut mistakes = Vec::new();
    for record in reader.records() {
        let (position, wrong) = match &record {
            Ok(record) => (record.position(), reading.add(record).err().unwrap_or_default()),
            Err(error) => (error.position(), vec!["not valid UTF-8".to_owned()]),
        };
        let line = position.map_or(0, |position| line_at(text, position.byte()));
        mistakes.extend(wrong.iter().map(|what| format!("line {line}: {what}")));
        if mistakes.len() >= MISTAKES_MAX {
            mistakes.push("may have more mistakes".to_owned());
            return Err(mistakes);
        }
        if reading.orders.len() > ORDERS_MAX {
            mistakes.push(format!("has more than {ORDERS_MAX} orders, which is the maximum"));
            return Err(mistakes);
        }
    }
    mistakes.extend(reading.too_many_pieces());
    if mistakes.is_empty() { Ok(reading.orders) } else { Err(mistakes) }
}

/// The positions of the [`COLUMNS`].
fn columns(header: &StringRecord) -> Result<[usize; 3], Vec<String>> {
    let names: Vec<_> = header.iter().map(|name| name.to_lowercase().replace('_', " ")).collect();
    if names.len() != COLUMNS.len() {
        return Err(vec![format!("line 1: the columns must be {}, not {}", COLUMNS.join(", "), names.join(", "))]);
    }
    let positions = COLUMNS.map(|column| names.iter().position(|name| name == column));
    let missing = COLUMNS.iter().zip(positions).filter(|(_, position)| position.is_none());
    let missing: Vec<_> = missing.map(|(column, _)| format!("line 1: column {column:?} is missing")).collect();
    if missing.is_empty() {
        Ok(positions.map(|position| position.expect("no column is missing")))
    } else {
        Err(missing)
    }
}

struct OrderReader<'a> {
    columns: [usize; 3],
    rules: &'a Rules<'a>,
    orders: Vec<PastOrder>,
    /// The previous line's number in the other store.
    last: Option<u64>,
    /// Pieces ordered so far, by product.
    pieces: BTreeMap<ProductName, u64>,
}

impl OrderReader<'_> {
    /// Adds the order of one line, or returns all mistakes in it.
    fn add(&mut self, record: &StringRecord) -> Result<(), Vec<String>> {
        if record.len() != COLUMNS.len() {
            return Err(vec![format!("expected {} columns, found {}", COLUMNS.len(), record.len())]);
        }
        let [number, name, quantity] = self.columns.map(|column| &record[column]);
        let before = self.number(number);
        let name = self.name(name);
        let quantity = self.quantity(quantity);
        let wrong: Vec<_> = [before.as_ref().err(), name.as_ref().err(), quantity.as_ref().err()]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let (Ok(before), Ok(name), Ok(quantity)) = (before, name, quantity) else { return Err(wrong) };
        let Some(quantity) = quantity else { return Ok(()) };
        *self.pieces.entry(name.clone()).or_default() += u64::from(quantity.get());
        let number = OrderNumber::new(self.orders.len() as u64 + 1).expect("the number is not zero");
        self.orders.push(PastOrder { before, number, name, quantity });
        Ok(())
    }

    /// Numbers start with 0 or 1 and are consecutive: each order keeps its number, or gets the next
    /// one.
    fn number(&mut self, text: &str) -> Result<u64, String> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| digits && *number < u64::MAX);
        let number: u64 = number.ok_or_else(|| format!("order number {text:?} is not a whole number"))?;
        match self.last.replace(number) {
            None if number > 1 => Err(format!("the first order has number {number}, but must have 0 or 1")),
            Some(last) if number != last + 1 => {
                Err(format!("order {number} follows order {last}, but order numbers must be consecutive"))
            }
            _ => Ok(number),
        }
    }

    fn name(&self, text: &str) -> Result<ProductName, String> {
        let name = ProductName::new(text).map_err(|error| error.to_string())?;
        let known = self.rules.products.is_none_or(|all| all.iter().any(|product| product.name == name));
        if known {
            Ok(name)
        } else {
            Err(format!("the catalog has no {text:?}; add it there, with quantity 0 if it is no longer sold"))
        }
    }

    /// `None` if the order is skipped.
    fn quantity(&self, text: &str) -> Result<Option<Quantity>, String> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let pieces: Option<u64> = text.parse().ok().filter(|_| digits);
        match pieces {
            Some(0) if self.rules.skip_empty => Ok(None),
            Some(0) => Err("quantity 0: the order is empty; use --skip-empty-orders to skip such orders".to_owned()),
            Some(pieces) => Quantity::new(pieces).map(Some).map_err(|error| error.to_string()),
            None => Err(format!("quantity {text:?} is not a whole number")),
        }
    }

    /// The present stock and what was sold add up to the initial stock, which has a maximum.
    fn too_many_pieces(&self) -> Vec<String> {
        let stock = |name: &ProductName| {
            let product = self.rules.products?.iter().find(|product| product.name == *name)?;
            Some(product.quantity.0)
        };
        let all = self.pieces.iter().map(|(name, sold)| (name, sold + stock(name).unwrap_or(0)));
        all.filter(|(_, pieces)| *pieces > PIECES_MAX)
            .map(|(name, pieces)| {
                format!("the orders and the stock add up to {pieces} pieces of {name}, but {PIECES_MAX} is the maximum")
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use api::{Price, Stock};

    use super::*;

    fn products() -> Vec<Product> {
        let product = |name, stock| Product {
            name: ProductName::new(name).unwrap(),
            price: Price::from_cents(100).unwrap(),
            quantity: Stock(stock),
        };
        vec![product("Tux", 7), product("Whale", PIECES_MAX)]
    }

    /// Number in the other store, number in the new store, product, pieces.
    type Row = (u64, u64, String, u32);

    fn orders(text: &str, skip_empty: bool) -> Result<Vec<Row>, Vec<String>> {
        let products = products();
        let orders = parse(text.as_bytes(), &Rules { products: Some(&products), skip_empty })?;
        Ok(orders.iter().map(|it| (it.before, it.number.get(), it.name.to_string(), it.quantity.get())).collect())
    }

    #[test]
    fn numbers_are_kept_or_start_at_one() {
        let from_zero = "Order number,Product name,Quantity\r\n0,Tux,2\r\n1,Tux,1\r\n";
        assert_eq!(orders(from_zero, false).unwrap(), [(0, 1, "Tux".into(), 2), (1, 2, "Tux".into(), 1)]);
        let from_one = "\u{feff}quantity,order_number,product_name\n3,1,Tux\n";
        assert_eq!(orders(from_one, false).unwrap(), [(1, 1, "Tux".into(), 3)]);
        assert_eq!(orders("Order number,Product name,Quantity\r\n", false).unwrap(), []);
    }

    #[test]
    fn empty_orders_are_a_mistake_or_skipped() {
        let text = "Order number,Product name,Quantity\n0,Tux,1\n1,Tux,0\n2,Tux,3\n";
        let wrong = orders(text, false).unwrap_err();
        assert_eq!(wrong, ["line 3: quantity 0: the order is empty; use --skip-empty-orders to skip such orders"]);
        assert_eq!(orders(text, true).unwrap(), [(0, 1, "Tux".into(), 1), (2, 2, "Tux".into(), 3)]);
    }

    #[test]
    fn every_mistake_is_reported_with_its_line() {
        let text = "Order number,Product name,Quantity\r\n0,Tux,1\r\n\r\n2,Fox,x\r\n3,..,1000001\r\n3,Tux,-1\r\n4,Tux\r\n5,Whale,1\r\n";
        let expected = [
            "line 4: order 2 follows order 0, but order numbers must be consecutive",
            "line 4: the catalog has no \"Fox\"; add it there, with quantity 0 if it is no longer sold",
            "line 4: quantity \"x\" is not a whole number",
            "line 5: a product's name is \"..\", which URLs cannot carry: no client could read it",
            "line 5: quantity must be a whole number from 1 to 1000000",
            "line 6: order 3 follows order 3, but order numbers must be consecutive",
            "line 6: quantity \"-1\" is not a whole number",
            "line 7: expected 3 columns, found 2",
            "line 8: order 5 follows order 3, but order numbers must be consecutive",
        ];
        assert_eq!(orders(text, false).unwrap_err(), expected);
        assert_eq!(orders("Order number,Product name,Quantity\n7,Tux,1\n", false).unwrap_err().len(), 1);
        let too_many = orders("Order number,Product name,Quantity\n1,Whale,1\n", false).unwrap_err();
        assert!(too_many[0].contains("1000000001 pieces of Whale"), "{too_many:?}");
        for (header, message) in [
            ("a,b\n", "the columns must be"),
            ("order number,product name,price\n", "\"quantity\" is missing"),
            ("", "the columns must be"),
        ] {
            assert!(orders(header, false).unwrap_err()[0].contains(message), "{header}");
        }
        let many = format!("Order number,Product name,Quantity\n{}", "x,,\n".repeat(1000));
        assert!(orders(&many, false).unwrap_err().len() < MISTAKES_MAX + 5);
    }
}
