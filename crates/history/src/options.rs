//! What the checkers must know in addition to the history.

use api::Stock;
use serde::{Deserialize, Serialize};

/// How strict the checkers are, and how long they search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckOptions {
    /// The end state was read after all calls had ended, all faults were healed, and the store was
    /// idle. So nothing may be reserved any more.
    pub quiet: bool,
    /// The stock of a product after a restock; `None` if the store does not restock.
    pub restock_level: Option<Stock>,
    /// Whether the stock that was reserved for an order can be released.
    pub releases: Releases,
    /// The network can deliver a request twice. Then a refusal that is not final for its key
    /// (overload, full disks) tells nothing about the second copy: an order that got only such
    /// refusals may be placed.
    pub duplicated_requests: bool,
    /// The budget of the search for a linearization.
    pub budget: Budget,
    /// How many violations are listed. The counts include all of them.
    pub violations_max: usize,
}

impl Default for CheckOptions {
    /// A quiet store that restocks to 100 pieces, and whose order leaders may have died.
    fn default() -> Self {
        Self {
            quiet: true,
            restock_level: Some(Stock(100)),
            releases: Releases::Anytime,
            duplicated_requests: false,
            budget: Budget::default(),
            violations_max: 100,
        }
    }
}

/// Whether a visible reservation can be released. This happens when an order leader dies between
/// *reserve* and *place*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Releases {
    /// The order group has kept its leader: reserved stock stays taken.
    Never,
    /// The leader of the order group may have changed at any time.
    Anytime,
}

/// A bound on the search, per product. If it is exceeded, the product is *undecided*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// How many configurations are visited. Each takes about a microsecond, and 100 bytes during
    /// the search.
    pub configurations_max: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { configurations_max: 2_000_000 }
    }
}
