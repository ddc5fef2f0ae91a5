//! The end state of a store: the ledgers, and the catalog's stock accounts.

use api::Ordinal;
use api::catalog::StockAccount;
use serde::{Deserialize, Serialize};

/// What the store contains at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndState {
    /// The ledgers of the order replicas that could be read.
    pub ledgers: Vec<LedgerFile>,
    /// The catalog's answer to `GET /accounts`; empty if it was not requested. `initial` is the
    /// initial stock of a product.
    pub accounts: Vec<StockAccount>,
}

/// The ledger of one replica, as it is on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerFile {
    /// The replica.
    pub ordinal: Ordinal,
    /// The whole file. Anything after the last line feed is an incomplete write, and is ignored.
    pub bytes: Vec<u8>,
}
