//! What the checkers found.

use std::fmt;

use api::catalog::StockAccount;
use api::{OrderId, OrderNumber, Ordinal, ProductName, Quantity};
use serde::{Deserialize, Serialize};

use crate::call::{Act, OrderCall, OrderRead, ProductCall};

/// A promise that the store broke. Its text tells a person what happened, with the calls concerned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Violation {
    /// I1: an acknowledged order is in no ledger: even the longest ends before it.
    #[error("I1: an acknowledged order is lost: {call}; the longest ledger, replica {ledger}'s, has {lines} orders")]
    Lost {
        /// The acknowledgement.
        call: OrderCall,
        /// Whose ledger is the longest.
        ledger: Ordinal,
        /// How many orders it has.
        lines: u64,
    },
    /// I1: a ledger has something else under an acknowledged order's number.
    #[error("I1: {call}; but replica {ledger}'s ledger has there {found}")]
    Overwritten {
        /// The acknowledgement.
        call: OrderCall,
        /// Whose ledger.
        ledger: Ordinal,
        /// What it has.
        found: LedgerLine,
    },
    /// I1: an order was read as something else than what was acknowledged.
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
    /// I1: an order was found, and later it was not, or it was another one.
    #[error("I1: an order never changes, but {earlier}, and {later}")]
    ReadsDiffer {
        /// The first read.
        earlier: OrderRead,
        /// The other.
        later: OrderRead,
    },
    /// I1: an order was read that is not in the longest ledger like that.
    #[error("I1: {read}; but the longest ledger, replica {ledger}'s, has there {}", or_nothing(found.as_ref()))]
    ReadNotInLedger {
        /// The read.
        read: OrderRead,
        /// Whose ledger is the longest.
        ledger: Ordinal,
        /// What it has under that number.
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
        /// Whose ledger.
        ledger: Ordinal,
        /// The first line.
        first: LedgerLine,
        /// The second line.
        again: LedgerLine,
    },
    /// I2: an acknowledged order was sent again with its key, and refused.
    #[error("I2: an acknowledged order was refused when it was repeated: {call}; then {again}")]
    RefusedAgain {
        /// The acknowledgement.
        call: OrderCall,
        /// The repetition.
        again: OrderCall,
    },
    /// I2: an order is in the ledger although its client was told, each time that it asked, that nothing was ordered.
    #[error("I2: an order was refused and is placed all the same: {call}; the ledger has {line}")]
    RefusedButPlaced {
        /// The last refusal.
        call: OrderCall,
        /// The ledger's line.
        line: LedgerLine,
    },
    /// I2: an order is in the ledger that nobody has asked for.
    #[error("I2: nobody asked for this order: {line}")]
    NeverOrdered {
        /// The ledger's line.
        line: LedgerLine,
    },
    /// I3: the numbers in a ledger are not 1, 2, 3 …
    #[error("I3: in replica {ledger}'s ledger number {expected} comes next, but there is {found}")]
    NumberOutOfPlace {
        /// Whose ledger.
        ledger: Ordinal,
        /// The number that should be there.
        expected: OrderNumber,
        /// What is there.
        found: LedgerLine,
    },
    /// I3: an order got a lower number than one that was acknowledged before it was sent.
    #[error("I3: a number was left out and given later: {earlier}; only then {later}")]
    NumberTooLow {
        /// The higher number.
        earlier: OrderCall,
        /// The lower number.
        later: OrderCall,
    },
    /// I3: two ledgers are different before the end of the shorter one.
    #[error(
        "I3: the ledgers of replicas {} and {} differ from line {line} on (the header is line 1): {:?} and {:?}",
        ledgers[0], ledgers[1], texts[0], texts[1]
    )]
    Diverged {
        /// Whose ledgers.
        ledgers: [Ordinal; 2],
        /// The first line that differs; the header is line 1.
        line: u64,
        /// That line in each of them.
        texts: [String; 2],
    },
    /// I3: a ledger is damaged.
    #[error("I3: replica {ledger}'s ledger is damaged in line {line} (the header is line 1): {what}")]
    Damaged {
        /// Whose ledger.
        ledger: Ordinal,
        /// Which line; the header is line 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// I4: a product's books do not add up.
    #[error("I4: the books do not add up, initial + restocked is not stock + sold + reserved: {account:?}")]
    NotConserved {
        /// The books.
        account: StockAccount,
    },
    /// I4: pieces are reserved although nothing is going on.
    #[error("I4: the store is quiet, and {} pieces are still reserved: {account:?}", account.reserved)]
    Leaked {
        /// The books.
        account: StockAccount,
    },
    /// I4: what is sold is not what was ordered.
    #[error("I4: {pieces} pieces are in the orders, but the books say: {account:?}")]
    SoldDiffers {
        /// The books.
        account: StockAccount,
        /// Pieces in the longest ledger; if the store is not quiet, in acknowledged orders.
        pieces: u64,
    },
    /// I4: restocking brings whole levels of pieces.
    #[error("I4: restocks bring {level} pieces each, but the books say: {account:?}")]
    RestockedInPart {
        /// The books.
        account: StockAccount,
        /// Pieces per restock; 0 if the store does not restock.
        level: u64,
    },
    /// I4: an order was acknowledged for a product that has no books.
    #[error("I4: the catalog has no such product: {call}")]
    NoAccount {
        /// The acknowledgement.
        call: OrderCall,
    },
    /// I5: a read that no order of events explains.
    #[error("I5: a stale or impossible read: {call}; the orders acknowledged before and under way allow {allowed}")]
    StaleRead {
        /// The read.
        call: ProductCall,
        /// What it could have said.
        allowed: Allowed,
    },
    /// I5: an order was refused although there was enough in stock all the time.
    #[error("I5: refused for want of stock although there was enough: {call}; in stock was {allowed}")]
    RefusedWithStock {
        /// The refusal.
        call: OrderCall,
        /// What could have been in stock.
        allowed: Allowed,
    },
    /// I5: more was acknowledged than there was.
    #[error("I5: acknowledged although there was not enough in stock: {call}; in stock was {allowed}")]
    Oversold {
        /// The acknowledgement.
        call: OrderCall,
        /// What could have been in stock.
        allowed: Allowed,
    },
    /// I5: what is in stock in the end does not follow from what happened.
    #[error("I5: in the end {product} has {stock} in stock, but the history allows {allowed}")]
    EndsWrong {
        /// Which product.
        product: ProductName,
        /// What the books say.
        stock: u64,
        /// What could have been in stock.
        allowed: Allowed,
    },
    /// I6: a deposed leader's act took effect.
    #[error("I6: a deposed leader was not stopped: {later} took effect after {earlier}")]
    TermWentBack {
        /// The later leader's act, which came first.
        earlier: Act,
        /// The deposed leader's.
        later: Act,
    },
    /// I6: a batch took effect twice, or after its successor.
    #[error("I6: a batch took effect out of turn: {later} after {earlier}")]
    BatchOutOfTurn {
        /// The act before.
        earlier: Act,
        /// The act that should not be.
        later: Act,
    },
    /// I6: two leaders in one term.
    #[error("I6: one term had two leaders: {earlier} and {later}")]
    TwoLeaders {
        /// One of them.
        earlier: Act,
        /// The other.
        later: Act,
    },
}

/// The stock that was possible at the point at which no explanation goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// The least, in pieces.
    pub min: u64,
    /// The most, in pieces.
    pub max: u64,
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max { write!(f, "{}", self.min) } else { write!(f, "{} to {}", self.min, self.max) }
    }
}

/// One order as a ledger has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerLine {
    /// Its number.
    pub number: OrderNumber,
    /// Which product.
    pub product: ProductName,
    /// How many pieces.
    pub quantity: Quantity,
    /// Its id.
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

/// How much of everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Orders that have been acknowledged; attempts at one order are counted once here and in the next two.
    pub acknowledged: u64,
    /// Orders that were refused each time.
    pub refused: u64,
    /// Orders of which the client does not know what became of them.
    pub unknown: u64,
    /// Reads of products that said a quantity.
    pub product_reads: u64,
    /// Reads of orders that said something.
    pub order_reads: u64,
    /// Acknowledged orders that are not where they must be, or could not be read.
    pub lost: u64,
    /// Orders that have more than one number, or share one.
    pub duplicated: u64,
    /// Reads of products that no order of events explains.
    pub stale_reads: u64,
    /// Pieces that are neither in stock nor sold in a quiet store.
    pub leaked_pieces: u64,
    /// Restocks of products, as the books tell.
    pub restocks: u64,
    /// Products for which the search for an explanation was given up: nothing is known about I5 there.
    pub undecided: u64,
    /// Violations of all kinds, listed or not.
    pub violations: u64,
    /// Configurations that the search has visited.
    pub configurations: u64,
}

/// What was judged, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What is broken, invariant by invariant; at most as many as [`Options::violations_max`](crate::Options::violations_max).
    pub violations: Vec<Violation>,
    /// How much of everything.
    pub counts: Counts,
}

impl Verdict {
    /// Whether nothing is broken. What is undecided is not known to be broken.
    pub fn is_clean(&self) -> bool {
        self.counts.violations == 0
    }
}
