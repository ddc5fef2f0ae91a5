//! The header `Idempotency-Key`: the client's name for an order, under which it may be repeated.
//!
//! As in the IETF's draft (draft-ietf-httpapi-idempotency-key-header) it may be a quoted string,
//! the `sf-string` of RFC 8941; as with Stripe it may be any string. A UUID is the order's id as it
//! is. Any other string is mapped to a UUID of version 5 (RFC 9562), so that it is the same order
//! at every frontend, and has the same size in every log.

use api::{IDEMPOTENCY_KEY_HEADER, OrderId};
use axum::http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use crate::session::is_visible;

/// The longest key, in characters. As long as Stripe's.
const CHARS_MAX: usize = 255;

/// What the draft calls the key is a quoted string; a key without quotes cannot begin with one. The
/// pattern is that of the API's document.
pub(crate) const PATTERN: &str = r#"^([!#-~][!-~]{0,254}|"([!#-\[\]-~]|\\["\\]){1,255}")$"#;

/// The longest value of the header: two quotes, and every character escaped.
pub(crate) const VALUE_CHARS_MAX: usize = 2 + 2 * CHARS_MAX;

/// The namespace of order ids that are made of strings. Drawn once, at random; another one would
/// make every key a new order.
const NAMESPACE: Uuid = Uuid::from_u128(0x5f0c_6f4e_54c8_4a39_9d0e_2b7f_6a1d_93c4);

/// The key of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdempotencyKey {
    /// As the client has sent it.
    pub(crate) sent: HeaderValue,
    pub(crate) order_id: OrderId,
}

impl IdempotencyKey {
    /// The key of a request, if it has one.
    ///
    /// # Errors
    /// What is wrong with the header.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, &'static str> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY_HEADER).iter();
        let Some(sent) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err("the header Idempotency-Key must not be repeated");
        }
        let order_id = sent.to_str().ok().and_then(unquoted).and_then(|key| order_id(&key)).ok_or(
            "the header Idempotency-Key must have 1 to 255 visible ASCII characters, such as a UUID. In quotes, \
             only a quote and a backslash are escaped, each by a backslash",
        )?;
        Ok(Some(Self { sent: sent.clone(), order_id }))
    }
}

/// Removes quotes and escapes, if there are any.
fn unquoted(value: &str) -> Option<String> {
    let Some(quoted) = value.strip_prefix('"') else { return Some(value.to_owned()) };
    let mut characters = quoted.strip_suffix('"')?.chars();
    let mut key = String::new();
    while let Some(character) = characters.next() {
        key.push(match character {
            '\\' => characters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?,
            '"' => return None,
            other => other,
        });
    }
    Some(key)
}

fn order_id(key: &str) -> Option<OrderId> {
    is_visible(key, CHARS_MAX)
        .then(|| key.parse().unwrap_or_else(|_| OrderId(Uuid::new_v5(&NAMESPACE, key.as_bytes()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0190b5a4-7f0e-7cc3-98c4-dc0c0c07398f";

    fn key(values: &[&str]) -> Result<Option<OrderId>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY_HEADER, HeaderValue::from_str(value).unwrap());
        }
        Ok(IdempotencyKey::of(&headers)?.map(|key| key.order_id))
    }

    #[test]
    fn a_uuid_is_the_order_id() {
        assert_eq!(key(&[]), Ok(None));
        for value in [UUID, &UUID.to_uppercase(), &format!("\"{UUID}\"")] {
            assert_eq!(key(&[value]).unwrap().unwrap().to_string(), UUID, "{value}");
        }
    }

    #[test]
    fn any_other_string_is_mapped_always_in_the_same_way() {
        // A change of this value would make an order that is repeated across an upgrade a new one.
        assert_eq!(key(&["order-7"]).unwrap().unwrap().to_string(), "f0fd1be6-a4f8-5391-9767-2594b4319c7c");
        assert_eq!(key(&["\"order-7\""]), key(&["order-7"]));
        assert_eq!(key(&[r#""a\"b\\c""#]), key(&[r#"a"b\c"#]));
        assert_ne!(key(&["order-7"]), key(&["order-8"]));
        assert_ne!(key(&["Order-7"]), key(&["order-7"]));
        assert!(key(&[&"x".repeat(CHARS_MAX)]).is_ok() && key(&[&format!("\"{}\"", r"\\".repeat(CHARS_MAX))]).is_ok());
    }

    #[test]
    fn everything_else_is_refused() {
        let long = "x".repeat(CHARS_MAX + 1);
        for bad in ["", " ", "a b", "é", "\"", "\"\"", "\"a", "\"a\"b\"", r#""a\""#, r#""a\b""#, "\"a b\"", &long] {
            assert!(key(&[bad]).is_err(), "{bad:?}");
        }
        assert!(key(&[UUID, UUID]).unwrap_err().contains("repeated"));
    }
}
