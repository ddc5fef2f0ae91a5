//! Histories that must be rejected, and histories that must be accepted.

mod codes;
mod conservation;
mod durability;
mod fencing;
mod give_backs;
mod linearizability;
mod model;
mod numbering;
mod oracle;
mod random;
mod size;
mod story;
