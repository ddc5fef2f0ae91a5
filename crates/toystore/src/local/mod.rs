//! A whole store of real processes on this machine: the same binary, started once per member.
//!
//! A *member* is one process of the store: the catalog, an order replica, or a frontend.
//! [`StoreLayout`] knows the members, their ports and their files; [`ChildProcess`] is one member
//! from start to exit; [`LocalStore`] is all of them. `toystore up` and the tests that kill and
//! freeze processes use the same code, so the tests test what people run.
//!
//! A child's standard input is a pipe that the parent holds open. If the parent is killed, the pipe
//! closes, and the children stop by themselves ([`stop_with_parent`]): no process is left behind.
//!
//! [`ProxyNetwork`] and `faults.rs` break a store on purpose, for a drill and for the console of
//! `up`; `recovery.rs` tells when it has recovered.
//!
//! Read `layout.rs` first, then `process.rs` and `store.rs`.

mod addresses;
mod faults;
mod layout;
mod network;
mod parent;
mod ports;
mod process;
mod proxy;
mod recovery;
pub(crate) mod run_file;
mod store;
pub(crate) mod token;

pub use faults::DiskFaults;
pub use layout::{Link, StoreLayout, StoreMember};
pub use network::{Direction, ProxyNetwork};
pub use parent::stop_with_parent;
pub use ports::{PortBase, WELL_KNOWN_BASE};
pub use process::{ChildProcess, LogSink};
pub(crate) use recovery::recovered;
pub use store::LocalStore;
pub(crate) use store::leader;
