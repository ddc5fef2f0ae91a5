//! How products are read from the catalog's leader.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::catalog::{PRODUCT_BATCH_PATH, ProductRead, ProductReadOutcome, ReadProducts};
use api::{Address, HolderId, ProductName, RequestBatch};
use service::http::Hedge;
use service::json_client::{CallError, JsonClient};
use tokio::time::Instant;

use crate::batcher::BatchRequest;
use crate::deadline::remaining;
use crate::errors::no_such_product;

/// Timeout of one attempt. The catalog answers from memory, after one round trip within its group
/// if it has more than one replica.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1500);

/// Reads products by name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GetProducts {
    /// The holder of the cache's lease; `None` if the cache is switched off.
    pub(crate) holder: Option<HolderId>,
}

impl BatchRequest for GetProducts {
    type Item = ProductName;
    type Response = ProductRead;

    async fn send_one(
        &self,
        client: &JsonClient,
        catalog: &Address,
        name: &ProductName,
        deadline: Instant,
    ) -> Result<ProductRead, CallError> {
        let mut results = self.send_batch(client, catalog, std::slice::from_ref(name), deadline).await?;
        results.pop().expect("one result for each name")
    }

    /// Names are sent in the body and never in a path, because HTTP client libraries normalize
    /// paths. Many clients often want the same product at the same time, so each name is sent only
    /// once.
    async fn send_batch(
        &self,
        client: &JsonClient,
        catalog: &Address,
        names: &[ProductName],
        deadline: Instant,
    ) -> Result<Vec<Result<ProductRead, CallError>>, CallError> {
        let distinct: BTreeSet<&ProductName> = names.iter().collect();
        let once: Vec<_> = distinct.iter().copied().cloned().collect();
        let once = RequestBatch::try_from(once).expect("the batcher bounds its batches");
        let request = ReadProducts { holder: self.holder, names: once };
        let client = client.hedged(Hedge::STEADY);
        let results: Vec<ProductReadOutcome> =
            client.post(catalog, PRODUCT_BATCH_PATH, &request, attempt_timeout(deadline)).await?;
        if results.len() != distinct.len() {
            let what = format!("{} results for a batch of {} names", results.len(), distinct.len());
            return Err(CallError::Unknown { address: catalog.clone(), what });
        }
        let results: BTreeMap<_, _> = distinct.into_iter().zip(results).collect();
        Ok(names.iter().map(|name| found(&results[name])).collect())
    }
}

fn found(look: &ProductReadOutcome) -> Result<ProductRead, CallError> {
    match look {
        ProductReadOutcome::Read(read) => Ok(read.clone()),
        ProductReadOutcome::NoSuchProduct => Err(CallError::Refused(no_such_product())),
    }
}

pub(super) fn attempt_timeout(deadline: Instant) -> Duration {
    remaining(deadline).min(ATTEMPT_TIMEOUT)
}
