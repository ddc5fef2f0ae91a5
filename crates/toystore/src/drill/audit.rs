//! What is left when all is over.

use std::time::Duration;

use api::catalog::StockAccount;
use history::{EndState, LedgerFile};
use service::call::CallError;
use tokio::time::Instant;

use super::whole::PATIENCE;
use crate::local::{Member, Store};

/// Between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// For the catalog's books.
const ACCOUNTS_TIMEOUT: Duration = Duration::from_secs(5);

/// Waits until nothing moves any more: every order is settled, and the ledgers are equal.
///
/// # Errors
/// What still moves, or differs, after [`PATIENCE`]; and what is there all the same.
pub(crate) async fn quiet(store: &Store) -> Result<EndState, (String, EndState)> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (end, unrest) = look(store).await;
        match unrest {
            None => return Ok(end),
            Some(unrest) if Instant::now() > deadline => return Err((unrest, end)),
            Some(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

/// What is there, and what says that it is not the end yet.
async fn look(store: &Store) -> (EndState, Option<String>) {
    let accounts = accounts(store).await;
    let mut unrest = accounts.as_ref().err().map(ToString::to_string);
    let accounts = accounts.unwrap_or_default();
    if accounts.iter().any(|account| account.reserved > 0) {
        unrest.get_or_insert_with(|| "not every reservation is settled".into());
    }
    let mut ledgers = Vec::new();
    for ordinal in store.layout().ordinals() {
        match std::fs::read(store.layout().ledger(ordinal)) {
            Ok(bytes) => ledgers.push(LedgerFile { ordinal, bytes }),
            Err(error) => unrest = Some(format!("the ledger of order-{ordinal} cannot be read: {error}")),
        }
    }
    if ledgers.windows(2).any(|pair| pair[0].bytes != pair[1].bytes) {
        unrest.get_or_insert_with(|| "the ledgers are not identical".into());
    }
    (EndState { ledgers, accounts }, unrest)
}

async fn accounts(store: &Store) -> Result<Vec<StockAccount>, CallError> {
    store.caller().get(&store.layout().internal(Member::Catalog), "/accounts", ACCOUNTS_TIMEOUT).await
}

/// Whether the replicas' ledgers are the same bytes.
pub(crate) fn identical(end: &EndState) -> bool {
    end.ledgers.windows(2).all(|pair| pair[0].bytes == pair[1].bytes)
}
