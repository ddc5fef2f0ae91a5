//! `toystore drill`: real processes under load, with faults, and then a verdict.
//!
//! ```text
//!   writers ──┐                     ┌─ kill -9, SIGSTOP, SIGTERM
//!   readers ──┴─► two frontends ──► │  a proxy on every link: partitions
//!      │          catalog, orders   └─ slow, full and wiped disks
//!      ▼
//!   history ──► checkers: I1–I5 of docs/architecture.md ──► report
//! ```
//!
//! A plan, drawn from a seed, says which [`Fault`] comes when. Each is done, left alone for a while, and undone; the next one comes
//! when the store is whole again: every process ready, every order replica a voter that has caught up, orders flowing through
//! every frontend. In the end the shoppers finish what they are at, the store becomes quiet, and the [checkers](history) compare
//! everything that shoppers were told with the ledgers and the catalog's books.
//!
//! The *gap* of a fault is the longest time without an acknowledged order, measured from the fault itself (the `kill` call) on.
//!
//! # Caveats
//! * One machine: disks, clocks and processors are shared. Clocks that differ are the simulator's business, and so are torn writes.
//! * `kill -9` loses nothing that a process has written and not synced; only a machine's end would.
//! * Proxies stand between the members only if a partition is among the faults: see `network.rs` for what they change.
//! * A disk that is slow or full is played by the process itself, on the word of a file. The real thing is slower in more places.
//! * One fault at a time, but for what the healing of the last one still does.

pub(crate) mod audit;
mod config;
mod fault;
mod field;
mod journal;
mod load;
mod network;
mod plan;
mod pulse;
mod report;
mod show;
mod whole;

use std::path::{Path, PathBuf};
use std::time::Duration;

use api::{Address, ProductName, Stock};
use history::{History, Moment, Options};
use service::lifecycle::ExitCode;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cli::{Failed, print};
use crate::local::{Layout, PortBase, Store};
pub use config::{Config, Length, settings};
pub use fault::{Fault, Faults};
use field::Field;
use journal::Journal;
pub use journal::Stages;
pub use load::Seen;
use load::{Demand, Load};
use network::Network;
use plan::{Plan, Step};
use pulse::{Clock, microseconds};
pub use report::{Event, FaultSummary, Report, StagesSummary};
use show::Show;

/// So that one can be killed, and so that whoever reads need not read where was written.
const FRONTENDS: u8 = 2;

/// So many products are bought: few, that buyers meet and things are sold out.
const PRODUCTS: usize = 6;

/// What a sold-out product comes back to: sold again within seconds.
const RESTOCK_LEVEL: u64 = 500;

/// Sold-out products are looked for that often; meanwhile orders for them are refused.
const RESTOCK_INTERVAL_MS: u64 = 100;

/// So many acknowledged orders before the first fault show that the store is at work.
const WARM_UP: u64 = 100;

/// Between two looks at what goes on.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Runs a drill and prints its report.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Failed> {
    let failure = |error: String| Failed::new(ExitCode::Failure, error);
    let io = |error: std::io::Error| Failed::new(ExitCode::Io, error);
    let (data, temporary) = data_dir(&config).map_err(io)?;
    let report = drill(&config, &data, &stop).await.map_err(failure)?;
    print(&report);
    if let Some(path) = &config.json {
        let json = serde_json::to_vec_pretty(&report).expect("a report has a JSON form");
        std::fs::write(path, json).map_err(io)?;
    }
    if report.is_clean() {
        return Ok(());
    }
    let _kept = temporary.map(tempfile::TempDir::keep);
    Err(failure(format!("a promise was broken: see the report; all files are kept in {}", data.display())))
}

/// Where the files go, and what removes them in the end if nobody said where.
fn data_dir(config: &Config) -> std::io::Result<(PathBuf, Option<tempfile::TempDir>)> {
    if let Some(dir) = &config.data_dir {
        std::fs::create_dir_all(dir)?;
        return Ok((dir.clone(), None));
    }
    let temporary = tempfile::Builder::new().prefix("toystore-drill-").tempdir()?;
    Ok((temporary.path().to_owned(), Some(temporary)))
}

/// One drill, from a store that is made for it to its report.
///
/// # Errors
/// If the store cannot even be started.
pub async fn drill(config: &Config, data: &Path, stop: &CancellationToken) -> Result<Report, String> {
    let seed = config.seed.unwrap_or_else(rand::random);
    let plan = Plan::new(&config.faults, seed);
    let show = Show::new(config.length, plan.round_len());
    show.line(&format!("seed {seed}; files and all logs (drill.log) are in {}", data.display()));
    begin(config, data, seed, show.clone()).await?.run(plan, stop).await.map(|(report, _)| report)
}

/// One drill whose rounds have their faults in the order in which they are given, for a program that tells of it in its own way: what it came
/// to, and what shoppers saw.
///
/// # Errors
/// As [`drill`].
pub(crate) async fn drill_in_order(
    config: &Config,
    data: &Path,
    stop: &CancellationToken,
) -> Result<(Report, History), String> {
    let seed = config.seed.unwrap_or_else(rand::random);
    let plan = Plan::new(&config.faults, seed).in_order();
    begin(config, data, seed, Show::silent()).await?.run(plan, stop).await
}

/// Prepares one; nothing runs yet.
async fn begin<'a>(config: &'a Config, data: &Path, seed: u64, show: Show) -> Result<Drill<'a>, String> {
    let told = |error: std::io::Error| error.to_string();
    let ports = PortBase::ephemeral().map_err(told)?;
    let layout = Layout::new(data, ports)
        .with_frontends(FRONTENDS)
        .with_variable("RESTOCK_INTERVAL_MS", RESTOCK_INTERVAL_MS)
        .with_variable("RESTOCK_LEVEL", RESTOCK_LEVEL)
        // A line per restock would drown the rest.
        .with_variable("LOG_LEVEL", "info,catalog::restock=warn");
    let mut layout = field::prepared(layout);
    let mut network = None;
    if config.faults.iter().any(|fault| fault.is_partition()) {
        let (detoured, proxies) = Network::around(layout).await.map_err(told)?;
        (layout, network) = (detoured, Some(proxies));
    }
    let clock = Clock::start();
    let journal = Journal::begin(&data.join("drill.log"), clock).map_err(told)?;
    let binary = std::env::current_exe().map_err(told)?;
    let field = Field::new(Store::new(layout, binary, journal.sink()), network);
    Ok(Drill { config, seed, clock, journal, field, show })
}

/// A drill under way.
struct Drill<'a> {
    config: &'a Config,
    seed: u64,
    clock: Clock,
    journal: Journal,
    field: Field,
    show: Show,
}

impl Drill<'_> {
    async fn run(self, plan: Plan, stop: &CancellationToken) -> Result<(Report, History), String> {
        let show = self.show.clone();
        self.run_to_end(plan, stop).await.inspect_err(|_| show.end())
    }

    async fn run_to_end(mut self, plan: Plan, stop: &CancellationToken) -> Result<(Report, History), String> {
        self.field.store.start_all().map_err(|error| error.to_string())?;
        whole::members(&mut self.field.store).await?;
        let fronts: Vec<_> = (1..=FRONTENDS).map(|n| self.field.store.layout().public(n)).collect();
        let demand = Demand {
            products: products(&fronts[0]).await?,
            fronts,
            shoppers: self.config.shoppers,
            orders_per_s: self.config.orders_per_s,
            seed: self.seed,
        };
        let load = Load::start(self.clock, &demand)?;
        let mut report = self.empty_report();
        let begun = Instant::now();
        if let Err(broken) = self.faults(plan, &load, &mut report, stop).await {
            self.journal.note(&broken);
            report.broken.push(broken);
        }
        report.elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.show.end();
        report.seen = load.seen();
        report.order_latency = load.latency();
        self.show.line("the shoppers go home; checking");
        let history = load.finish().await;
        self.judge(&history, &mut report).await;
        self.field.store.stop().await;
        self.journal.note("the end");
        report.sum_up();
        Ok((report, history))
    }

    /// One fault after the other.
    ///
    /// # Errors
    /// What the store did not recover from.
    async fn faults(
        &mut self,
        plan: Plan,
        load: &Load,
        report: &mut Report,
        stop: &CancellationToken,
    ) -> Result<(), String> {
        let begun = Instant::now();
        acknowledged(load, WARM_UP).await?;
        let last = match self.config.length {
            Length::Time(_) => usize::MAX,
            Length::Rounds(rounds) => plan.round_len() * rounds as usize,
        };
        for step in plan.take(last) {
            let elapsed = begun.elapsed();
            if matches!(self.config.length, Length::Time(length) if elapsed >= length) {
                break;
            }
            let acknowledged = load.pulse().total();
            self.show.now(
                report.events.len() as u64,
                elapsed,
                format!("{} ({acknowledged} orders so far)", step.fault),
            );
            tokio::select! {
                () = stop.cancelled() => break,
                () = load.full() => {
                    self.show.line("the history is full: the drill ends here");
                    break;
                }
                () = tokio::time::sleep(step.pause) => {}
            }
            let event = self.fault(step, load).await.map_err(|what| format!("{}: {what}", step.fault))?;
            self.show.line(&format!("{:>7.1} s  {event}", Duration::from_millis(event.at_ms).as_secs_f64()));
            report.add(event);
        }
        Ok(())
    }

    /// One fault, from its beginning until the store is whole again.
    async fn fault(&mut self, step: Step, load: &Load) -> Result<Event, String> {
        let (clock, pulse, seen) = (self.clock, load.pulse(), load.seen());
        self.journal.note(&format!("{step:?}"));
        self.journal.watch();
        let mut at = Moment::default();
        let done = self.field.inject(step, || {
            at = clock.now();
            pulse.listen(at);
        });
        let done = done.await?;
        let victims = done.victims.clone();
        self.journal.note(&format!("{}: {victims}", step.fault));
        tokio::time::sleep(step.hold).await;
        let healed = clock.now();
        pulse.healed(healed);
        self.field.heal(done)?;
        self.journal.note("healed");
        whole::store(&mut self.field.store, pulse).await?;
        let whole = clock.now();
        let gaps = pulse.gaps(whole);
        Ok(Event {
            fault: step.fault,
            victims,
            at_ms: at.0 / 1_000_000,
            held_ms: microseconds(at, healed) / 1000,
            gap_us: gaps.during.length_us().max(gaps.after.length_us()),
            healing_gap_us: gaps.after.length_us(),
            whole_after_ms: microseconds(healed, whole) / 1000,
            stages: self.journal.stages(at, pulse),
            seen: load.seen().since(&seen),
        })
    }

    /// Compares what shoppers saw with what is left.
    async fn judge(&mut self, history: &History, report: &mut Report) {
        let (end, quiet) = match audit::quiet(&self.field.store).await {
            Ok(end) => (end, true),
            Err((unrest, end)) => {
                report.broken.push(format!("the store does not become quiet: {unrest}"));
                (end, false)
            }
        };
        report.ledgers_identical = audit::identical(&end);
        let options = Options { quiet, restock_level: Some(Stock(RESTOCK_LEVEL)), ..Options::default() };
        report.judge(&history::check(history, &end, &options));
    }

    fn empty_report(&self) -> Report {
        Report {
            seed: self.seed,
            elapsed_ms: 0,
            shoppers: self.config.shoppers,
            order_latency: client::Latency::default(),
            faults: Vec::new(),
            events: Vec::new(),
            seen: Seen::default(),
            counts: history::Counts::default(),
            ledgers_identical: false,
            broken: Vec::new(),
        }
    }
}

/// The first few of what is sold.
async fn products(front: &Address) -> Result<Vec<ProductName>, String> {
    let store = client::Store::enter(client::base_url(front)?, whole::PATIENCE);
    let products = store.products().await.map_err(|error| format!("the products cannot be listed: {error}"))?;
    let names: Vec<_> = products.into_iter().map(|product| product.name).take(PRODUCTS).collect();
    if names.is_empty() { Err("nothing is sold".into()) } else { Ok(names) }
}

/// Waits until so many orders are acknowledged.
async fn acknowledged(load: &Load, orders: u64) -> Result<(), String> {
    let deadline = Instant::now() + whole::PATIENCE;
    while load.pulse().total() < orders {
        if Instant::now() > deadline {
            return Err(format!("no {orders} orders were acknowledged in {} s", whole::PATIENCE.as_secs()));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}
