//! The result of the checkers.

use std::fmt;

use api::catalog::StockAccount;
use api::{OrderId, OrderNumber, Ordinal, ProductName, Quantity};
use serde::{Deserialize, Serialize};

use crate::call::{BatchEffect, OrderCall, OrderRead, ProductCall};

/// A violation of an invariant. Its text describes what happened, with the calls concerned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Violation {
    /// I1: an acknowledged order is in no ledger. Even the longest one ends before it.
    #[error("I1: an acknowledged order is lost: {call}; the longest ledger (replica {ledger}) has {lines} orders")]
    Lost {
        /// The acknowledgement.
        call: OrderCall,
        /// The replica with the longest ledger.
        ledger: Ordinal,
        /// How many orders it has.
        lines: u64,
    },
    /// I1: a ledger has another order under the number of an acknowledged one.
    #[error("I1: {call}; but under this number, the ledger of replica {ledger} has {found}")]
    Overwritten {
        /// The acknowledgement.
        call: OrderCall,
        /// The replica with this ledger.
        ledger: Ordinal,
        /// The order in the ledger.
        found: LedgerLine,
    },
    /// I1: a read returned another order than the acknowledged one.
    #[error("I1: {call}; but {read}")]
    ReadDiffers {
        /// The acknowledgement.
        call: OrderCall,
        /// The read.
        read: OrderRead,
    },
    /// I1: an order was not found after it had been acknowledged.
    #[error("I1: an acknowledged order was not found later: {call}; then {read}")]
    Vanished {
        /// The acknowledgement.
        call: OrderCall,
        /// The read.
        read: OrderRead,
    },
    /// I1: an order was found, and later it was not found or had changed.
    #[error("I1: an order never changes, but {earlier}, and {later}")]
    ReadsDiffer {
        /// The first read.
        earlier: OrderRead,
        /// The other.
        later: OrderRead,
    },
    /// I1: a read returned an order that is not in the longest ledger.
    #[error("I1: {read}; but under this number, the longest ledger (replica {ledger}) has {}", or_nothing(found.as_ref()))]
    ReadNotInLedger {
        /// The read.
        read: OrderRead,
        /// The replica with the longest ledger.
        ledger: Ordinal,
        /// The order in the ledger under this number.
        found: Option<LedgerLine>,
    },
    /// I2: one order id was acknowledged with two numbers.
    #[error("I2: one order got two numbers: {one}; and {other}")]
    TwoNumbers {
        /// One acknowledgement.
        one: OrderCall,
        /// The other.
        other: OrderCall,
    },
    /// I2: one number was acknowledged for two order ids.
    #[error("I2: one number was given to two orders: {one}; and {other}")]
    NumberShared {
        /// One acknowledgement.
        one: OrderCall,
        /// The other.
        other: OrderCall,
    },
    /// I2: one order id was acknowledged as two different orders.
    #[error("I2: one key was acknowledged for two different orders: {one}; and {other}")]
    KeyShared {
        /// One acknowledgement.
        one: OrderCall,
        /// The other.
        other: OrderCall,
    },
    /// I2: one order id is in a ledger twice.
    #[error("I2: replica {ledger}'s ledger has one order twice: {first}; and {again}")]
    PlacedTwice {
        /// The replica with this ledger.
        ledger: Ordinal,
        /// The first line.
        first: LedgerLine,
        /// The second line.
        again: LedgerLine,
    },
    /// I7: one key got two final answers.
    #[error("I7: the first final answer for a key must not change, but {first}; and {other}")]
    AnswerChanged {
        /// The first received answer.
        first: OrderCall,
        /// The other answer, possibly for another order under the same key.
        other: OrderCall,
    },
    /// I7: an order is in the ledger although it was refused: for good, or at every attempt.
    #[error("I7: an order was refused, but it is placed: {call}; the ledger has {line}")]
    RefusedButPlaced {
        /// The refusal.
        call: OrderCall,
        /// The ledger's line.
        line: LedgerLine,
    },
    /// I2: the ledger contains an order that no client requested.
    #[error("I2: no client requested this order: {line}")]
    NeverOrdered {
        /// The ledger's line.
        line: LedgerLine,
    },
    /// I3: the numbers in a ledger are not 1, 2, 3 …
    #[error("I3: in the ledger of replica {ledger}, number {expected} must come next, but there is {found}")]
    NumberOutOfPlace {
        /// The replica with this ledger.
        ledger: Ordinal,
        /// The number that must be there.
        expected: OrderNumber,
        /// The order that is there.
        found: LedgerLine,
    },
    /// I3: an order got a lower number than one that was acknowledged before it was sent.
    #[error("I3: a number was skipped and assigned later: {earlier}; only afterwards {later}")]
    NumberTooLow {
        /// The higher number.
        earlier: OrderCall,
        /// The lower number.
        later: OrderCall,
    },
    /// I3: two ledgers differ before the end of the shorter one.
    #[error(
        "I3: the ledgers of replicas {} and {} differ from line {line} on (the header is line 1): {:?} and {:?}",
        ledgers[0], ledgers[1], texts[0], texts[1]
    )]
    Diverged {
        /// The replicas with these ledgers.
        ledgers: [Ordinal; 2],
        /// The first line that differs; the header is line 1.
        line: u64,
        /// That line in each of them.
        texts: [String; 2],
    },
    /// I3: a ledger is damaged.
    #[error("I3: replica {ledger}'s ledger is damaged in line {line} (the header is line 1): {what}")]
    Damaged {
        /// The replica with this ledger.
        ledger: Ordinal,
        /// The number of the line; the header is line 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// I4: a stock account does not add up.
    #[error("I4: the stock account does not add up: initial + restocked is not stock + sold + reserved: {account:?}")]
    NotConserved {
        /// The stock account.
        account: StockAccount,
    },
    /// I4: pieces are reserved although the store is quiet.
    #[error("I4: the store is quiet, but {} pieces are still reserved: {account:?}", account.reserved)]
    Leaked {
        /// The stock account.
        account: StockAccount,
    },
    /// I4: the sold pieces are not the ordered ones.
    #[error("I4: the orders contain {pieces} pieces, but the stock account is {account:?}")]
    SoldDiffers {
        /// The stock account.
        account: StockAccount,
        /// The pieces in the longest ledger or, if the store is not quiet, in acknowledged orders.
        pieces: u64,
    },
    /// I4: the number of restocked pieces is not a multiple of the restock level.
    #[error("I4: each restock adds {level} pieces, but the stock account is {account:?}")]
    RestockedInPart {
        /// The stock account.
        account: StockAccount,
        /// The number of pieces per restock; 0 if the store does not restock.
        level: u64,
    },
    /// I4: an order was acknowledged for a product without a stock account.
    #[error("I4: the catalog has no such product: {call}")]
    NoAccount {
        /// The acknowledgement.
        call: OrderCall,
    },
    /// I5: a read that is not linearizable.
    #[error("I5: a stale or impossible read: {call}; the orders acknowledged before and in flight allow {allowed}")]
    StaleRead {
        /// The read.
        call: ProductCall,
        /// What it could have returned.
        allowed: Allowed,
    },
    /// I5: an order was refused although there was always enough in stock.
    #[error("I5: refused as out of stock although there was enough: {call}; the stock was {allowed}")]
    RefusedWithStock {
        /// The refusal.
        call: OrderCall,
        /// The possible stock.
        allowed: Allowed,
    },
    /// I5: more was acknowledged than there was in stock.
    #[error("I5: acknowledged although there was not enough in stock: {call}; the stock was {allowed}")]
    Oversold {
        /// The acknowledgement.
        call: OrderCall,
        /// The possible stock.
        allowed: Allowed,
    },
    /// I5: the final stock does not follow from the history.
    #[error("I5: at the end {product} has {stock} in stock, but the history allows {allowed}")]
    EndsWrong {
        /// The product.
        product: ProductName,
        /// The stock in the stock account.
        stock: u64,
        /// The possible stock.
        allowed: Allowed,
    },
    /// I6: a batch of a deposed leader took effect.
    #[error("I6: a deposed leader was not fenced: {later} took effect after {earlier}")]
    TermWentBack {
        /// The effect of the later leader, which came first.
        earlier: BatchEffect,
        /// The effect of the deposed leader.
        later: BatchEffect,
    },
    /// I6: a batch took effect twice, or after a later batch.
    #[error("I6: a batch took effect out of order: {later} after {earlier}")]
    BatchOutOfTurn {
        /// The effect before.
        earlier: BatchEffect,
        /// The effect that must not happen.
        later: BatchEffect,
    },
    /// I6: two leaders in one term.
    #[error("I6: one term had two leaders: {earlier} and {later}")]
    TwoLeaders {
        /// One of them.
        earlier: BatchEffect,
        /// The other.
        later: BatchEffect,
    },
}

/// The stock that was possible at the point that no linearization gets past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// The smallest stock, in pieces.
    pub min: u64,
    /// The largest stock, in pieces.
    pub max: u64,
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max { write!(f, "{}", self.min) } else { write!(f, "{} to {}", self.min, self.max) }
    }
}

/// One order in a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerLine {
    /// The order number.
    pub number: OrderNumber,
    /// The product.
    pub product: ProductName,
    /// The quantity, in pieces.
    pub quantity: Quantity,
    /// The order id.
    pub order_id: OrderId,
}

impl fmt::Display for LedgerLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, product, quantity, order_id } = self;
        write!(f, "order {number}, {quantity} × {product} ({order_id})")
    }
}

fn or_nothing(line: Option<&LedgerLine>) -> String {
    line.map_or_else(|| "nothing".into(), ToString::to_string)
}

/// The counts of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Acknowledged orders. Here and in the next two fields, all attempts at an order count once.
    pub acknowledged: u64,
    /// Orders that were refused, for good or at every attempt.
    pub refused: u64,
    /// Orders whose outcome is unknown to the client.
    pub unknown: u64,
    /// Product reads that returned a quantity.
    pub product_reads: u64,
    /// Order reads that returned an order, or that there is none.
    pub order_reads: u64,
    /// Acknowledged orders that are missing, or that could not be read.
    pub lost: u64,
    /// Orders that have more than one number, or share one.
    pub duplicated: u64,
    /// Product reads that are not linearizable.
    pub stale_reads: u64,
    /// Pieces that are neither in stock nor sold in a quiet store.
    pub leaked_pieces: u64,
    /// Restocks of products, according to the stock accounts.
    pub restocks: u64,
    /// Products for which the search exceeded its budget, or could not start. Nothing is known
    /// about I5 for them.
    pub undecided: u64,
    /// Violations of all kinds, listed or not.
    pub violations: u64,
    /// Configurations that the search has visited.
    pub configurations: u64,
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The violations, ordered by checker. There are at most
    /// [`CheckOptions::violations_max`](crate::CheckOptions::violations_max) of them.
    pub violations: Vec<Violation>,
    /// The counts.
    pub counts: Counts,
}

impl Verdict {
    /// Whether no violation was found. An undecided product is not a violation.
    pub fn is_clean(&self) -> bool {
        self.counts.violations == 0
    }
}
