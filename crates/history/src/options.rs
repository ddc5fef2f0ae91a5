//! What the checkers must be told, because it cannot be seen in the history.

use api::Stock;
use serde::{Deserialize, Serialize};

/// How strict to be, and for how long to search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// The end state was taken after all calls had ended, the store was healed, and it had nothing to do: nothing may be reserved any more.
    pub quiet: bool,
    /// What a sold-out product comes back to; `None` if the store does not restock.
    pub restock_level: Option<Stock>,
    /// Whether stock that was taken for an order may come back.
    pub give_backs: GiveBacks,
    /// An order that was refused every time must not be placed. Switch it off where the network may deliver a request a second time,
    /// after its first delivery was refused.
    pub refusals_final: bool,
    /// The most that the search for a linearization may do.
    pub budget: Budget,
    /// The most violations that are listed; the counts count all.
    pub violations_max: usize,
}

impl Default for Options {
    /// A quiet store that restocks to 100 pieces, and whose order leaders may have died.
    fn default() -> Self {
        Self {
            quiet: true,
            restock_level: Some(Stock(100)),
            give_backs: GiveBacks::Anytime,
            refusals_final: true,
            budget: Budget::default(),
            violations_max: 100,
        }
    }
}

/// Whether a reservation that was visible may be taken back: it is when an order leader dies between *reserve* and *place*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GiveBacks {
    /// The order group kept its leader: what was taken stays taken.
    Never,
    /// The order group may have changed its leader at any time.
    Anytime,
}

/// A bound on the search, per product: past it the product is *undecided*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// The most configurations that are visited. One takes about a microsecond and, while the search lasts, 100 bytes.
    pub configurations_max: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { configurations_max: 2_000_000 }
    }
}
