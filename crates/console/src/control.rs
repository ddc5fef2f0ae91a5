//! What a person can do to a store from the page, where the console's process owns the store.

use std::fmt;

use api::ProductName;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

/// The most shoppers at once: enough to keep a store on a laptop busy.
pub const SHOPPERS_MAX: u16 = 256;

/// Lets the page break and heal a store.
pub trait StoreControls: fmt::Debug + Send + Sync + 'static {
    /// The current settings and faults, from memory.
    fn state(&self) -> ControlsState;

    /// The processes that are owned, from memory.
    fn processes(&self) -> Vec<OwnedProcess>;

    /// Does what the page asks for. Requests are carried out one after the other.
    fn perform(&self, control: Control) -> BoxFuture<'_, Result<(), ControlError>>;
}

/// One click.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum Control {
    /// `kill -9`. The process stays stopped until it is restarted.
    Kill {
        /// Its name, such as `order-1`.
        process: String,
    },
    /// Starts a process that was killed, or stops it (SIGTERM) and starts it again.
    Restart {
        /// Its name.
        process: String,
    },
    /// SIGSTOP: the process stands still, with all its connections open.
    Freeze {
        /// Its name.
        process: String,
    },
    /// SIGCONT.
    Resume {
        /// Its name.
        process: String,
    },
    /// Kills a process, deletes its files, and starts it again.
    WipeDisk {
        /// Its name; a replica.
        process: String,
    },
    /// Every sync of the process's disk takes 50 ms, or no longer does.
    SlowDisk {
        /// Its name; a replica.
        process: String,
        /// Whether the fault begins.
        on: bool,
    },
    /// The process's disk is full, or no longer is.
    FullDisk {
        /// Its name; a replica.
        process: String,
        /// Whether the fault begins.
        on: bool,
    },
    /// Nothing that one process sends reaches another any more.
    Partition {
        /// The sender.
        from: String,
        /// The receiver.
        to: String,
        /// Whether the other direction is cut, too.
        both: bool,
    },
    /// Ends a partition, in both directions.
    Heal {
        /// One process.
        from: String,
        /// The other.
        to: String,
    },
    /// Ends all faults, and starts every process that does not run.
    HealAll,
    /// `kill -9` of all processes at the same moment.
    KillAll,
    /// Stops and starts every process, one after the other.
    RestartAll,
    /// Changes who shops.
    Shoppers(Shoppers),
    /// Switches the frontends' caches on or off: they are restarted one after the other.
    Cache {
        /// Whether they are on.
        on: bool,
    },
}

/// Who shops.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shoppers {
    /// The number of shoppers, at most [`SHOPPERS_MAX`].
    pub count: u16,
    /// The probability that a shopper orders what it has looked at, 0 to 1.
    pub order_probability: f64,
    /// The product that nearly everyone wants; `None` if all are equally popular.
    pub hot_product: Option<ProductName>,
}

/// The current settings and faults.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ControlsState {
    /// Who shops.
    pub shoppers: Shoppers,
    /// Whether the frontends' caches are on.
    pub cache: bool,
    /// The directions that are cut.
    pub cut: Vec<CutLink>,
    /// The processes with a slow disk.
    pub slow: Vec<String>,
    /// The processes with a full disk.
    pub full: Vec<String>,
}

/// A direction in which nothing arrives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CutLink {
    /// The sender.
    pub from: String,
    /// The receiver.
    pub to: String,
}

/// A process that is owned by the console's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedProcess {
    /// Its name.
    pub name: String,
    /// What its owner knows of it.
    pub state: ProcessState,
}

/// What the owner of a process knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessState {
    /// It runs.
    Running,
    /// It stands still.
    Frozen,
    /// It does not run.
    Stopped,
}

/// Why a control was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The request makes no sense: an unknown process, a link that does not exist.
    #[error("{0}")]
    Invalid(String),
    /// It could not be carried out.
    #[error("{0}")]
    Failed(String),
}
