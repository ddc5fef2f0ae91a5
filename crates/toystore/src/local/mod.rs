//! A whole store of real processes on this machine: the same binary, started once per member.
//!
//! [`Layout`] says which members there are, on which ports, with which files; [`Process`] is one of them, from its start to its end; [`Store`]
//! is all of them. `toystore up` and the tests that kill and freeze processes both stand on this, so that what is tested is
//! what people run.
//!
//! A child's standard input is a pipe that this process holds open. Should this process be killed outright, the pipe closes, and the children
//! stop by themselves ([`stop_with_parent`]): nothing is left behind.

mod layout;
mod ports;
mod process;
mod store;

pub use layout::{Layout, Link, Member};
pub use ports::{PortBase, WELL_KNOWN_BASE};
pub use process::{LogSink, Process};
pub use store::Store;

use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

/// The variable that tells a child to stop when its standard input closes.
pub(crate) const STOP_WITH_PARENT: &str = "STOP_WITH_PARENT";

/// If a parent of this binary's kind asked for it, cancels `stop` as soon as the parent is gone.
pub fn stop_with_parent(stop: &CancellationToken) {
    if std::env::var_os(STOP_WITH_PARENT).is_none() {
        return;
    }
    let stop = stop.clone();
    tokio::spawn(async move {
        // Nothing is ever written to the pipe: reading ends when it closes.
        let _ = tokio::io::stdin().read(&mut [0]).await;
        stop.cancel();
    });
}
