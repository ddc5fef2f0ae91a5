//! The catalog as a pure state machine: commands in, replies out; no clock, no randomness, no I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use api::catalog::{BatchReserved, Fence, ReserveBatch, Resolve, Settle, StockAccount};
use api::{BatchId, LogPosition, OrderId, Product, ProductName, Stock, Term};
use replication::StateMachine;
use serde::{Deserialize, Serialize};

use crate::account::{Account, Offer};
use crate::refusal::Refusal;
use crate::reservation::Reservations;

/// Products, their stock, and what of it is reserved for orders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    accounts: BTreeMap<ProductName, Account>,
    reservations: Reservations,
    /// The longest lease that any leader has ever granted, in milliseconds: so long a new leader waits.
    lease_ms: u64,
}

/// One entry of the catalog's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The term of the *catalog* leader that proposed it. It has no effect as an entry of any other term: a leader that was
    /// deposed and elected again cannot slip in what it had begun before (its caches would not have been told).
    pub tenure: Term,
    /// What to do.
    pub action: Action,
}

/// What can be done. The terms within are the *order* leader's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// The first products, into an empty catalog only.
    Seed(Vec<Product>),
    /// Refuse all lower terms from now on.
    Fence(Fence),
    /// Sell or release what a former term has left open.
    Resolve(Resolve),
    /// Take stock for a batch of orders.
    Reserve(ReserveBatch),
    /// Sell or release what is reserved in batches that are placed.
    Settle(Settle),
    /// Bring everything that is sold out back to `level` pieces.
    Restock {
        /// Pieces; 1 or more.
        level: Stock,
    },
    /// From now on leases may be so long.
    Lengthen {
        /// Milliseconds; a shorter one than before changes nothing.
        lease_ms: u64,
    },
}

/// What came of an [`Action`] that was not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done; there is nothing more to say.
    Done,
    /// To [`Action::Fence`]: the orders whose reservations are open.
    Fenced(Vec<OrderId>),
    /// To [`Action::Reserve`].
    Reserved(BatchReserved),
    /// To [`Action::Restock`]: what was sold out.
    Restocked(Vec<ProductName>),
}

/// A reply, or why nothing was changed.
pub type Outcome = Result<Reply, Refusal>;

impl StateMachine for Catalog {
    type Command = Command;
    type Reply = Outcome;

    fn apply(&mut self, position: LogPosition, command: Command) -> Outcome {
        if command.tenure == position.term { self.act(command.action) } else { Err(Refusal::OtherTenure) }
    }
}

impl Catalog {
    /// Does one thing. A refusal has changed nothing.
    pub fn act(&mut self, action: Action) -> Outcome {
        let Self { accounts, reservations, lease_ms: longest_ms } = self;
        match action {
            Action::Seed(products) => self.seed(products),
            Action::Fence(fence) => reservations.fence(fence.term).map(Reply::Fenced),
            Action::Resolve(resolve) => reservations.resolve(&resolve, accounts).map(|()| Reply::Done),
            Action::Reserve(batch) => reservations.reserve(batch, accounts).map(Reply::Reserved),
            Action::Settle(settle) => reservations.settle(&settle, accounts).map(|()| Reply::Done),
            Action::Restock { level } => Ok(Reply::Restocked(self.restock(level))),
            Action::Lengthen { lease_ms } => {
                *longest_ms = lease_ms.max(*longest_ms);
                Ok(Reply::Done)
            }
        }
    }

    /// The offers that `action` would change, as they would be afterwards. Exact, if nothing else is applied in between.
    pub fn preview(&self, action: &Action) -> Vec<Offer> {
        let mut after = self.clone();
        let _outcome = after.act(action.clone());
        let version_before = |name| self.accounts.get(name).map(Account::version);
        let changed = after.accounts.iter().filter(|(name, account)| version_before(*name) != Some(account.version()));
        changed.map(|(name, account)| account.offer(name)).collect()
    }

    /// What shoppers may buy, by name.
    pub fn offers(&self) -> impl Iterator<Item = Offer> {
        self.accounts.iter().map(|(name, account)| account.offer(name))
    }

    /// One product as shoppers may buy it.
    pub fn offer(&self, name: &ProductName) -> Option<Offer> {
        self.accounts.get(name).map(|account| account.offer(name))
    }

    /// The books, by name.
    pub fn statements(&self) -> Vec<StockAccount> {
        self.accounts.iter().map(|(name, account)| account.statement(name)).collect()
    }

    /// Whether it has not been seeded yet.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Whether there is something to restock.
    pub fn has_sold_out(&self) -> bool {
        self.accounts.values().any(Account::is_sold_out)
    }

    /// The longest lease that may be held just now, from whichever leader.
    pub fn longest_lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    /// Whether the batch is the last one that was answered, so that it gets the same answer again.
    pub fn has_answered(&self, batch: BatchId) -> bool {
        self.reservations.last() == Some(batch)
    }

    /// How many orders have stock that is neither sold nor released.
    pub fn reservations_open(&self) -> usize {
        self.reservations.open_len()
    }

    fn seed(&mut self, products: Vec<Product>) -> Outcome {
        if !self.is_empty() {
            return Err(Refusal::NotEmpty);
        }
        self.accounts = products.into_iter().map(|p| (p.name, Account::open(p.price, p.quantity))).collect();
        Ok(Reply::Done)
    }

    fn restock(&mut self, level: Stock) -> Vec<ProductName> {
        let restocked = self.accounts.iter_mut().filter_map(|(name, account)| account.restock(level).then_some(name));
        restocked.cloned().collect()
    }
}
