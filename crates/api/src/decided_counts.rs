//! How far the order group is, counted in decided orders.

use serde::{Deserialize, Serialize};

/// How many orders a group has decided. Both counts only grow, so together they are a position in
/// the group's history that needs no clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecidedCounts {
    /// Orders that have a number.
    pub placed: u64,
    /// Refusals that are durable.
    pub refused: u64,
}
