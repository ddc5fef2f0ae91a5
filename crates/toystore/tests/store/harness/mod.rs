//! A store for one test, and the means to use and to judge it.

mod audit;
mod rest;
mod writers;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use toystore::local::{Layout, LogSink, Member, PortBase, Store};

pub(crate) use audit::Audit;
pub(crate) use rest::{Answer, Rest};
pub(crate) use writers::{Acknowledged, Writers};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_toystore");

/// What [`TestStore::plenty`] has plenty of.
pub(crate) const TOYS: &[&str] = &["Tux", "Fox", "Whale", "Elephant", "Python"];

/// Longest wait for anything that takes a second at most on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Logs are shown if the test fails, and only then.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<String>>>);

impl Logs {
    fn sink(&self) -> LogSink {
        let lines = self.clone();
        Arc::new(move |member, line| lines.0.lock().unwrap().push(format!("{member:>10} | {line}")))
    }
}

/// A running store whose files and processes go away with it.
pub(crate) struct TestStore {
    pub(crate) store: Store,
    logs: Logs,
    // Last: the files go after the processes.
    _directory: tempfile::TempDir,
}

impl TestStore {
    /// Catalog, three orders, one frontend; ready.
    pub(crate) async fn start() -> Self {
        Self::start_with(|layout| layout).await
    }

    /// The same with changes to the layout.
    pub(crate) async fn start_with(change: impl FnOnce(Layout) -> Layout) -> Self {
        let mut store = Self::prepare(change);
        store.store.start_all().unwrap();
        store.ready().await;
        store
    }

    /// A store with so much of the [`TOYS`] that they are never sold out. Each was bought once.
    pub(crate) async fn plenty(change: impl FnOnce(Layout) -> Layout) -> Self {
        let mut store = Self::prepare_plenty(change);
        store.store.start_all().unwrap();
        store.stock_up().await;
        store
    }

    /// Nothing runs yet; for [`TestStore::stock_up`].
    pub(crate) fn prepare_plenty(change: impl FnOnce(Layout) -> Layout) -> Self {
        Self::prepare(|layout| {
            change(layout).with_variable("RESTOCK_INTERVAL_MS", 50).with_variable("RESTOCK_LEVEL", 10_000_000)
        })
    }

    /// Waits until everyone is ready, and the stock is plenty.
    pub(crate) async fn stock_up(&mut self) {
        self.ready().await;
        let rest = self.rest();
        for toy in TOYS {
            rest.buy(toy, 100).await;
            eventually("it is restocked", || async { rest.stock(toy).await > 100 }).await;
        }
    }

    /// Nothing runs yet.
    pub(crate) fn prepare(change: impl FnOnce(Layout) -> Layout) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Stock only changes by orders, unless a test wants otherwise.
        let layout = Layout::new(directory.path(), PortBase::ephemeral().unwrap())
            .with_variable("RESTOCK_INTERVAL_MS", 3_600_000);
        let logs = Logs::default();
        let store = Store::new(change(layout), BINARY, logs.sink());
        Self { store, logs, _directory: directory }
    }

    /// Waits until everyone who was started is ready.
    pub(crate) async fn ready(&mut self) {
        self.store.ready(PATIENCE).await.unwrap();
    }

    /// The first frontend's REST API.
    pub(crate) fn rest(&self) -> Rest {
        self.rest_of(1)
    }

    /// Another frontend's.
    pub(crate) fn rest_of(&self, frontend: u8) -> Rest {
        Rest::new(&self.store.layout().public(frontend))
    }

    /// A text on a member's internal port.
    pub(crate) async fn internal_text(&self, member: Member, path: &str) -> String {
        let (status, text) = Rest::new(&self.store.layout().internal(member)).text(path).await;
        assert!(status.is_success(), "{member} {path}: {status}");
        text
    }

    /// What the logs said so far.
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

/// Asks until it is so.
///
/// # Panics
/// After [`PATIENCE`], with what was awaited.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(tokio::time::Instant::now() < deadline, "it never came to be that {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
