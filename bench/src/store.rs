//! Our side: a store as `toystore up` runs it, with so much in stock that nothing is sold out.

use std::collections::VecDeque;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use api::{Address, ProductName};
use service::metrics::lines;
use tokio::time::{Instant, sleep};
use toystore::local::{ChildProcess, LocalStore, PortBase, StoreLayout, StoreMember};
use workload::RequestKind;
use workload::load::{self, LoadPlan, Stage};

/// Bootstrapping a group takes a second or two; more on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How often the store is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The maximum stock of a product: nothing is sold out or restocked.
const PIECES: u64 = 1_000_000_000;

/// How many log lines of the members are kept, to be shown in error messages.
const LOG_LINES_MAX: usize = 40;

/// How long orders are sent to find out whether one is acknowledged.
const PROBE: Duration = Duration::from_millis(300);

/// The products of a store.
#[derive(Clone, Debug)]
pub(crate) struct Assortment(Vec<ProductName>);

impl Assortment {
    /// An assortment of that number of products.
    pub(crate) fn of(products: usize) -> Self {
        let name = |n| ProductName::new(&format!("Toy {n}")).expect("a valid product name");
        Self((1..=products).map(name).collect())
    }

    /// Their names.
    pub(crate) fn products(&self) -> &[ProductName] {
        &self.0
    }

    fn csv(&self) -> String {
        let mut csv = "name,price,quantity\n".to_owned();
        for name in &self.0 {
            writeln!(csv, "{name},25.99,{PIECES}").expect("writing to a string cannot fail");
        }
        csv
    }
}

/// A running store. Its processes are killed when it is dropped.
pub(crate) struct BenchStore {
    local: LocalStore,
    assortment: Assortment,
    log: Arc<Log>,
}

impl BenchStore {
    /// Starts a store with its files in `dir`, which is created, and waits until it accepts orders.
    /// `arrange` changes the layout that `toystore up` uses.
    pub(crate) async fn open(
        binary: &Path,
        dir: &Path,
        assortment: Assortment,
        arrange: impl FnOnce(StoreLayout) -> StoreLayout,
    ) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        std::fs::write(dir.join("catalog.csv"), assortment.csv())?;
        let layout = arrange(StoreLayout::new(dir, PortBase::ephemeral()?));
        let log = Arc::new(Log::default());
        let sink = Arc::clone(&log);
        let local =
            LocalStore::new(layout, PathBuf::from(binary), Arc::new(move |member, line| sink.keep(member, line)));
        let mut store = Self { local, assortment, log };
        store.local.start_all().with_context(|| format!("cannot start {}", binary.display()))?;
        store.settle().await?;
        Ok(store)
    }

    /// The public address of a frontend; frontends are numbered from 1.
    pub(crate) fn target(&self, frontend: u8) -> Address {
        self.local.layout().public(frontend)
    }

    /// The store's processes.
    pub(crate) fn local(&mut self) -> &mut LocalStore {
        &mut self.local
    }

    /// The names of its products.
    pub(crate) fn products(&self) -> &[ProductName] {
        self.assortment.products()
    }

    /// Pauses all processes until the store is [resumed](Self::thaw).
    pub(crate) fn freeze(&mut self) -> Result<()> {
        Ok(self.local.processes().try_for_each(ChildProcess::freeze)?)
    }

    /// Resumes all processes, and waits until orders are acknowledged again.
    pub(crate) async fn thaw(&mut self) -> Result<()> {
        self.local.processes().try_for_each(ChildProcess::thaw)?;
        self.settle().await
    }

    /// Kills all processes.
    pub(crate) async fn close(mut self) {
        for process in self.local.processes() {
            // A process that has already ended is fine, too.
            let _ = process.kill().await;
        }
    }

    /// The value of a frontend's counter.
    pub(crate) async fn counter(&self, frontend: u8, name: &str) -> Result<f64> {
        let frontend = self.local.layout().internal(StoreMember::Frontend(frontend));
        let text = self.local.json_client().text(&frontend, "/metrics", TIMEOUT).await.map_err(anyhow::Error::msg)?;
        let value = lines(&text).find(|line| line.name == name).map(|line| line.value);
        value.with_context(|| format!("the frontend has no metric {name}"))
    }

    /// Waits until all processes are ready and an order is acknowledged.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        let settled = self.try_to_settle().await;
        settled.with_context(|| format!("the store does not become ready; its last log lines are\n{}", self.log.last()))
    }

    async fn try_to_settle(&mut self) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        self.local.ready(TIMEOUT).await.map_err(anyhow::Error::msg)?;
        loop {
            let stages = vec![Stage::closed(1, PROBE)];
            let plan = LoadPlan::single_requests(self.target(1), self.products().to_vec(), 1.0, stages);
            match load::run_to_end(&plan).await {
                Ok(outcome) if outcome.of(RequestKind::Order).failed() == 0 => return Ok(()),
                _ if Instant::now() > deadline => bail!("no order is acknowledged"),
                _ => sleep(POLL_INTERVAL).await,
            }
        }
    }
}

/// Returns an error if the binary does not exist.
pub(crate) fn check_binary(binary: &Path) -> Result<()> {
    ensure!(
        binary.is_file(),
        "{} does not exist: build it with cargo build --profile dist, or set --toystore",
        binary.display()
    );
    Ok(())
}

/// The last log lines of the members.
#[derive(Default)]
struct Log(Mutex<VecDeque<String>>);

impl Log {
    fn keep(&self, member: StoreMember, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LOG_LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(format!("{member:>10} | {line}"));
    }

    fn last(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}
