//! A run, from its first request to the summary.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use api::{Address, Product, ProductName};
use history::{ClientId, History, OrderCall};
use report::Progress;
use reqwest::Url;
use service::lifecycle::{ExitCode, ExitError};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;
use workload::verification::{self, Verification, VerificationPlan};
use workload::{
    AttemptLog, ClientStats, RequestKind, RetryPolicy, RetryingClient, RunClock, StoreClient, StoreClientError,
    base_url,
};

use crate::config::{Config, ORDERS_MAX, RunType};
use crate::orders_file;
use crate::report::{RequestSummary, ShoppingSummary};
use crate::shopper::{Buying, SessionPlan, Shopper};

/// How often the progress is looked at.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// How often a store that is still starting is polled.
const STARTUP_POLL_INTERVAL: Duration = Duration::from_millis(250);

/// How often the log says what the run is waiting for.
const WAIT_LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Why there is no summary.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The address is malformed.
    #[error("the store's address is malformed: {0}")]
    BadAddress(String),
    /// The store did not list its products within [`RetryPolicy::startup_timeout`], or refused to.
    #[error("the store at {address} does not list its products: {last}")]
    NotOpen {
        /// The store's address.
        address: Address,
        /// The error of the last attempt.
        last: StoreClientError,
    },
    /// The catalog is empty.
    #[error("the store at {0} has no products")]
    NothingForSale(Address),
    /// A file cannot be written or read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Stopped before the first session.
    #[error("stopped before the store was ready")]
    Stopped,
}

impl From<RunError> for ExitError {
    fn from(error: RunError) -> Self {
        let code = match &error {
            RunError::BadAddress(_) => ExitCode::Usage,
            RunError::NotOpen { .. } | RunError::NothingForSale(_) | RunError::Stopped => ExitCode::Failure,
            RunError::File { .. } => ExitCode::Io,
        };
        Self::new(code, error)
    }
}

impl RunError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::File { path: path.to_owned(), source }
    }
}

/// Sends shoppers to the store and verifies their orders, or those of an earlier run.
///
/// When `stop` is cancelled, each shopper still waits for the response to its current request. The
/// summary then says how far the shoppers came.
pub async fn run(config: Config, stop: CancellationToken) -> Result<ShoppingSummary, RunError> {
    let base = base_url(&config.front).map_err(RunError::BadAddress)?;
    let log = Arc::new(AttemptLog::new(RunClock::start(), ORDERS_MAX).without_products());
    let run = ClientRun { config: &config, base, stats: Arc::default(), log, stop };
    let mut summary = run.run().await?;
    // The results are worth more than their files: the summary is returned in any case.
    if let Some(path) = &config.summary_file
        && let Err(error) = report::save(path, report::json(&summary, &summary.checks).as_bytes())
    {
        summary.unwritten.get_or_insert(error.to_string());
    }
    Ok(summary)
}

/// What the phases of a run share.
struct ClientRun<'a> {
    config: &'a Config,
    base: Url,
    stats: Arc<ClientStats>,
    log: Arc<AttemptLog>,
    stop: CancellationToken,
}

/// What the first phase has left.
struct Shopped {
    seed: u64,
    shopping: Duration,
    clients: Vec<RetryingClient<ClientStats>>,
    /// All attempts at orders.
    orders: Vec<OrderCall>,
    /// Why the file of the orders could not be written, if it could not.
    unwritten: Option<String>,
}

/// Reads the list of products, from a store that may still be starting.
pub(crate) async fn wait_until_open(
    address: &Address,
    base: &Url,
    retry_policy: RetryPolicy,
    stop: &CancellationToken,
) -> Result<Vec<Product>, RunError> {
    let store = StoreClient::new(base.clone(), retry_policy.request_timeout);
    let deadline = Instant::now() + retry_policy.startup_timeout;
    let mut logged_at = None;
    loop {
        let address = address.clone();
        match store.products().await {
            Ok(products) if products.is_empty() => return Err(RunError::NothingForSale(address)),
            Ok(products) => return Ok(products),
            Err(last) if !last.is_retryable() || Instant::now() >= deadline => {
                return Err(RunError::NotOpen { address, last });
            }
            Err(error) => {
                if logged_at.is_none_or(|logged_at: Instant| logged_at.elapsed() >= WAIT_LOG_INTERVAL) {
                    logged_at = Some(Instant::now());
                    let left = deadline.saturating_duration_since(Instant::now());
                    tracing::warn!(store = %address, %error, left_s = left.as_secs(), "waiting for the store");
                }
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Err(RunError::Stopped),
            () = tokio::time::sleep(STARTUP_POLL_INTERVAL) => {}
        }
    }
}

impl ClientRun<'_> {
    async fn run(&self) -> Result<ShoppingSummary, RunError> {
        let opened = wait_until_open(&self.config.front, &self.base, self.config.retry_policy, &self.stop).await;
        let shopped = match (self.config.run_type, opened) {
            // Orders that a store does not show are not checked: that is a result.
            (RunType::Check, Ok(_) | Err(RunError::NotOpen { .. } | RunError::NothingForSale(_))) => self.earlier()?,
            (_, opened) => self.shop(opened?).await?,
        };
        Ok(self.summarize(shopped).await)
    }

    /// The orders of an earlier run.
    fn earlier(&self) -> Result<Shopped, RunError> {
        let orders = orders_file::read(&self.config.orders_file).map_err(RunError::file(&self.config.orders_file))?;
        let clients = (0..self.config.shoppers).map(|id| self.client(id)).collect();
        Ok(Shopped { seed: 0, shopping: Duration::ZERO, clients, orders, unwritten: None })
    }

    /// Runs all shoppers, each in a task of its own.
    async fn shop(&self, products: Vec<Product>) -> Result<Shopped, RunError> {
        let Config { front, shoppers, sessions, orders_file, .. } = self.config;
        // Created only now: the orders of an earlier run are not overwritten if the store is not
        // there.
        let (sender, writer) = if self.config.run_type.orders() {
            Some(orders_file::create(orders_file).await.map_err(RunError::file(orders_file))?).unzip()
        } else {
            (None, None)
        };
        let products: Arc<[ProductName]> = products.into_iter().map(|product| product.name).collect();
        let seed = self.config.seed.unwrap_or_else(rand::random);
        if self.config.show_progress {
            tracing::info!(store = %front, products = products.len(), shoppers, sessions, seed, "shopping");
        }
        let begun = Instant::now();
        let deadline = self.config.time_limit.map(|limit| begun + limit);
        let mut running = JoinSet::new();
        for (id, plan) in (0..).zip(SessionPlan::for_shoppers(self.config, seed, &products)) {
            let buying = sender.clone().map_or(Buying::Never, Buying::Recorded);
            let shopper = Shopper { client: self.client(id), plan, buying, frontend: 0 };
            running.spawn(shopper.shop(*sessions, deadline, self.config.think_time));
        }
        // The file is complete when the last shopper has finished.
        drop(sender);
        let sessions = self.config.sessions_planned();
        let clients = self.with_progress("shopping", sessions, RequestKind::Query, running.join_all()).await;
        let (shopping, orders) = (begun.elapsed(), self.log.take().orders);
        let unwritten = match writer {
            Some(writer) => writer.finish().await.err().map(|error| format!("{}: {error}", orders_file.display())),
            None => None,
        };
        Ok(Shopped { seed, shopping, clients, orders, unwritten })
    }

    fn client(&self, id: u32) -> RetryingClient<ClientStats> {
        let (frontends, policy) = (std::slice::from_ref(&self.base), self.config.retry_policy);
        RetryingClient::new(ClientId(id), frontends, policy, &self.log, Arc::clone(&self.stats), self.stop.clone())
    }

    /// Runs `work` and shows how many of `total` requests are done, if the configuration asks for
    /// it.
    async fn with_progress<T>(
        &self,
        phase: &'static str,
        total: u64,
        requests: RequestKind,
        work: impl Future<Output = T>,
    ) -> T {
        let mut progress = if self.config.show_progress { Progress::new(total) } else { Progress::Hidden };
        let (mut work, mut ticks) = (pin!(work), interval(PROGRESS_INTERVAL));
        loop {
            tokio::select! {
                biased;
                outcome = &mut work => return outcome,
                _ = ticks.tick() => {
                    let done = self.stats.finished(requests);
                    let what = format!("{phase}: {done} of {total}");
                    progress.show(done, what, |_| tracing::info!(done, total, "{phase}"));
                }
            }
        }
    }

    async fn summarize(&self, shopped: Shopped) -> ShoppingSummary {
        let Self { config, stats, .. } = self;
        let Shopped { seed, shopping, clients, orders, unwritten } = shopped;
        let acknowledged = orders.iter().filter_map(OrderCall::number).count() as u64;
        let sessions_done = stats.finished(RequestKind::Query);
        let begun = Instant::now();
        let verification = if config.run_type.verifies() {
            self.verify(clients, orders, acknowledged).await
        } else {
            let verdict = verification::check(&History { orders, ..History::default() });
            Verification { verdict, ..Verification::default() }
        };
        let mut checks = verification.checks();
        if config.run_type == RunType::Check && acknowledged == 0 {
            checks.not_checked(format!("{} has no orders", config.orders_file.display()));
        }
        let (verifying, counted) = (begun.elapsed(), stats.so_far());
        let request_summary = |kind| match kind {
            RequestKind::Query | RequestKind::Order => RequestSummary::new(kind, counted.of(kind), shopping),
            RequestKind::Repeat | RequestKind::Check => RequestSummary::new(kind, counted.of(kind), verifying),
        };
        let sessions_planned = match config.run_type {
            RunType::Check => 0,
            _ if config.time_limit.is_some() => sessions_done,
            _ => config.sessions_planned(),
        };
        ShoppingSummary {
            run_type: config.run_type,
            seed,
            shoppers: config.shoppers,
            sessions_planned,
            sessions_done,
            shopping,
            requests: RequestKind::ALL.into_iter().map(request_summary).filter(RequestSummary::is_any).collect(),
            acknowledged,
            sold_out: counted.of(RequestKind::Order).sold_out,
            orders_file: (config.run_type != RunType::Query).then(|| config.orders_file.clone()),
            failures: stats.failures(),
            verification: config.run_type.verifies().then_some(verification),
            checks,
            unwritten,
        }
    }

    /// The clients verify all orders, each over its own connection. Each sends its last order
    /// again, because the store remembers the keys of the last million orders: these are certain to
    /// be remembered.
    async fn verify(
        &self,
        clients: Vec<RetryingClient<ClientStats>>,
        orders: Vec<OrderCall>,
        acknowledged: u64,
    ) -> Verification {
        let mut last = BTreeMap::new();
        if self.config.run_type.orders() {
            let acknowledged = orders.iter().filter(|call| call.number().is_some());
            last.extend(acknowledged.map(|call| (call.client, (call.order_id, call.order()))));
        }
        let plan = VerificationPlan { orders, repeat: last.into_values().collect(), sole_buyer: None };
        let verifying = verification::verify(clients, &self.log, plan);
        self.with_progress("verifying", acknowledged, RequestKind::Check, verifying).await
    }
}
