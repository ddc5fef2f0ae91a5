//! Where the processes of the store are.

use api::{Address, Ordinal};
use serde::Serialize;
use tokio::sync::watch;

/// The processes to show. The list may change at any time; a process keeps its name.
pub type Sources = watch::Receiver<Vec<ProcessAddress>>;

/// A process of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessAddress {
    /// Its name, such as `order-1`.
    pub name: String,
    /// What it is.
    pub service: ServiceKind,
    /// Its number among those of its kind, from 1.
    pub ordinal: Ordinal,
    /// The address of its internal port.
    pub internal: Address,
    /// Other addresses by which processes of the store know that port, such as that of a proxy.
    pub known_as: Vec<Address>,
}

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceKind {
    /// A frontend.
    Frontend,
    /// A replica of the catalog.
    Catalog,
    /// An order replica.
    Order,
}

impl ServiceKind {
    /// The name of its replication group, which is also how events call it.
    pub fn group(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::Catalog => "catalog",
            Self::Order => "order",
        }
    }
}
