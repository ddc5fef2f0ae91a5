//! Verifies the orders of a load.

use std::sync::Arc;
use std::time::Duration;

use api::Product;
use history::ClientId;
use tokio_util::sync::CancellationToken;

use super::plan::{LoadPlan, REQUEST_TIMEOUT};
use super::result::LoadResult;
use crate::retrying_client::{RetryPolicy, RetryingClient};
use crate::transport::base_url;
use crate::verification::{self, SoleBuyer, Verification, VerificationPlan};

/// The number of clients that verify.
const CLIENTS: u32 = 16;

/// The pause before a request is repeated.
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// Verifies a load through all of its targets. `sole_buyer` is given if no other client bought
/// during the load: the stock before the load, and the level that sold-out products are restocked
/// to, if that is known. An order that the store does not return within `timeout` is not checked.
///
/// # Panics
/// If a target is not a valid address.
pub async fn verify(
    plan: &LoadPlan,
    result: LoadResult,
    sole_buyer: Option<(Vec<Product>, Option<u64>)>,
    timeout: Duration,
    stop: &CancellationToken,
) -> Verification {
    let targets: Vec<_> =
        plan.targets.iter().map(|target| base_url(target).expect("the load has used this address")).collect();
    let policy = RetryPolicy {
        tries: u32::MAX,
        retry_delay: RETRY_DELAY,
        request_timeout: REQUEST_TIMEOUT,
        patience: timeout,
        ..RetryPolicy::default()
    };
    let LoadResult { orders, log, .. } = result;
    let client = |id| RetryingClient::new(ClientId(id), &targets, policy, &log, Arc::new(()), stop.clone());
    let clients = (0..CLIENTS).map(client).collect();
    let sole_buyer = sole_buyer.map(|(before, restock_level)| SoleBuyer {
        before,
        restock_level,
        targets: targets.clone(),
        timeout,
    });
    let plan = VerificationPlan { orders, sole_buyer, ..VerificationPlan::default() };
    verification::verify(clients, &log, plan).await
}
