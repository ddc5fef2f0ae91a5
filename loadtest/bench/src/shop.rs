//! Our side: a store as `toystore up` runs it, with more in stock than anyone can buy.

use std::collections::VecDeque;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use api::{Address, ProductName};
use client::load::{self, Kind, Plan, Stage};
use tokio::time::{Instant, sleep};
use toystore::local::{Layout, Member, PortBase, Process, Store};

/// Founding a group takes a second or two; a loaded machine gets its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The most that a product may have in stock: nothing is sold out, and nothing restocked.
const PIECES: u64 = 1_000_000_000;

/// Lines of the members' logs that are kept, to be shown if something goes wrong.
const LOG_LINES_MAX: usize = 40;

/// An order that nobody measures, until one goes through.
const TRY: Duration = Duration::from_millis(300);

/// What a store sells, besides what it is told by its settings' defaults.
#[derive(Clone, Debug)]
pub(crate) struct Assortment(Vec<ProductName>);

impl Assortment {
    /// So many products.
    pub(crate) fn of(products: usize) -> Self {
        let name = |n| ProductName::new(&format!("Toy {n}")).expect("it is short and plain");
        Self((1..=products).map(name).collect())
    }

    /// Their names.
    pub(crate) fn products(&self) -> &[ProductName] {
        &self.0
    }

    fn csv(&self) -> String {
        let mut csv = "name,price,quantity\n".to_owned();
        for name in &self.0 {
            writeln!(csv, "{name},25.99,{PIECES}").expect("a string takes all");
        }
        csv
    }
}

/// A running store. Its processes end with it.
pub(crate) struct Shop {
    store: Store,
    assortment: Assortment,
    log: Arc<Log>,
}

impl Shop {
    /// Starts a store with its files in `dir`, which is made, and waits until it is open. `arrange` says what is other than in the
    /// store that `toystore up` runs.
    pub(crate) async fn open(
        binary: &Path,
        dir: &Path,
        assortment: Assortment,
        arrange: impl FnOnce(Layout) -> Layout,
    ) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        std::fs::write(dir.join("catalog.csv"), assortment.csv())?;
        let layout = arrange(Layout::new(dir, PortBase::ephemeral()?));
        let log = Arc::new(Log::default());
        let sink = Arc::clone(&log);
        let store = Store::new(layout, PathBuf::from(binary), Arc::new(move |member, line| sink.keep(member, line)));
        let mut shop = Self { store, assortment, log };
        shop.store.start_all().with_context(|| format!("{} cannot be started", binary.display()))?;
        shop.settle().await?;
        Ok(shop)
    }

    /// Where shoppers go; frontends are counted from 1.
    pub(crate) fn target(&self, frontend: u8) -> Address {
        self.store.layout().public(frontend)
    }

    /// Its processes.
    pub(crate) fn store(&mut self) -> &mut Store {
        &mut self.store
    }

    /// What it sells.
    pub(crate) fn products(&self) -> &[ProductName] {
        self.assortment.products()
    }

    /// Stops the clocks of all of them: nothing of the store runs until it is [thawed](Self::thaw).
    pub(crate) fn freeze(&mut self) -> Result<()> {
        Ok(self.store.processes().try_for_each(Process::freeze)?)
    }

    /// Goes on, and waits until orders go through again.
    pub(crate) async fn thaw(&mut self) -> Result<()> {
        self.store.processes().try_for_each(Process::thaw)?;
        self.settle().await
    }

    /// Ends it at once.
    pub(crate) async fn close(mut self) {
        for process in self.store.processes() {
            // One that has ended already is as good.
            let _ = process.kill().await;
        }
    }

    /// One of a frontend's counters.
    pub(crate) async fn counter(&self, frontend: u8, name: &str) -> Result<f64> {
        let frontend = self.store.layout().internal(Member::Frontend(frontend));
        let text = self.store.caller().text(&frontend, "/metrics", PATIENCE).await.map_err(anyhow::Error::msg)?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.with_context(|| format!("the frontend has no counter {name}"))
    }

    /// Waits until everyone is ready and orders go through.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        let settled = self.try_to_settle().await;
        settled.with_context(|| format!("the store does not open; it said last\n{}", self.log.last()))
    }

    async fn try_to_settle(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        self.store.ready(PATIENCE).await.map_err(anyhow::Error::msg)?;
        loop {
            let stages = vec![Stage::closed(1, TRY)];
            let plan = Plan::of_requests(self.target(1), self.products().to_vec(), 1.0, stages);
            match load::run_to_end(&plan).await {
                Ok(outcome) if outcome.of(Kind::Order).failed() == 0 => return Ok(()),
                _ if Instant::now() > deadline => bail!("no order goes through"),
                _ => sleep(POLL_INTERVAL).await,
            }
        }
    }
}

/// Fails unless there is something that can be run.
pub(crate) fn check_binary(binary: &Path) -> Result<()> {
    ensure!(binary.is_file(), "there is no program {}: cargo build --release, or say where it is", binary.display());
    Ok(())
}

/// The last lines that the members logged.
#[derive(Default)]
struct Log(Mutex<VecDeque<String>>);

impl Log {
    fn keep(&self, member: Member, line: &str) {
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
