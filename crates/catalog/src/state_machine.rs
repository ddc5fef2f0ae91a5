//! The catalog as a pure state machine: commands in, replies out; no clock, no randomness, no I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use api::catalog::{BatchReserved, CatalogPosition, Fence, Fenced, ReserveBatch, Resolve, Settle, StockAccount};
use api::{BatchId, LogPosition, Product, ProductName, Stock, Term};
use replication::StateMachine;
use serde::{Deserialize, Serialize};

use crate::account::{Account, Offer};
use crate::refusal::Refusal;
use crate::reservation::Reservations;

/// Products, their stock, and what is reserved for orders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    accounts: BTreeMap<ProductName, Account>,
    reservations: Reservations,
    /// The longest lease that any leader may have granted, in milliseconds. A new leader waits this
    /// long.
    lease_ms: u64,
}

/// One entry of the catalog's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogCommand {
    /// The term of the *catalog* leader that proposed it. It has no effect as an entry of any other
    /// term: a leader that was deposed and elected again cannot carry out what it began before,
    /// because its caches would not have been invalidated.
    pub term: Term,
    /// What to do.
    pub action: Action,
}

/// What can be done. The terms in it are the *order* leader's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Adds the first products to an empty catalog.
    Seed(Vec<Product>),
    /// Refuses all lower terms from now on.
    Fence(Fence),
    /// Sells or releases what an earlier term left open.
    Resolve(Resolve),
    /// Reserves stock for a batch of orders.
    Reserve(ReserveBatch),
    /// Sells or releases what is reserved in placed batches.
    Settle(Settle),
    /// Restocks everything that is sold out to `level` pieces.
    Restock {
        /// Pieces; 1 or more.
        level: Stock,
    },
    /// Allows leases of this length from now on.
    ExtendLease {
        /// Milliseconds; a shorter lease than before changes nothing.
        lease_ms: u64,
    },
}

/// The result of an [`Action`] that was not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CatalogReply {
    /// Done; there is nothing else to report.
    Done,
    /// To [`Action::Fence`]: the open reservations, and how far the catalog is.
    Fenced(Fenced),
    /// To [`Action::Reserve`].
    Reserved(BatchReserved),
    /// To [`Action::Restock`]: the products that were sold out.
    Restocked(Vec<ProductName>),
}

/// A reply, or why nothing was changed.
pub type CatalogResult = Result<CatalogReply, Refusal>;

impl StateMachine for Catalog {
    type Command = CatalogCommand;
    type Reply = CatalogResult;

    fn apply(&mut self, position: LogPosition, command: CatalogCommand) -> CatalogResult {
        if command.term == position.term { self.act(command.action) } else { Err(Refusal::OtherTerm) }
    }
}

impl Catalog {
    /// Carries out an action. A refusal changes nothing.
    pub fn act(&mut self, action: Action) -> CatalogResult {
        let Self { accounts, reservations, lease_ms: longest_ms } = self;
        match action {
            Action::Seed(products) => self.seed(products),
            Action::Fence(fence) => {
                reservations.fence(fence.term)?;
                Ok(CatalogReply::Fenced(Fenced { open: reservations.open(), position: Some(self.position()) }))
            }
            Action::Resolve(resolve) => reservations.resolve(&resolve, accounts).map(|()| CatalogReply::Done),
            Action::Reserve(batch) => reservations.reserve(batch, accounts).map(CatalogReply::Reserved),
            Action::Settle(settle) => reservations.settle(&settle, accounts).map(|()| CatalogReply::Done),
            Action::Restock { level } => Ok(CatalogReply::Restocked(self.restock(level))),
            Action::ExtendLease { lease_ms } => {
                *longest_ms = lease_ms.max(*longest_ms);
                Ok(CatalogReply::Done)
            }
        }
    }

    /// The offers that `action` would change, as they would be afterwards. Exact if nothing else is
    /// applied in between.
    pub fn preview(&self, action: &Action) -> Vec<Offer> {
        let mut after = self.clone();
        let _outcome = after.act(action.clone());
        let version_before = |name| self.accounts.get(name).map(Account::version);
        let changed = after.accounts.iter().filter(|(name, account)| version_before(*name) != Some(account.version()));
        changed.map(|(name, account)| account.offer(name)).collect()
    }

    /// What shoppers can buy, by name.
    pub fn offers(&self) -> impl Iterator<Item = Offer> {
        self.accounts.iter().map(|(name, account)| account.offer(name))
    }

    /// One product as shoppers can buy it.
    pub fn offer(&self, name: &ProductName) -> Option<Offer> {
        self.accounts.get(name).map(|account| account.offer(name))
    }

    /// The stock accounts, by name.
    pub fn statements(&self) -> Vec<StockAccount> {
        self.accounts.iter().map(|(name, account)| account.statement(name)).collect()
    }

    /// How many products there are.
    pub fn products_len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether it has not been seeded yet.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Whether a product is sold out.
    pub fn has_sold_out(&self) -> bool {
        self.accounts.values().any(Account::is_sold_out)
    }

    /// The longest lease that may be held right now, granted by any leader.
    pub fn longest_lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    /// The newest order leader's term: lower ones are refused.
    pub fn fence(&self) -> Term {
        self.reservations.fence_term()
    }

    /// Whether the batch is the last one that was answered, so that it gets the same answer again.
    pub fn has_answered(&self, batch: BatchId) -> bool {
        self.reservations.last() == Some(batch)
    }

    /// How far its data are.
    fn position(&self) -> CatalogPosition {
        let sold = self.accounts.values().map(|account| u128::from(account.sold())).sum::<u128>();
        CatalogPosition { sold: u64::try_from(sold).unwrap_or(u64::MAX), last: self.last_batch() }
    }

    /// The last batch that was answered.
    pub fn last_batch(&self) -> Option<BatchId> {
        self.reservations.last()
    }

    /// How many orders have stock that is neither sold nor released.
    pub fn reservations_open(&self) -> usize {
        self.reservations.open_len()
    }

    fn seed(&mut self, products: Vec<Product>) -> CatalogResult {
        if !self.is_empty() {
            return Err(Refusal::NotEmpty);
        }
        self.accounts = products.into_iter().map(|p| (p.name, Account::open(p.price, p.quantity))).collect();
        Ok(CatalogReply::Done)
    }

    fn restock(&mut self, level: Stock) -> Vec<ProductName> {
        let restocked = self.accounts.iter_mut().filter_map(|(name, account)| account.restock(level).then_some(name));
        restocked.cloned().collect()
    }
}
