//! Histories that must be rejected, and histories that must be accepted.

mod conservation;
mod durability;
mod fencing;
mod give_backs;
mod linearizability;
mod numbering;
mod story;
