//! The run file: which processes of a store run where. `toystore status` reads it to find the
//! store, whatever its ports are.

use std::io;
use std::path::{Path, PathBuf};

use api::Address;
use serde::{Deserialize, Serialize};

use super::layout::StoreMember;
use super::process::ChildProcess;
use super::store::LocalStore;

/// The processes of a running store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunFile {
    /// The process id of `up` itself.
    pub(crate) pid: u32,
    /// In the order in which they were started.
    pub(crate) processes: Vec<RunningProcess>,
}

/// A running process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunningProcess {
    /// Its name, such as `order-1`.
    pub(crate) name: String,
    /// Its process id.
    pub(crate) pid: i32,
    /// Its kind.
    pub(crate) kind: ProcessKind,
    /// The address to show to people: for a frontend, its REST API.
    pub(crate) address: Address,
    /// The address of its internal port.
    pub(crate) internal: Address,
}

/// The kind of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProcessKind {
    Catalog,
    Order,
    Frontend,
}

/// The path of the run file in a data directory.
pub(crate) fn path(data: &Path) -> PathBuf {
    data.join("up.json")
}

impl RunFile {
    /// Lists the processes that were started.
    pub(crate) fn of(store: &mut LocalStore) -> Self {
        let layout = store.layout().clone();
        let running = |process: &mut ChildProcess| {
            let member = process.member();
            let internal = layout.internal(member);
            let (kind, address) = match member {
                StoreMember::Catalog => (ProcessKind::Catalog, internal.clone()),
                StoreMember::Order(_) => (ProcessKind::Order, internal.clone()),
                StoreMember::Frontend(n) => (ProcessKind::Frontend, layout.public(n)),
            };
            RunningProcess { name: member.to_string(), pid: process.pid(), kind, address, internal }
        };
        Self { pid: std::process::id(), processes: store.processes().map(running).collect() }
    }

    /// Replaces the file atomically.
    pub(crate) fn write(&self, data: &Path) -> io::Result<()> {
        report::save(&path(data), &serde_json::to_vec_pretty(self)?)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// If the file does not exist or is not a run file.
    pub(crate) fn read(data: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(path(data))?)?)
    }
}
