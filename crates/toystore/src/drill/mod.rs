//! `toystore drill`: runs a store of real processes under load, injects faults, and checks the
//! result.
//!
//! ```text
//!   writers ──┐                     ┌─ kill -9, SIGSTOP, SIGTERM
//!   readers ──┴─► two frontends ──► │  a proxy on every link: partitions
//!      │          catalog, orders   └─ slow, full and wiped disks
//!      ▼
//!   history ──► checkers: I1–I5 of docs/architecture.md ──► report
//! ```
//!
//! A schedule, drawn from a seed, says when to inject which [`Fault`]. Each fault is injected, held
//! for a while, and healed. The next one follows when the store has recovered: every process is
//! ready, every order replica is a voter and has caught up, and orders are acknowledged through
//! every frontend. At the end the shoppers finish their requests, the store becomes quiescent, and
//! the [checkers](history) compare all answers that shoppers got with the ledgers and the catalog's
//! accounts.
//!
//! The *gap* of a fault is the longest time without an acknowledged order, measured from the fault
//! itself (the `kill` call).
//!
//! The events of all processes are read while the drill runs. They give the stages of failovers,
//! and a timeline of each fault.
//!
//! Reading order: `fault.rs` and `fault_schedule.rs`, then `fault_injector.rs` and
//! [`local`](crate::local), `recovery.rs`, `load/`; `fault_recorder.rs`, `stages.rs` and
//! `fault_timeline.rs`; `report.rs`, `document.rs` and `timeline_figure.rs`.
//!
//! # Caveats
//! * All processes share one machine: its disks, clock and processors. Clock skew and torn writes
//!   are tested by the simulation.
//! * `kill -9` does not lose data that a process has written but not synced; only a crash of the
//!   machine would.
//! * There are proxies between the members only if a partition is among the faults; see
//!   `local/network.rs` for their side effects.
//! * Slow and full disks are emulated by the process itself, as a file tells it. A real slow disk
//!   is slow in more places.
//! * One fault is injected at a time. Only the recovery from the last fault may overlap with the
//!   next one.

mod ack_monitor;
pub(crate) mod audit;
mod config;
mod document;
mod drill_log;
mod fault;
mod fault_injector;
mod fault_recorder;
mod fault_schedule;
mod fault_timeline;
mod load;
mod recovery;
mod report;
mod stages;
mod timeline_figure;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use ::report::{CheckResult, Checks, Progress, millis};
use api::{Address, ProductName, Stock};
use history::{CheckOptions, History, Moment};
use rustix::process::Signal;
use service::Token;
use service::events::now_us;
use service::lifecycle::{ExitCode, ExitError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use workload::{Latency, RunClock, StoreClient, base_url};

use crate::local::{LocalStore, PortBase, ProxyNetwork, StoreLayout};
use crate::output::print;
use crate::subcommand::exit_by_check;
use ack_monitor::microseconds;
pub use config::{Config, Length, settings};
pub(crate) use document::timelines;
use drill_log::DrillLog;
pub use fault::{Fault, FaultSelection};
use fault_injector::FaultInjector;
use fault_recorder::FaultRecorder;
use fault_schedule::{FaultSchedule, ScheduledFault};
use fault_timeline::InjectedFaultSpan;
pub use fault_timeline::{FaultTimeline, LeftOut, TimelineEntry};
pub use load::ErrorCounts;
use load::{FinishedLoad, Load, LoadConfig};
pub use report::{DrillReport, FaultEvent, FaultSummary, StagesSummary};
pub use stages::Stages;

/// Two, so that one can be killed, and so that readers can use another frontend than writers.
const FRONTENDS: u8 = 2;

/// Number of products that are ordered. Few, so that orders contend and products sell out.
const PRODUCTS: usize = 6;

/// The stock after a restock. It is sold out again within seconds.
const RESTOCK_LEVEL: u64 = 500;

/// How often sold-out products are restocked; until then, orders for them are refused.
const RESTOCK_INTERVAL_MS: u64 = 100;

/// Acknowledged orders before the first fault, to show that the store works.
const WARM_UP: u64 = 100;

/// How often progress is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Runs a drill and prints its report.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), ExitError> {
    let failure = |error: String| ExitError::new(ExitCode::Failure, error);
    let io = |error: std::io::Error| ExitError::new(ExitCode::Io, error);
    let (data, temporary) = data_dir(&config).map_err(io)?;
    let report = drill(&config, &data, &stop).await.map_err(failure)?;
    print(&report);
    let written = write(&config, &report);
    let result = report.checks.result();
    if result != CheckResult::Passed {
        let _kept = temporary.map(tempfile::TempDir::keep);
    }
    let message = format!("{}: see the report; all files are kept in {}", report.verdict(), data.display());
    exit_by_check(result, written.inspect_err(|error| eprintln!("cannot write the report: {error}")), message)
}

/// Writes the files of the report, and says where they are.
fn write(config: &Config, report: &DrillReport) -> std::io::Result<()> {
    let json = || ::report::json(report, &report.checks);
    if let Some(path) = &config.json {
        ::report::save(path, json().as_bytes())?;
    }
    let Some(dir) = &config.report_dir else { return Ok(()) };
    report.page().save(dir)?;
    ::report::save(&dir.join("report.json"), json().as_bytes())?;
    print(format_args!("report.html, report.md and report.json are in {}", dir.display()));
    Ok(())
}

/// The data directory, and the guard that removes it if it is a temporary one.
fn data_dir(config: &Config) -> std::io::Result<(PathBuf, Option<tempfile::TempDir>)> {
    if let Some(dir) = &config.data_dir {
        std::fs::create_dir_all(dir)?;
        return Ok((dir.clone(), None));
    }
    let temporary = tempfile::Builder::new().prefix("toystore-drill-").tempdir()?;
    Ok((temporary.path().to_owned(), Some(temporary)))
}

/// Runs one drill with a store of its own.
///
/// # Errors
/// If the store cannot be started.
pub async fn drill(config: &Config, data: &Path, stop: &CancellationToken) -> Result<DrillReport, String> {
    let seed = config.seed.unwrap_or_else(rand::random);
    let schedule = FaultSchedule::new(&config.faults, config.hold, seed);
    let progress = match config.length {
        Length::Time(time) => Progress::of_time(time),
        Length::Rounds(rounds) => Progress::new(u64::from(rounds) * schedule.round_len() as u64),
    };
    progress.print(|| print(format_args!("seed {seed}; all files and logs (drill.log) are in {}", data.display())));
    prepare(config, data, seed, progress)?.run(schedule, stop).await.map(|(report, _)| report)
}

/// Runs one drill that injects the faults of each round in the given order and prints no progress.
/// Returns its report and the calls of all shoppers.
///
/// # Errors
/// As [`drill`].
pub(crate) async fn drill_in_order(
    config: &Config,
    data: &Path,
    stop: &CancellationToken,
) -> Result<(DrillReport, History), String> {
    let seed = config.seed.unwrap_or_else(rand::random);
    let schedule = FaultSchedule::new(&config.faults, config.hold, seed).in_order();
    prepare(config, data, seed, Progress::Hidden)?.run(schedule, stop).await
}

/// Prepares a drill; no process runs yet.
fn prepare<'a>(config: &'a Config, data: &Path, seed: u64, progress: Progress) -> Result<Drill<'a>, String> {
    let text = |error: std::io::Error| error.to_string();
    let ports = PortBase::ephemeral().map_err(text)?;
    let layout = StoreLayout::new(data, ports)
        .with_token(Token::random())
        .with_frontends(FRONTENDS)
        .with_variable("RESTOCK_INTERVAL_MS", RESTOCK_INTERVAL_MS)
        .with_variable("RESTOCK_LEVEL", RESTOCK_LEVEL)
        // One log line per restock would hide all others.
        .with_variable("LOG_LEVEL", "info,catalog::restock=warn");
    let mut layout = layout.with_disk_fault_files();
    let mut network = None;
    if config.faults.iter().any(|fault| fault.is_partition()) {
        let (redirected, proxies) = ProxyNetwork::proxying(layout).map_err(text)?;
        (layout, network) = (redirected, Some(proxies));
    }
    let clock = RunClock::start();
    let log = DrillLog::begin(&data.join("drill.log"), clock).map_err(text)?;
    let binary = std::env::current_exe().map_err(text)?;
    let injector = FaultInjector::new(LocalStore::new(layout, binary, log.sink()), network);
    Ok(Drill { config, seed, clock, log, injector, progress })
}

/// A running drill.
struct Drill<'a> {
    config: &'a Config,
    seed: u64,
    clock: RunClock,
    log: DrillLog,
    injector: FaultInjector,
    progress: Progress,
}

impl Drill<'_> {
    async fn run(
        mut self,
        schedule: FaultSchedule,
        stop: &CancellationToken,
    ) -> Result<(DrillReport, History), String> {
        self.injector.store.start_all().map_err(|error| error.to_string())?;
        let mut recorder = FaultRecorder::start(&self.injector.store);
        recovery::members(&mut self.injector.store).await?;
        let frontends: Vec<_> = (1..=FRONTENDS).map(|n| self.injector.store.layout().public(n)).collect();
        let config = LoadConfig {
            products: products(&frontends[0]).await?,
            frontends,
            shoppers: self.config.shoppers,
            orders_per_s: self.config.orders_per_s,
            seed: self.seed,
        };
        let load = Load::start(self.clock, &config)?;
        let mut report = self.empty_report();
        let begun = Instant::now();
        if let Err(reason) = self.inject_faults(schedule, &load, &mut recorder, &mut report, stop).await {
            self.log.note(&reason);
            report.checks.not_checked(format!("the drill ended early: {reason}"));
            self.restore(&mut report.checks).await;
        }
        report.elapsed_ms = millis(begun.elapsed());
        report.errors = load.errors();
        report.order_latency = load.latency();
        self.progress.print(|| print("stopping the shoppers; checking the history"));
        let FinishedLoad { history, reread: (reread, of) } = load.finish().await;
        report.checks.counted(reread, of, "orders were read again at the end");
        self.verify(&history, &mut report).await;
        recorder.before_stop().await;
        self.injector.store.stop().await;
        recorder.finish(&mut report).await;
        self.log.note("end of the drill");
        report.summarize();
        Ok((report, history))
    }

    /// After a drill that ended early: looks for members that crashed, heals everything, and waits
    /// until the store has recovered, so that as much as possible can be checked.
    async fn restore(&mut self, checks: &mut Checks) {
        for process in self.injector.store.processes() {
            if let Some(status) = process.exit_status().filter(|status| is_bug(*status)) {
                checks.broken(format!("{} ended itself: {status}", process.member()));
            }
        }
        let healed = self.injector.heal_all();
        let recovered = match healed {
            Ok(()) => recovery::members(&mut self.injector.store).await,
            Err(error) => Err(error),
        };
        if let Err(error) = recovered {
            self.log.note(&error);
            checks.not_checked(format!("the store could not be restored: {error}"));
        }
    }

    /// Injects one fault after the other.
    ///
    /// # Errors
    /// Why not all scheduled faults were injected: the store does not recover from one, the drill
    /// was stopped, or the history is full.
    async fn inject_faults(
        &mut self,
        schedule: FaultSchedule,
        load: &Load,
        recorder: &mut FaultRecorder,
        report: &mut DrillReport,
        stop: &CancellationToken,
    ) -> Result<(), String> {
        let begun = Instant::now();
        acknowledged(load, WARM_UP).await?;
        let last = match self.config.length {
            Length::Time(_) => usize::MAX,
            Length::Rounds(rounds) => schedule.round_len() * rounds as usize,
        };
        for scheduled in schedule.take(last) {
            let elapsed = begun.elapsed();
            if matches!(self.config.length, Length::Time(length) if elapsed >= length) {
                break;
            }
            let acknowledged = load.acks().total();
            let position = match self.config.length {
                Length::Time(_) => millis(elapsed),
                Length::Rounds(_) => report.events.len() as u64,
            };
            // Without a terminal, one line for each fault is enough.
            self.progress.show(position, format!("{} ({acknowledged} orders so far)", scheduled.fault), |_| {});
            tokio::select! {
                () = stop.cancelled() => return Err("it was stopped".into()),
                () = load.full() => return Err("the history is full".into()),
                () = tokio::time::sleep(scheduled.pause) => {}
            }
            let (event, span) = self
                .inject_and_recover(scheduled, load)
                .await
                .map_err(|what| format!("{}: {what}", scheduled.fault))?;
            let at_s = Duration::from_millis(event.at_ms).as_secs_f64();
            self.progress.print(|| print(format_args!("{at_s:>7.1} s  {event}")));
            report.add(event);
            recorder.recovered(span, report);
        }
        if report.events.is_empty() { Err("no fault was injected".into()) } else { Ok(()) }
    }

    /// Injects one fault, heals it, and waits until the store has recovered.
    async fn inject_and_recover(
        &mut self,
        scheduled: ScheduledFault,
        load: &Load,
    ) -> Result<(FaultEvent, InjectedFaultSpan), String> {
        let (clock, acks, errors_before) = (self.clock, load.acks(), load.errors());
        self.log.note(&format!("{scheduled:?}"));
        let (mut at, mut at_us) = (Moment::default(), 0);
        let injected = self.injector.inject(scheduled, || {
            (at, at_us) = (clock.now(), now_us());
            acks.watch_from(at);
        });
        let injected = injected.await?;
        let (victims, affected) = (injected.victims.clone(), injected.affected.clone());
        self.log.note(&format!("{}: {victims}", scheduled.fault));
        tokio::time::sleep(scheduled.hold).await;
        let healed = clock.now();
        acks.healed(healed);
        self.injector.heal(injected)?;
        self.log.note("healed");
        recovery::store(&mut self.injector.store, acks).await?;
        let recovered = clock.now();
        let gaps = acks.gaps(recovered);
        let span = InjectedFaultSpan {
            fault: scheduled.fault,
            victims: victims.clone(),
            affected: affected.iter().map(ToString::to_string).collect(),
            injected_us: at_us,
            injected: at,
            healed,
            recovered,
            gap: gaps.longest(),
            acks: acks.take_acks(),
        };
        let event = FaultEvent {
            fault: scheduled.fault,
            victims,
            at_ms: at.0 / 1_000_000,
            held_ms: microseconds(at, healed) / 1000,
            gap_us: gaps.longest().length_us(),
            healing_gap_us: gaps.after.length_us(),
            recovered_after_ms: microseconds(healed, recovered) / 1000,
            stages: None,
            errors: load.errors().since(&errors_before),
            timeline: None,
        };
        Ok((event, span))
    }

    /// Checks the history of all calls against the final state.
    async fn verify(&mut self, history: &History, report: &mut DrillReport) {
        let store = &mut self.injector.store;
        let (end, is_quiescent) = match audit::quiescent_state(store).await {
            Ok(end) => (end, true),
            Err((reason, end)) => {
                report.checks.not_checked(format!("the store did not become quiescent: {reason}"));
                (end, false)
            }
        };
        report.ledgers_identical = audit::identical(&end, store.layout().ordinals().count());
        let options =
            CheckOptions { quiet: is_quiescent, restock_level: Some(Stock(RESTOCK_LEVEL)), ..CheckOptions::default() };
        report.record(&history::check(history, &end, &options));
    }

    fn empty_report(&self) -> DrillReport {
        DrillReport {
            seed: self.seed,
            elapsed_ms: 0,
            shoppers: self.config.shoppers,
            order_latency: Latency::default(),
            faults: Vec::new(),
            events: Vec::new(),
            errors: ErrorCounts::default(),
            counts: history::Counts::default(),
            ledgers_identical: None,
            checks: Checks::default(),
        }
    }
}

/// Whether a process that ended like this has a bug: it says so itself, or it crashed. One that was
/// killed, or that could not continue for an external reason, has none.
fn is_bug(status: ExitStatus) -> bool {
    let crashed = [Signal::ABORT, Signal::SEGV, Signal::BUS, Signal::ILL, Signal::FPE].map(Signal::as_raw);
    status.code() == Some(ExitCode::Software as i32) || status.signal().is_some_and(|signal| crashed.contains(&signal))
}

/// The first few products of the catalog.
async fn products(front: &Address) -> Result<Vec<ProductName>, String> {
    let store = StoreClient::new(base_url(front)?, recovery::RECOVERY_TIMEOUT);
    let products = store.products().await.map_err(|error| format!("cannot list the products: {error}"))?;
    let names: Vec<_> = products.into_iter().map(|product| product.name).take(PRODUCTS).collect();
    if names.is_empty() { Err("the catalog is empty".into()) } else { Ok(names) }
}

/// Waits until this many orders are acknowledged.
async fn acknowledged(load: &Load, orders: u64) -> Result<(), String> {
    let deadline = Instant::now() + recovery::RECOVERY_TIMEOUT;
    while load.acks().total() < orders {
        if Instant::now() > deadline {
            return Err(format!(
                "fewer than {orders} orders were acknowledged in {} s",
                recovery::RECOVERY_TIMEOUT.as_secs()
            ));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}
