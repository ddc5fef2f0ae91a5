//! Judges what clients saw of the store, whether the store was simulated or real.
//!
//! An observer writes down every call with the moments between which it lasted, on *one* clock, and what came of it: a [`History`]
//! (a [`Recorder`] collects it from many threads). When all is over it takes the ledgers and the catalog's books: an [`EndState`]. [`check`]
//! compares the two with the invariants of the store, and its [`Verdict`] says what was broken, by which calls.
//!
//! # Who has to be believed
//! Nothing inside the store: a checker knows what was asked, what was answered, and what lies on the disks in the end. So the same
//! checkers judge real processes, simulated ones, and histories that were written by hand.
//!
//! # What an answer means
//! * *Acknowledged*: the order has its number, for ever.
//! * *Refused*: nothing was ordered. Only the codes that promise this count as refusals: see [`OrderOutcome::of_error`].
//! * *Unknown*: everything else. The order may have been placed, may be placed later, or never.

mod call;
mod conservation;
mod durability;
mod end;
mod fencing;
mod findings;
mod index;
mod ledger;
mod linearizability;
mod numbering;
mod options;
mod recorder;
mod verdict;

use findings::Findings;
use index::Index;

pub use call::{
    Act, ActPlace, ClientId, History, Moment, OrderCall, OrderOutcome, OrderRead, OrderReadOutcome, ProductCall,
    ProductOutcome,
};
pub use end::{EndState, LedgerFile};
pub use options::{Budget, GiveBacks, Options};
pub use recorder::{Full, Recorder};
pub use verdict::{Allowed, Counts, LedgerLine, Verdict, Violation};

/// Judges what was seen by what is left.
///
/// # Panics
/// If a call returned before it was called (the observer has no one clock), or has an outcome and never returned.
pub fn check(history: &History, end: &EndState, options: &Options) -> Verdict {
    check_clock(history);
    let mut findings = Findings::new(options.violations_max);
    let index = Index::new(history);
    index.count(&mut findings);
    let ledgers = ledger::read(&end.ledgers, &mut findings);
    durability::check(history, &index, &ledgers, &mut findings);
    numbering::check(&index, &ledgers, options, &mut findings);
    ledger::check(&ledgers, &mut findings);
    conservation::check(&index, &ledgers, &end.accounts, options, &mut findings);
    linearizability::check(history, &index, &ledgers, &end.accounts, options, &mut findings);
    fencing::check(&history.acts, &mut findings);
    findings.into_verdict()
}

fn check_clock(history: &History) {
    let orders = history.orders.iter().map(|call| (call.called, call.returned, call.outcome == OrderOutcome::Unknown));
    let products =
        history.products.iter().map(|call| (call.called, call.returned, call.outcome == ProductOutcome::Unknown));
    let reads =
        history.order_reads.iter().map(|call| (call.called, call.returned, call.outcome == OrderReadOutcome::Unknown));
    for (called, returned, unknown) in orders.chain(products).chain(reads) {
        match returned {
            Some(returned) => assert!(called <= returned, "called at {called}, and returned before, at {returned}"),
            None => assert!(unknown, "called at {called} and never returned, but the outcome is known"),
        }
    }
}
