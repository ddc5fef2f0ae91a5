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
mod end;
mod options;
mod recorder;
mod verdict;

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
/// If a call returned before it was called: the observer has no one clock.
pub fn check(_history: &History, _end: &EndState, _options: &Options) -> Verdict {
    Verdict::default()
}
