//! The state of the store at the end: ledgers and stock accounts.

use std::time::Duration;

use api::catalog::StockAccount;
use history::{EndState, LedgerFile};
use service::json_client::CallError;
use tokio::time::Instant;

use super::recovery::RECOVERY_TIMEOUT;
use crate::local::{LocalStore, StoreMember};

/// How often the state is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Timeout for the catalog's accounts.
const ACCOUNTS_TIMEOUT: Duration = Duration::from_secs(5);

/// Waits until the store is quiescent: every order is settled, and the ledgers are identical.
///
/// # Errors
/// What still changes or differs after [`RECOVERY_TIMEOUT`] or when a member has exited, and the
/// state as it is then.
pub(crate) async fn quiescent_state(store: &mut LocalStore) -> Result<EndState, (String, EndState)> {
    let deadline = Instant::now() + RECOVERY_TIMEOUT;
    loop {
        // Asked first: a member that exits later may have been seen running.
        let exited = store.exited();
        let (end, reason) = inspect(store).await;
        match (reason, exited) {
            (None, _) => return Ok(end),
            (Some(reason), Some(exited)) => return Err((format!("{reason}; {exited}"), end)),
            (Some(reason), None) if Instant::now() > deadline => return Err((reason, end)),
            (Some(_), None) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

/// The present state, and why the store is not quiescent yet, if so.
async fn inspect(store: &LocalStore) -> (EndState, Option<String>) {
    let accounts = accounts(store).await;
    let mut reason = accounts.as_ref().err().map(ToString::to_string);
    let accounts = accounts.unwrap_or_default();
    if accounts.iter().any(|account| account.reserved > 0) {
        reason.get_or_insert_with(|| "not all reservations are settled".into());
    }
    let mut ledgers = Vec::new();
    for ordinal in store.layout().ordinals() {
        match std::fs::read(store.layout().ledger(ordinal)) {
            Ok(bytes) => ledgers.push(LedgerFile { ordinal, bytes }),
            Err(error) => reason = Some(format!("cannot read the ledger of order-{ordinal}: {error}")),
        }
    }
    if ledgers.windows(2).any(|pair| pair[0].bytes != pair[1].bytes) {
        reason.get_or_insert_with(|| "the ledgers are not identical".into());
    }
    (EndState { ledgers, accounts }, reason)
}

async fn accounts(store: &LocalStore) -> Result<Vec<StockAccount>, CallError> {
    store.json_client().get(&store.layout().internal(StoreMember::Catalog), "/accounts", ACCOUNTS_TIMEOUT).await
}

/// Whether the ledgers of all `replicas` are byte-identical; `None` if those that could be read
/// are, but not all could be.
pub(crate) fn identical(end: &EndState, replicas: usize) -> Option<bool> {
    let same = end.ledgers.windows(2).all(|pair| pair[0].bytes == pair[1].bytes);
    (!same || end.ledgers.len() == replicas).then_some(same)
}

#[cfg(test)]
mod tests {
    use api::Ordinal;

    use super::*;

    #[test]
    fn ledgers_that_could_not_be_read_are_not_identical() {
        let ledger = |text: &str| LedgerFile { ordinal: Ordinal(1), bytes: text.into() };
        let identical = |texts: &[&str]| {
            let end = EndState { ledgers: texts.iter().map(|text| ledger(text)).collect(), ..EndState::default() };
            super::identical(&end, 3)
        };
        assert_eq!([identical(&[]), identical(&["a"]), identical(&["a", "a"])], [None; 3]);
        assert_eq!([identical(&["a", "b"]), identical(&["a", "a", "b"])], [Some(false); 2]);
        assert_eq!(identical(&["a", "a", "a"]), Some(true));
    }
}
