//! What the catalog tells a frontend's cache, on `FRONT_PORT`.
//!
//! | call | body → answer |
//! |---|---|
//! | `DELETE /cache/{product}` | → `{}`; forgets one product (for people; any version) |
//! | `DELETE /cache` | [`Invalidate`] → `{}`; what the catalog sends: all products of one change at once |
//! | `GET /cache` | → [`CacheContents`] |

use serde::{Deserialize, Serialize};

use crate::{HolderId, Product, ProductName, ProductVersion};

/// Products whose stock is about to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invalidate {
    /// Whose lease it is about. A frontend that is another holder refuses (404): it cannot speak for a process that may be alive
    /// elsewhere, so the lease runs out.
    pub holder: HolderId,
    /// What to forget.
    pub products: Vec<Invalidated>,
}

/// One product that is about to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invalidated {
    /// Which product.
    pub name: ProductName,
    /// The version that it is about to have: anything older must not be cached any more.
    pub version: ProductVersion,
}

/// A look into a frontend's cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheContents {
    /// How many products it may hold; 0 is a cache that is switched off.
    pub capacity: usize,
    /// Whether it may be served from just now.
    pub lease_valid: bool,
    /// What it holds, the most recently used first.
    pub products: Vec<Product>,
}
