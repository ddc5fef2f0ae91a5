//! A run, from its first request to the summary.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::{Address, Product, ProductName};
use history::{ClientId, History, OrderCall};
use reqwest::Url;
use service::lifecycle::{ExitCode, ExitError};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use workload::verification::{self, Verification, VerificationPlan};
use workload::{
    AttemptLog, RequestKind, RetryPolicy, RetryingClient, RunClock, StoreClient, StoreClientError, base_url,
};

use crate::config::{Config, ORDERS_MAX, RunType};
use crate::mismatch::{OrderVerification, VIOLATIONS_MAX, sorted};
use crate::orders_file::{self, OrdersFileSender};
use crate::progress;
use crate::report::ShoppingSummary;
use crate::session_plan::SessionPlan;
use crate::shopper::{FinishedShopper, Shopper};
use crate::shopping_stats::ShoppingStats;

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
    /// A file cannot be written.
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

/// Sends shoppers to the store and verifies their orders.
///
/// When `stop` is cancelled, each shopper still waits for the response to its current request. The
/// summary then says how far the shoppers came.
pub async fn run(config: Config, stop: CancellationToken) -> Result<ShoppingSummary, RunError> {
    let base = base_url(&config.front).map_err(RunError::BadAddress)?;
    let log = Arc::new(AttemptLog::new(RunClock::start(), ORDERS_MAX).without_products());
    let run = ClientRun { config: &config, base, stats: Arc::new(ShoppingStats::new()), log, stop };
    let products = wait_until_open(&config.front, &run.base, config.retry_policy, &run.stop).await?;
    // Created only now: the orders of an earlier run are not overwritten if the store is not there.
    let (orders_sender, orders_writer) = match config.run_type {
        RunType::Query => (None, None),
        RunType::Session | RunType::SessionCheck => {
            let (orders_sender, orders_writer) =
                orders_file::create(&config.orders_file).await.map_err(RunError::file(&config.orders_file))?;
            (Some(orders_sender), Some(orders_writer))
        }
    };
    let products: Arc<[ProductName]> = products.into_iter().map(|product| product.name).collect();
    let seed = config.seed.unwrap_or_else(rand::random);
    if config.show_progress {
        let Config { front, shoppers, sessions, .. } = &config;
        tracing::info!(store = %front, products = products.len(), shoppers, sessions, seed, "shopping");
    }

    let begun = Instant::now();
    let finished = run.shop(SessionPlan::for_shoppers(&config, seed, &products), orders_sender).await;
    let shopping = begun.elapsed();
    let written = match orders_writer {
        Some(orders_writer) => {
            orders_writer.finish().await.map_err(|error| format!("{}: {error}", config.orders_file.display()))
        }
        None => Ok(()),
    };
    let mut summary = run.summarize(finished, seed, shopping).await;
    // The results are worth more than their files: the summary is returned in any case.
    let saved = config.summary_file.as_ref().map_or(Ok(()), |path| save(&summary, path));
    summary.unwritten = written.and(saved.map_err(|error| error.to_string())).err();
    Ok(summary)
}

fn save(summary: &ShoppingSummary, path: &Path) -> io::Result<()> {
    report::save(path, report::json(summary, &summary.checks()).as_bytes())
}

/// What the phases of a run share.
struct ClientRun<'a> {
    config: &'a Config,
    base: Url,
    stats: Arc<ShoppingStats>,
    log: Arc<AttemptLog>,
    stop: CancellationToken,
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
    /// Runs all shoppers, each in a task of its own.
    async fn shop(
        &self,
        plans: impl Iterator<Item = SessionPlan>,
        orders_sender: Option<OrdersFileSender>,
    ) -> Vec<FinishedShopper> {
        let mut shoppers = JoinSet::new();
        let deadline = self.config.time_limit.map(|limit| Instant::now() + limit);
        for (id, plan) in (0..).zip(plans) {
            let (policy, log, stats) = (self.config.retry_policy, Arc::clone(&self.log), Arc::clone(&self.stats));
            let frontends = std::slice::from_ref(&self.base);
            let client = RetryingClient::new(ClientId(id), frontends, policy, log, stats, self.stop.clone());
            shoppers.spawn(Shopper { client, plan, orders_file: orders_sender.clone() }.shop(
                self.config.sessions,
                deadline,
                self.config.think_time,
            ));
        }
        // The file is complete when the last shopper has finished.
        drop(orders_sender);
        let done = || self.stats.sessions();
        self.with_progress("shopping", self.config.sessions_planned(), done, shoppers.join_all()).await
    }

    /// Runs `work` and shows its progress, if the configuration asks for it.
    async fn with_progress<T>(
        &self,
        phase: &'static str,
        total: u64,
        done: impl Fn() -> u64,
        work: impl Future<Output = T>,
    ) -> T {
        if self.config.show_progress { progress::during(phase, total, done, work).await } else { work.await }
    }

    async fn summarize(&self, finished: Vec<FinishedShopper>, seed: u64, shopping: Duration) -> ShoppingSummary {
        let Self { config, stats, .. } = self;
        let acknowledged = finished.iter().map(|shopper| shopper.acknowledged).sum();
        let orders = self.log.take().orders;
        let begun = Instant::now();
        let (verification, duplicate_numbers) = match config.run_type {
            RunType::SessionCheck => {
                let verification = self.verify(finished, orders, acknowledged).await;
                let (verification, duplicate_numbers) = OrderVerification::new(&verification);
                (Some(verification), duplicate_numbers)
            }
            RunType::Query | RunType::Session => {
                let verdict = verification::check(&History { orders, ..History::default() }, VIOLATIONS_MAX);
                (None, sorted(&verdict.violations).0)
            }
        };
        let verifying = begun.elapsed();
        let sessions_done = stats.sessions();
        let request_summary = |kind| match kind {
            RequestKind::Query | RequestKind::Order => stats.summary(kind, shopping),
            RequestKind::Repeat | RequestKind::Check => stats.summary(kind, verifying),
        };
        ShoppingSummary {
            run_type: config.run_type,
            seed,
            shoppers: config.shoppers,
            sessions_planned: if config.time_limit.is_some() { sessions_done } else { config.sessions_planned() },
            sessions_done,
            shopping,
            requests: RequestKind::ALL.into_iter().filter_map(request_summary).collect(),
            acknowledged,
            sold_out: stats.times_sold_out(),
            orders_file: (config.run_type != RunType::Query).then(|| config.orders_file.clone()),
            failures: stats.failures(),
            verification,
            duplicate_numbers,
            unwritten: None,
        }
    }

    /// The shoppers verify all orders, each over its own connection. Each sends its last order
    /// again, because the store remembers the keys of the last million orders: these are certain to
    /// be remembered.
    async fn verify(&self, finished: Vec<FinishedShopper>, orders: Vec<OrderCall>, acknowledged: u64) -> Verification {
        let (clients, last_orders): (Vec<_>, Vec<_>) =
            finished.into_iter().map(|shopper| (shopper.client, shopper.last_order)).unzip();
        let plan = VerificationPlan {
            orders,
            repeat: last_orders.into_iter().flatten().collect(),
            violations_max: VIOLATIONS_MAX,
            sole_buyer: None,
        };
        let done = || self.stats.finished(RequestKind::Check);
        let verifying = verification::verify(clients, &self.log, plan);
        self.with_progress("verifying", acknowledged, done, verifying).await
    }
}
