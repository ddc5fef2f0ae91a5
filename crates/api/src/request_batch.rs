//! Several requests of one kind in one HTTP request.

use serde::{Deserialize, Serialize};

/// The most requests in one batch. With the longest names, this many orders still fit into a body,
/// and this many products are answered in a few packets.
pub const REQUEST_BATCH_MAX: usize = 128;

/// 1 to [`REQUEST_BATCH_MAX`] requests of one kind. Each succeeds or fails by itself; the answer
/// has one item per request, in the same order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<T>", into = "Vec<T>", bound(serialize = "T: Clone + Serialize"))]
pub struct RequestBatch<T>(Vec<T>);

/// A batch that is empty or too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a batch must hold 1 to {REQUEST_BATCH_MAX} requests, not {0}")]
pub struct BatchSizeError(usize);

impl<T> TryFrom<Vec<T>> for RequestBatch<T> {
    type Error = BatchSizeError;

    fn try_from(requests: Vec<T>) -> Result<Self, BatchSizeError> {
        if (1..=REQUEST_BATCH_MAX).contains(&requests.len()) {
            Ok(Self(requests))
        } else {
            Err(BatchSizeError(requests.len()))
        }
    }
}

impl<T> From<RequestBatch<T>> for Vec<T> {
    fn from(batch: RequestBatch<T>) -> Self {
        batch.0
    }
}

impl<T> RequestBatch<T> {
    /// The requests, in order.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_holds_one_to_the_maximum() {
        for number in [1, REQUEST_BATCH_MAX] {
            let requests = vec![7; number];
            let json = serde_json::to_vec(&requests).unwrap();
            let batch: RequestBatch<i32> = serde_json::from_slice(&json).unwrap();
            assert_eq!(serde_json::to_vec(&batch).unwrap(), json);
            assert_eq!(Vec::from(batch), requests);
        }
        for number in [0, REQUEST_BATCH_MAX + 1] {
            let json = serde_json::to_vec(&vec![7; number]).unwrap();
            let error = serde_json::from_slice::<RequestBatch<i32>>(&json).unwrap_err();
            assert!(error.to_string().contains("1 to 128"), "{error}");
        }
    }
}
