//! Products, and the checked values that they are made of.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that is outside its bounds; the message names the bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(pub String);

/// A product's name: 1 to 64 characters, none of them a control character, no space at either end.
///
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProductName(Arc<str>);

impl ProductName {
    /// The longest name, in characters.
    pub const CHARS_MAX: usize = 64;

    /// Checks `name` against the bounds.
    pub fn new(name: &str) -> Result<Self, InvalidValue> {
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

    /// The text.
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
        Self::new(&name).map_err(serde::de::Error::custom)
    }
}

/// How many pieces an order takes: 1 to [`Quantity::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u32")]
pub struct Quantity(u32);

impl Quantity {
    /// The most that one order may take; far above any stock, far below any overflow.
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

    /// The bare number of pieces.
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
    /// What is left after `quantity` was taken; `None` if that is more than there is.
    #[must_use]
    pub fn take(self, quantity: Quantity) -> Option<Self> {
        self.0.checked_sub(u64::from(quantity.get())).map(Self)
    }

    /// What is there after `quantity` was put back.
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

/// A price in whole cents; on the JSON wire and in CSV a decimal number such as `25.99`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price {
    cents: u64,
}

impl Price {
    /// The highest price, in cents: ten million. All of its prices pass exactly through a JSON number.
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

    /// Digits, with at most two after a point.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let invalid = || InvalidValue(format!("{text:?} is no price: it must look like 25.99, without a sign"));
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

/// A product as a shopper sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Product {
    /// Its name, unique in the catalog.
    pub name: ProductName,
    /// Price of one piece.
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
        for bad in ["", " Tux", "Tux ", "a\nb", &"x".repeat(65)] {
            assert!(ProductName::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(ProductName::new("Magic 8-Ball, großer").unwrap().as_str(), "Magic 8-Ball, großer");
    }

    #[test]
    fn stock_never_goes_below_zero() {
        assert_eq!(Stock(3).take(Quantity::new(4).unwrap()), None);
        assert_eq!(Stock(3).take(Quantity::new(3).unwrap()), Some(Stock(0)));
    }
}
