//! A store for one test, with clients and an audit.

mod audit;
mod rest;
mod writers;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::Ordinal;
use api::replica::ReplicaStatus;
use tokio::net::TcpSocket;
use toystore::local::{LocalStore, LogSink, PortBase, StoreLayout, StoreMember};

pub(crate) use audit::{Audit, ClientOrder};
pub(crate) use rest::{Rest, RestResponse};
pub(crate) use writers::OrderWriters;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_toystore");

/// The products of which [`TestStore::well_stocked`] has a high stock.
pub(crate) const TOYS: &[&str] = &["Tux", "Fox", "Whale", "Elephant", "Python"];

/// The longest wait for anything that takes at most a second on an idle machine.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(1);

/// The log lines of all processes; printed if the test fails.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<String>>>);

impl Logs {
    fn sink(&self) -> LogSink {
        let lines = self.clone();
        Arc::new(move |member, line| lines.0.lock().unwrap().push(format!("{member:>10} | {line}")))
    }
}

/// A store whose processes and files are removed with it.
pub(crate) struct TestStore {
    pub(crate) store: LocalStore,
    logs: Logs,
    // Last, because fields are dropped in order: the processes first, then their files.
    _directory: tempfile::TempDir,
}

impl TestStore {
    /// Starts a catalog, three order replicas and a frontend, and waits until they are ready.
    pub(crate) async fn start() -> Self {
        Self::start_with(|layout| layout).await
    }

    /// The same with a changed layout.
    pub(crate) async fn start_with(change: impl FnOnce(StoreLayout) -> StoreLayout) -> Self {
        let mut store = Self::prepare(change);
        store.store.start_all().unwrap();
        store.ready().await;
        store
    }

    /// A store with such a high stock of the [`TOYS`] that they never sell out. Each was ordered
    /// once.
    pub(crate) async fn well_stocked(change: impl FnOnce(StoreLayout) -> StoreLayout) -> Self {
        let mut store = Self::prepare_well_stocked(change);
        store.store.start_all().unwrap();
        store.stock_up().await;
        store
    }

    /// Prepares such a store without starting a process; see [`TestStore::stock_up`].
    pub(crate) fn prepare_well_stocked(change: impl FnOnce(StoreLayout) -> StoreLayout) -> Self {
        Self::prepare(|layout| {
            change(layout).with_variable("RESTOCK_INTERVAL_MS", 50).with_variable("RESTOCK_LEVEL", 10_000_000)
        })
    }

    /// Waits until all members are ready, and buys the initial stock, so that the high restock
    /// level applies.
    pub(crate) async fn stock_up(&mut self) {
        self.ready().await;
        let rest = self.rest();
        for toy in TOYS {
            rest.buy(toy, 100).await;
            eventually("it is restocked", || async { rest.stock(toy).await > 100 }).await;
        }
    }

    /// Prepares a store without starting a process.
    pub(crate) fn prepare(change: impl FnOnce(StoreLayout) -> StoreLayout) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Stock only changes by orders, unless a test restocks.
        let layout = StoreLayout::new(directory.path(), PortBase::ephemeral().unwrap())
            .with_variable("RESTOCK_INTERVAL_MS", 3_600_000);
        let logs = Logs::default();
        let store = LocalStore::new(change(layout), BINARY, logs.sink());
        Self { store, logs, _directory: directory }
    }

    /// Replaces the layout, before any member has started.
    pub(crate) fn relocate(&mut self, layout: StoreLayout) {
        self.store = LocalStore::new(layout, BINARY, self.logs.sink());
    }

    /// Waits until all started members are ready.
    pub(crate) async fn ready(&mut self) {
        self.store.ready(TIMEOUT).await.unwrap();
    }

    /// A client of the first frontend's REST API.
    pub(crate) fn rest(&self) -> Rest {
        self.rest_of(1)
    }

    /// A client of another frontend's REST API.
    pub(crate) fn rest_of(&self, frontend: u8) -> Rest {
        Rest::new(&self.store.layout().public(frontend))
    }

    /// The status of a running order replica.
    pub(crate) async fn status(&self, ordinal: Ordinal) -> ReplicaStatus {
        awaited("the replica answers", || self.store.status(ordinal)).await
    }

    /// A text from a member's internal port.
    pub(crate) async fn internal_text(&self, member: StoreMember, path: &str) -> String {
        let (status, text) = Rest::new(&self.store.layout().internal(member)).text(path).await;
        assert!(status.is_success(), "{member} {path}: {status}");
        text
    }

    /// Whether any log line contains `what`.
    pub(crate) fn logged(&self, what: &str) -> bool {
        self.logs.0.lock().unwrap().iter().any(|line| line.contains(what))
    }
}

impl Drop for TestStore {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for line in self.logs.0.lock().unwrap().iter() {
                eprintln!("{line}");
            }
        }
    }
}

/// A port without a listener, and a socket that reserves it: a server can still bind it, as after a
/// restart.
pub(crate) fn free_port() -> (String, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (socket.local_addr().unwrap().port().to_string(), socket)
}

/// Polls until the condition holds.
///
/// # Panics
/// After [`TIMEOUT`], with the condition that did not hold.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    awaited(what, || async { is_so().await.then_some(()) }).await;
}

/// Polls until there is a value.
///
/// # Panics
/// As [`eventually`].
pub(crate) async fn awaited<T, F: Future<Output = Option<T>>>(what: &str, poll: impl Fn() -> F) -> T {
    let deadline = tokio::time::Instant::now() + TIMEOUT;
    loop {
        if let Some(value) = poll().await {
            return value;
        }
        assert!(tokio::time::Instant::now() < deadline, "this did not happen in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
