//! The console: a live page of a store at work, under faults, and while it heals.
//!
//! `toystore console` shows a store that runs elsewhere, read-only. `toystore up` shows its own
//! store, and can break it: it implements [`StoreControls`].

pub mod control;

pub use control::{Control, ControlError, ControlsState, CutLink, OwnedProcess, ProcessState, Shoppers, StoreControls};
