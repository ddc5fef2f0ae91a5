//! Products, and the checked values of which they consist.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that is out of bounds. The message names the bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(pub String);

/// A product's name: 1 to 64 characters, without control characters, without a space at either end,
/// and neither `.` nor `..`.
///
/// A name is a segment of `/products/{name}`. URL libraries and proxies interpret the segments `.`
/// and `..` (also as `%2e`) as steps within the path and remove them (RFC 3986 §5.2.4, WHATWG URL
/// §4.4), so no client could read a product with such a name.
///
/// Cheap to clone. Deserializing it accepts a [recorded](ProductName::recorded) name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProductName(Arc<str>);

impl ProductName {
    /// The longest name, in characters.
    pub const CHARS_MAX: usize = 64;

    /// Checks a name from outside: from a seed file, a path or an order.
    pub fn new(name: &str) -> Result<Self, InvalidValue> {
        if matches!(name, "." | "..") {
            let what = format!("a product's name is {name:?}, which URLs cannot carry: no client could read it");
            return Err(InvalidValue(what));
        }
        Self::recorded(name)
    }

    /// Checks a name that a store has on its disks. Earlier versions accepted `.` and `..`, and
    /// their data must stay readable.
    pub fn recorded(name: &str) -> Result<Self, InvalidValue> {
        let invalid = |what: &str| Err(InvalidValue(format!("a product's name {what}")));
        if name.is_empty() {
            invalid("is empty")
        } else if name.chars().count() > Self::CHARS_MAX {
            invalid("has more than 64 characters")
        } else if name.chars().any(char::is_control) {
            invalid("has a control character")
        } else if name.trim() != name {
            invalid("begins or ends with a space")
        } else {
            Ok(Self(name.into()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for ProductName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProductName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ProductName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for ProductName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ProductName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::recorded(&name).map_err(serde::de::Error::custom)
    }
}

/// The number of pieces in an order: 1 to [`Quantity::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u32")]
pub struct Quantity(u32);

impl Quantity {
    /// The most pieces per order: far more than any stock, and too few to overflow.
    pub const MAX: u32 = 1_000_000;
    /// One piece.
    pub const ONE: Self = Self(1);

    /// Checks the bounds.
    pub fn new(pieces: u64) -> Result<Self, InvalidValue> {
        u32::try_from(pieces)
            .ok()
            .filter(|pieces| (1..=Self::MAX).contains(pieces))
            .map(Self)
            .ok_or_else(|| InvalidValue(format!("quantity must be a whole number from 1 to {}", Self::MAX)))
    }

    /// The number of pieces.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u64> for Quantity {
    type Error = InvalidValue;
    fn try_from(pieces: u64) -> Result<Self, Self::Error> {
        Self::new(pieces)
    }
}

impl From<Quantity> for u32 {
    fn from(quantity: Quantity) -> Self {
        quantity.0
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Pieces in stock; never negative (I4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stock(pub u64);

impl Stock {
    /// The stock after `quantity` was taken; `None` if there is less than that.
    #[must_use]
    pub fn take(self, quantity: Quantity) -> Option<Self> {
        self.0.checked_sub(u64::from(quantity.get())).map(Self)
    }

    /// The stock after `quantity` was put back.
    #[must_use]
    pub fn put_back(self, quantity: Quantity) -> Self {
        Self(self.0.checked_add(u64::from(quantity.get())).expect("stock fits 64 bits"))
    }
}

impl fmt::Display for Stock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A price in whole cents. In JSON and CSV it is a decimal number such as `25.99`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price {
    cents: u64,
}

impl Price {
    /// The highest price, in cents: ten million. A JSON number represents every price up to it
    /// exactly.
    pub const CENTS_MAX: u64 = 1_000_000_000;

    /// A price of `cents`, at most [`Price::CENTS_MAX`].
    pub fn from_cents(cents: u64) -> Result<Self, InvalidValue> {
        if cents > Self::CENTS_MAX {
            return Err(InvalidValue("a price must be at most 10000000.00".into()));
        }
        Ok(Self { cents })
    }

    /// The price in cents.
    pub fn cents(self) -> u64 {
        self.cents
    }
}

impl std::str::FromStr for Price {
    type Err = InvalidValue;

    /// Parses digits with at most two decimals.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let invalid = || InvalidValue(format!("{text:?} is not a price: it must look like 25.99, without a sign"));
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || whole.len() > 9 || fraction.len() > 2 {
            return Err(invalid());
        }
        let number = |part: &str| part.parse::<u64>().map_err(|_| invalid());
        let cents = number(fraction)? * if fraction.len() == 1 { 10 } else { 1 };
        Self::from_cents(number(whole)? * 100 + cents)
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.cents / 100, self.cents % 100)
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            #[expect(clippy::cast_precision_loss, reason = "CENTS_MAX is far below 2^53")]
            serializer.serialize_f64(self.cents as f64 / 100.0)
        } else {
            serializer.serialize_u64(self.cents)
        }
    }
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        if !deserializer.is_human_readable() {
            return Self::from_cents(u64::deserialize(deserializer)?).map_err(D::Error::custom);
        }
        let price = f64::deserialize(deserializer)?;
        if !(0.0..=10_000_000.0).contains(&price) {
            return Err(D::Error::custom("a price must be from 0 to 10000000"));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
        let cents = (price * 100.0).round() as u64;
        Self::from_cents(cents).map_err(D::Error::custom)
    }
}

/// A product as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Product {
    /// The name, unique in the catalog.
    pub name: ProductName,
    /// The price of one piece.
    pub price: Price,
    /// Pieces in stock.
    pub quantity: Stock,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_exact_decimals() {
        for (text, cents) in [("25.99", 2599), ("0", 0), ("7.5", 750), ("10000000.00", Price::CENTS_MAX)] {
            assert_eq!(text.parse::<Price>().unwrap().cents(), cents, "{text}");
        }
        for text in ["", "-1", "+1", "1.", ".5", "1.234", "1e3", "NaN", "10000000.01", "99999999999"] {
            assert!(text.parse::<Price>().is_err(), "{text}");
        }
        for cents in [1, 2599, 1999, 110, Price::CENTS_MAX] {
            let price = Price::from_cents(cents).unwrap();
            let json = serde_json::to_string(&price).unwrap();
            assert_eq!(serde_json::from_str::<Price>(&json).unwrap(), price, "{json}");
        }
        assert_eq!(serde_json::to_string(&Price::from_cents(2599).unwrap()).unwrap(), "25.99");
    }

    #[test]
    fn quantities_have_bounds() {
        assert!(Quantity::new(0).is_err());
        assert!(Quantity::new(u64::from(Quantity::MAX) + 1).is_err());
        assert_eq!(Quantity::new(7).unwrap().get(), 7);
        for json in ["-1", "1.5", "\"1\"", "9223372036854775808", "null"] {
            assert!(serde_json::from_str::<Quantity>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn names_have_bounds() {
        for bad in ["", " Tux", "Tux ", "a\nb", "a\0b", &"x".repeat(65)] {
            assert!(ProductName::new(bad).is_err(), "{bad:?}");
            assert!(serde_json::from_value::<ProductName>(bad.into()).is_err(), "{bad:?}");
        }
        assert_eq!(ProductName::new("Magic 8-Ball, großer").unwrap().as_str(), "Magic 8-Ball, großer");
    }

    #[test]
    fn a_name_that_urls_cannot_carry_is_refused_unless_it_is_already_on_a_disk() {
        for bad in [".", ".."] {
            let refusal = ProductName::new(bad).unwrap_err().to_string();
            assert!(refusal.contains("URLs cannot carry"), "{refusal}");
            assert_eq!(serde_json::from_value::<ProductName>(bad.into()).unwrap().as_str(), bad);
        }
        for good in ["...", ".a", "a.", "a/..", "%2e", ";", "?"] {
            assert_eq!(ProductName::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn stock_never_goes_below_zero() {
        assert_eq!(Stock(3).take(Quantity::new(4).unwrap()), None);
        assert_eq!(Stock(3).take(Quantity::new(3).unwrap()), Some(Stock(0)));
    }
}
