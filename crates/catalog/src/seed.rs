//! The first products: a CSV file with the columns `name`, `price` and `quantity`, in any order.
//!
//! Only the leader of an empty catalog *uses* it. A single catalog with an empty disk reports
//! mistakes at start; other replicas when they lead an empty catalog. The columns of an
//! [export](crate::export()) are known and ignored, so an export can be a seed. Other stores call
//! the first column `product_name`; that is accepted, too. All mistakes are reported, each with its
//! line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use api::{Price, Product, ProductName, Stock};
use csv::StringRecord;

/// The products of a new store.
const INITIAL: &str = include_str!("initial.csv");

/// Most products: [`GET /products`](api::catalog) returns all of them, and the seed is one log
/// entry.
pub const PRODUCTS_MAX: usize = 1000;

/// Most pieces of one product in the seed. It keeps every sum far below 64 bits.
pub const PIECES_MAX: u64 = 1_000_000_000;

/// Longest seed file, in bytes: enough for [`PRODUCTS_MAX`] of the longest lines.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Most mistakes that are reported: a person corrects some and tries again.
const MISTAKES_MAX: usize = 50;

/// The columns of an export that a seed does not need.
pub(crate) const ACCOUNT_COLUMNS: [&str; 4] = ["reserved", "sold", "restocked", "initial"];

/// Why there is no seed.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// What is wrong in the file, each with its line.
    #[error("{}", .0.join("\n"))]
    Mistakes(Vec<String>),
}

impl SeedError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { path, source }
    }

    /// The kind of an I/O error; `None` if the content of the file is wrong.
    pub fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            Self::Mistakes(_) => None,
        }
    }

    /// One line for each mistake.
    pub fn mistakes(&self) -> Vec<String> {
        match self {
            Self::Io { .. } => vec![self.to_string()],
            Self::Mistakes(mistakes) => mistakes.clone(),
        }
    }
}

/// The products of a new store: more than ten toys, 100 of each.
///
/// # Panics
/// Never: the file is part of the program, and a test reads it.
pub fn initial() -> Vec<Product> {
    parse(INITIAL.as_bytes(), "initial.csv").expect("the initial catalog has no mistakes")
}

/// Writes the [initial] products to a file, for a person to edit. An existing file is replaced only
/// if `overwrite`. The file appears completely or not at all.
///
/// # Errors
/// If the file exists and must not be replaced, or cannot be written.
pub fn write_initial(path: &Path, overwrite: bool) -> Result<(), SeedError> {
    write_atomically(path, overwrite).map_err(SeedError::io(path))
}

fn write_atomically(path: &Path, overwrite: bool) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let new_path = path.with_added_extension(format!("{}.new", std::process::id()));
    let mut file = File::create(&new_path)?;
    file.write_all(INITIAL.as_bytes())?;
    file.sync_all()?;
    if overwrite {
        return std::fs::rename(&new_path, path);
    }
    // Unlike a rename, a hard link never replaces a file.
    let linked = std::fs::hard_link(&new_path, path);
    std::fs::remove_file(&new_path)?;
    linked
}

/// Reads a seed file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(path: &Path) -> Result<Vec<Product>, SeedError> {
    let mut text = Vec::new();
    let file = File::open(path).map_err(SeedError::io(path))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(SeedError::io(path))?;
    let name = path.display().to_string();
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(SeedError::Mistakes(vec![format!("{name} is longer than {FILE_BYTES_MAX} bytes")]));
    }
    parse(&text, &name).map_err(SeedError::Mistakes)
}

/// The products in `text`, by name; or all mistakes, each beginning with `file` and its line.
pub(crate) fn parse(text: &[u8], file: &str) -> Result<Vec<Product>, Vec<String>> {
    // Spreadsheets write a byte order mark before UTF-8.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text);
    let header = reader.headers().map_err(|error| vec![format!("{file}: {error}")])?.clone();
    let columns = Columns::find(&header)
        .map_err(|wrong| wrong.iter().map(|mistake| format!("{file} line 1: {mistake}")).collect::<Vec<_>>())?;
    let mut products = BTreeMap::new();
    let mut mistakes = Vec::new();
    for record in reader.records() {
        let (position, wrong) = match &record {
            Ok(record) => (record.position(), columns.add(record, &mut products).err().unwrap_or_default()),
            Err(error) => (error.position(), vec!["it is not UTF-8 text".to_owned()]),
        };
        if mistakes.len() >= MISTAKES_MAX {
            mistakes.push(format!("{file} may have more mistakes"));
            return Err(mistakes);
        }
        let line = |position: &csv::Position| line_at(text, position.byte());
        mistakes.extend(wrong.iter().map(|what| format!("{file} line {}: {what}", position.map_or(0, line))));
    }
    if products.is_empty() && mistakes.is_empty() {
        mistakes.push(format!("{file} has no products"));
    }
    if products.len() > PRODUCTS_MAX {
        mistakes.push(format!("{file} has {} products; at most {PRODUCTS_MAX} are allowed", products.len()));
    }
    if mistakes.is_empty() { Ok(products.into_values().flatten().collect()) } else { Err(mistakes) }
}

/// The line, from 1, of the record that begins at or after `byte`. (The CSV reader's own count is
/// off by one where lines end in CR LF.)
pub fn line_at(text: &[u8], byte: u64) -> usize {
    let byte = usize::try_from(byte).map_or(text.len(), |byte| byte.min(text.len()));
    let blank = text[byte..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    text[..byte + blank].split(|byte| *byte == b'\n').count()
}

/// Where the three columns are.
struct Columns {
    name: usize,
    price: usize,
    quantity: usize,
    count: usize,
}

impl Columns {
    fn find(header: &StringRecord) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        let header: Vec<_> =
            header.iter().map(|column| if column == "product_name" { "name" } else { column }).collect();
        for (at, column) in header.iter().copied().enumerate() {
            if !["name", "price", "quantity"].contains(&column) && !ACCOUNT_COLUMNS.contains(&column) {
                mistakes.push(format!("unknown column {column:?}; the columns are name, price, quantity"));
            } else if header[..at].contains(&column) {
                mistakes.push(format!("column {column:?} is listed twice"));
            }
        }
        let mut find = |wanted: &str| {
            let found = header.iter().position(|column| *column == wanted);
            found.unwrap_or_else(|| {
                mistakes.push(format!("column {wanted:?} is missing"));
                0
            })
        };
        let columns =
            Self { name: find("name"), price: find("price"), quantity: find("quantity"), count: header.len() };
        if mistakes.is_empty() { Ok(columns) } else { Err(mistakes) }
    }

    /// Adds the product of a line to the others. Its name counts as used even if the rest of the
    /// line is wrong.
    fn add(
        &self,
        record: &StringRecord,
        products: &mut BTreeMap<ProductName, Option<Product>>,
    ) -> Result<(), Vec<String>> {
        if record.len() != self.count {
            return Err(vec![format!("it has {} columns, the first line has {}", record.len(), self.count)]);
        }
        let name = ProductName::new(&record[self.name]).map_err(|error| error.to_string());
        let twice = name
            .as_ref()
            .ok()
            .filter(|name| products.contains_key(*name))
            .map(|name| format!("{name} is listed twice"));
        let price = record[self.price].parse::<Price>().map_err(|error| format!("price {error}"));
        let quantity = pieces(&record[self.quantity]);
        if let (Ok(name), None) = (&name, &twice) {
            let product = price.as_ref().ok().zip(quantity.as_ref().ok());
            let product =
                product.map(|(price, quantity)| Product { name: name.clone(), price: *price, quantity: *quantity });
            products.insert(name.clone(), product);
        }
        let wrong: Vec<_> = [name.err(), twice, price.err(), quantity.err()].into_iter().flatten().collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

fn pieces(text: &str) -> Result<Stock, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let pieces = text.parse().ok().filter(|pieces| digits && *pieces <= PIECES_MAX);
    pieces.map(Stock).ok_or_else(|| format!("quantity {text:?} is not a whole number from 0 to {PIECES_MAX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        parse(text.as_bytes(), "x.csv").unwrap_err()
    }

    #[test]
    fn the_initial_catalog_is_valid() {
        let products = initial();
        assert!(products.len() >= 12);
        assert!(products.iter().all(|product| product.quantity == Stock(100)));
        let tux = products.iter().find(|product| product.name.as_str() == "Tux").unwrap();
        assert_eq!(tux.price.cents(), 2599);
    }

    #[test]
    fn columns_come_in_any_order_and_account_columns_are_ignored() {
        let text = "\u{feff}quantity, sold, name, price\r\n7, 3,\"Ball, red\", 1.5\r\n";
        let products = parse(text.as_bytes(), "x.csv").unwrap();
        assert_eq!(products.len(), 1);
        assert_eq!(products[0].name.as_str(), "Ball, red");
        assert_eq!((products[0].price.cents(), products[0].quantity), (150, Stock(7)));
        let text = "product_name,price,quantity\r\nRubik's_Cube,10.43,99999974\r\n";
        assert_eq!(parse(text.as_bytes(), "x.csv").unwrap()[0].name.as_str(), "Rubik's_Cube");
        assert_eq!(mistakes("name,product_name,price,quantity\n"), ["x.csv line 1: column \"name\" is listed twice"]);
    }

    #[test]
    fn every_mistake_is_reported_with_its_line() {
        let text = "name,price,quantity\nTux,-1,100\n,1.234,-5\nFox,1,2\nFox,1,2\nBear,1\nLion,1,1e3\nTux,1,1\n\
            ..,1,1\n.,1,1\na\0b,1,1\n";
        let expected = [
            "x.csv line 2: price \"-1\" is not a price: it must look like 25.99, without a sign",
            "x.csv line 3: a product's name is empty",
            "x.csv line 3: price \"1.234\" is not a price: it must look like 25.99, without a sign",
            "x.csv line 3: quantity \"-5\" is not a whole number from 0 to 1000000000",
            "x.csv line 5: Fox is listed twice",
            "x.csv line 6: it has 2 columns, the first line has 3",
            "x.csv line 7: quantity \"1e3\" is not a whole number from 0 to 1000000000",
            "x.csv line 8: Tux is listed twice",
            "x.csv line 9: a product's name is \"..\", which URLs cannot carry: no client could read it",
            "x.csv line 10: a product's name is \".\", which URLs cannot carry: no client could read it",
            "x.csv line 11: a product's name has a control character",
        ];
        let told = mistakes(text);
        assert_eq!(told, expected);
    }

    #[test]
    fn lines_are_counted_with_any_line_ending() {
        let text = "name,price,quantity\r\nTux,1,1\r\n\r\nFox,x,1\r\n";
        assert!(mistakes(text)[0].starts_with("x.csv line 4: price"), "{:?}", mistakes(text));
        let many = format!("name,price,quantity\n{}", ",,\n".repeat(1000));
        assert!(mistakes(&many).len() < MISTAKES_MAX + 5);
    }

    #[test]
    fn columns_must_be_known_and_complete() {
        let told = mistakes("name,cost,name\n");
        assert_eq!(
            told,
            [
                "x.csv line 1: unknown column \"cost\"; the columns are name, price, quantity",
                "x.csv line 1: column \"name\" is listed twice",
                "x.csv line 1: column \"price\" is missing",
                "x.csv line 1: column \"quantity\" is missing",
            ]
        );
        assert_eq!(mistakes("name,price,quantity\n"), ["x.csv has no products"]);
        assert_eq!(mistakes("").len(), 3);
        let text = [b"name,price,quantity\n".as_slice(), b"\xff,1,1\n"].concat();
        assert_eq!(parse(&text, "x.csv").unwrap_err(), ["x.csv line 2: it is not UTF-8 text"]);
    }

    #[test]
    fn an_existing_file_is_replaced_only_on_request() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data/catalog.csv");
        write_initial(&path, false).unwrap();
        assert_eq!(read(&path).unwrap(), initial());
        std::fs::write(&path, "name,price,quantity\nTux,1,1\n").unwrap();
        assert_eq!(write_initial(&path, false).unwrap_err().kind(), Some(io::ErrorKind::AlreadyExists));
        assert_eq!(read(&path).unwrap().len(), 1);
        write_initial(&path, true).unwrap();
        assert_eq!(read(&path).unwrap(), initial());
        assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn an_oversized_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.csv");
        std::fs::write(&path, vec![b'x'; 1024 * 1024 + 1]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("is longer than"));
    }
}
