//! Requests that travel together.

use serde::{Deserialize, Serialize};

/// How many travel with one request, at most: the longest orders fit into a body, and the answers of looks into some packets.
pub const TOGETHER_MAX: usize = 128;

/// 1 to [`TOGETHER_MAX`] of a kind, in one request. Each has its own fate; the answer has one item for each, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<T>", into = "Vec<T>", bound(serialize = "T: Clone + Serialize"))]
pub struct Together<T>(Vec<T>);

/// Why so many cannot travel together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} in one request: it may be 1 to {TOGETHER_MAX}")]
pub struct WrongNumber(usize);

impl<T> TryFrom<Vec<T>> for Together<T> {
    type Error = WrongNumber;

    fn try_from(all: Vec<T>) -> Result<Self, WrongNumber> {
        if (1..=TOGETHER_MAX).contains(&all.len()) { Ok(Self(all)) } else { Err(WrongNumber(all.len())) }
    }
}

impl<T> From<Together<T>> for Vec<T> {
    fn from(together: Together<T>) -> Self {
        together.0
    }
}

impl<T> Together<T> {
    /// All, in order.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_to_the_most_travel_together() {
        for number in [1, TOGETHER_MAX] {
            let all = vec![7; number];
            let json = serde_json::to_vec(&all).unwrap();
            let together: Together<i32> = serde_json::from_slice(&json).unwrap();
            assert_eq!(serde_json::to_vec(&together).unwrap(), json);
            assert_eq!(Vec::from(together), all);
        }
        for number in [0, TOGETHER_MAX + 1] {
            let json = serde_json::to_vec(&vec![7; number]).unwrap();
            let error = serde_json::from_slice::<Together<i32>>(&json).unwrap_err();
            assert!(error.to_string().contains("1 to 128"), "{error}");
        }
    }
}
