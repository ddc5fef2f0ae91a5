//! A run from its first request to the summary.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::{Address, Product, ProductName};
use reqwest::Url;
use service::lifecycle::ExitCode;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::check::{self, Checked};
use crate::patient::{Patience, PatientStore};
use crate::record::{self, Recorder};
use crate::shopper::{Shopper, Visit};
use crate::store::{Store, StoreError, base_url};
use crate::tally::{RequestKind, Tally};
use crate::wish::Wishes;
use crate::{Config, RunType, Summary, progress};

/// Between two looks at a store that is still starting.
const OPENING_PAUSE: Duration = Duration::from_millis(250);

/// Why there is no summary.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The address cannot be one.
    #[error("the store's address is wrong: {0}")]
    BadAddress(String),
    /// The store did not tell its products within [`Patience::opening`], or refused to.
    #[error("the store at {address} does not tell what it sells: {last}")]
    NotOpen {
        /// Whom we asked.
        address: Address,
        /// What came of the last try.
        last: StoreError,
    },
    /// The catalog is empty.
    #[error("the store at {0} sells nothing")]
    NothingForSale(Address),
    /// A file cannot be written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// Told to stop before the first session.
    #[error("told to stop before the store was open")]
    Stopped,
}

impl RunError {
    /// What the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::BadAddress(_) => ExitCode::Usage,
            Self::NotOpen { .. } | Self::NothingForSale(_) | Self::Stopped => ExitCode::Failure,
            Self::File { .. } => ExitCode::Io,
        }
    }

    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::File { path: path.to_owned(), source }
    }
}

/// Sends shoppers through the store and reckons up.
///
/// When `stop` is cancelled, each shopper still hears the answer to the request that is under way; the summary then tells
/// how far they came.
pub async fn run(config: Config, stop: CancellationToken) -> Result<Summary, RunError> {
    let base = base_url(&config.front).map_err(RunError::BadAddress)?;
    let run = Run { config: &config, base, tally: Arc::new(Tally::new()), stop };
    let (recorder, recording) = match config.run_type {
        RunType::Query => (None, None),
        RunType::Session | RunType::SessionCheck => {
            let (recorder, recording) =
                record::create(&config.orders_file).await.map_err(RunError::file(&config.orders_file))?;
            (Some(recorder), Some(recording))
        }
    };
    let products = opening(&config.front, &run.base, config.patience, &run.stop).await?;
    let products: Arc<[ProductName]> = products.into_iter().map(|product| product.name).collect();
    let seed = config.seed.unwrap_or_else(rand::random);
    if config.is_shown {
        let Config { front, shoppers, sessions, .. } = &config;
        tracing::info!(store = %front, products = products.len(), shoppers, sessions, seed, "shopping");
    }

    let begun = Instant::now();
    let visits = run.shop(Wishes::of_all(&config, seed, &products), recorder).await;
    let shopping = begun.elapsed();
    if let Some(recording) = recording {
        recording.finish().await.map_err(RunError::file(&config.orders_file))?;
    }
    let summary = run.reckon(visits, seed, shopping).await;
    if let Some(path) = &config.summary_file {
        save(&summary, path).await.map_err(RunError::file(path))?;
    }
    Ok(summary)
}

async fn save(summary: &Summary, path: &Path) -> io::Result<()> {
    let json = serde_json::to_vec_pretty(summary)?;
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    tokio::fs::write(path, json).await
}

/// What the phases of a run share.
struct Run<'a> {
    config: &'a Config,
    base: Url,
    tally: Arc<Tally>,
    stop: CancellationToken,
}

/// Learns what is for sale, from a store that may still be starting.
pub(crate) async fn opening(
    address: &Address,
    base: &Url,
    patience: Patience,
    stop: &CancellationToken,
) -> Result<Vec<Product>, RunError> {
    let store = Store::enter(base.clone(), patience.answer_timeout);
    let deadline = Instant::now() + patience.opening;
    loop {
        let address = address.clone();
        match store.products().await {
            Ok(products) if products.is_empty() => return Err(RunError::NothingForSale(address)),
            Ok(products) => return Ok(products),
            Err(last) if !last.may_pass() || Instant::now() >= deadline => {
                return Err(RunError::NotOpen { address, last });
            }
            Err(error) => tracing::debug!(%error, "the store is not open yet"),
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Err(RunError::Stopped),
            () = tokio::time::sleep(OPENING_PAUSE) => {}
        }
    }
}

impl Run<'_> {
    /// A task per shopper, all at once.
    async fn shop(&self, wishes: impl Iterator<Item = Wishes>, recorder: Option<Recorder>) -> Vec<Visit> {
        let mut shoppers = JoinSet::new();
        let closing = self.config.time_limit.map(|limit| Instant::now() + limit);
        for wishes in wishes {
            let store = Store::enter(self.base.clone(), self.config.patience.answer_timeout);
            let store = PatientStore::new(store, self.config.patience, Arc::clone(&self.tally), self.stop.clone());
            shoppers.spawn(Shopper { store, wishes, recorder: recorder.clone() }.shop(self.config.sessions, closing));
        }
        // The file is finished when the last shopper is.
        drop(recorder);
        let done = || self.tally.sessions();
        self.shown("shopping", self.config.sessions_planned(), done, shoppers.join_all()).await
    }

    /// Shows how far `work` is, if it is to be shown.
    async fn shown<T>(
        &self,
        phase: &'static str,
        total: u64,
        done: impl Fn() -> u64,
        work: impl Future<Output = T>,
    ) -> T {
        if self.config.is_shown { progress::during(phase, total, done, work).await } else { work.await }
    }

    async fn reckon(&self, visits: Vec<Visit>, seed: u64, shopping: Duration) -> Summary {
        let Self { config, tally, .. } = self;
        let acknowledged = visits.iter().map(|visit| visit.orders.len() as u64).sum();
        let numbered_twice = check::numbered_twice(visits.iter().flat_map(|visit| &visit.orders));
        let begun = Instant::now();
        let checked = match config.run_type {
            RunType::SessionCheck => Some(self.check(visits, acknowledged).await),
            RunType::Query | RunType::Session => None,
        };
        let checking = begun.elapsed();
        let sessions_done = tally.sessions();
        let request_summary = |kind| match kind {
            RequestKind::Query | RequestKind::Order => tally.summary(kind, shopping),
            RequestKind::Repeat | RequestKind::Check => tally.summary(kind, checking),
        };
        Summary {
            run_type: config.run_type,
            seed,
            shoppers: config.shoppers,
            sessions_planned: if config.time_limit.is_some() { sessions_done } else { config.sessions_planned() },
            sessions_done,
            shopping,
            requests: RequestKind::ALL.into_iter().filter_map(request_summary).collect(),
            acknowledged,
            sold_out: tally.times_sold_out(),
            orders_file: (config.run_type != RunType::Query).then(|| config.orders_file.clone()),
            failures: tally.failures(),
            checked,
            numbered_twice,
        }
    }

    /// Each shopper checks its own orders, over the connection that it has.
    async fn check(&self, visits: Vec<Visit>, acknowledged: u64) -> Checked {
        let checks: JoinSet<Checked> = visits.into_iter().map(check::check).collect();
        let done = || self.tally.finished(RequestKind::Check);
        let mut checked = Checked::default();
        for one in self.shown("checking", acknowledged, done, checks.join_all()).await {
            checked.absorb(one);
        }
        checked
    }
}
