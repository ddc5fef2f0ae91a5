//! The frontend's API for the catalog, on `FRONT_PORT`.
//!
//! | request | body → response |
//! |---|---|
//! | `DELETE /cache/{product}` | → `{}`; drops one product, whatever its version (for operators) |
//! | `DELETE /cache` | [`Invalidate`] → `{}`; drops all products of one change (sent by the catalog) |
//! | `GET /cache` | → [`CacheContents`] |

use serde::{Deserialize, Serialize};

use crate::{HolderId, Product, ProductName, ProductVersion};

/// Path for invalidations.
pub const INVALIDATION_PATH: &str = "/cache";

/// Products whose stock is about to change. An empty list only checks that the holder is alive. A
/// frontend that caches the list of all products drops it, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invalidate {
    /// The holder of the lease. A frontend that is another holder answers 404: it cannot confirm
    /// for a process that may be alive elsewhere, so the catalog waits for the lease to expire.
    pub holder: HolderId,
    /// The products to drop.
    pub products: Vec<Invalidated>,
}

/// One product that is about to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invalidated {
    /// The product.
    pub name: ProductName,
    /// The version that the product is about to get: no older version may be cached any more.
    pub version: ProductVersion,
}

/// The contents of a frontend's cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheContents {
    /// The most products that the cache may hold; 0 if the cache is switched off.
    pub capacity: usize,
    /// Whether the frontend may serve from the cache at the moment.
    pub lease_valid: bool,
    /// The cached products, the most recently used first.
    pub products: Vec<Product>,
}
