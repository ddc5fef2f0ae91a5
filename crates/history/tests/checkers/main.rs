//! Histories that the checkers must reject, and histories that they must accept.

mod codes;
mod conservation;
mod durability;
mod fencing;
mod finality;
mod linearizability;
mod model;
mod numbering;
mod oracle;
mod random;
mod releases;
mod scenario;
mod size;
