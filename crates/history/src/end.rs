//! What is left when all is over: the ledgers, and the catalog's books.

use api::Ordinal;
use api::catalog::StockAccount;
use serde::{Deserialize, Serialize};

/// What the store holds in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndState {
    /// The order replicas' ledgers; those that could be read.
    pub ledgers: Vec<LedgerFile>,
    /// What `GET /accounts` of the catalog tells; empty if it was not asked. Its `initial` is the stock that each product began with.
    pub accounts: Vec<StockAccount>,
}

/// One replica's ledger as it lies on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerFile {
    /// Whose.
    pub ordinal: Ordinal,
    /// The whole file. What follows the last line feed is a write that was cut off, and does not count.
    pub bytes: Vec<u8>,
}
