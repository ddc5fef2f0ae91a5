//! The store that is measured: one that the experiment starts, or an existing one.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::Address;
use api::frontend::CacheContents;
use report::Checks;
use service::Token;
use service::json_client::JsonClient;
use service::metrics::lines;

use super::config::ExistingStore;
use crate::drill::audit;
use crate::local::{LocalStore, LogSink, PortBase, StoreLayout, StoreMember};

/// Smaller than the catalog of 14 products, so that some are evicted. The default of the frontend.
pub(super) const CACHE_SIZE: usize = 7;

/// The stock of each product, high enough that none is sold out: refused orders are faster than
/// others.
const PIECES: u64 = 100_000_000;

/// Bootstrapping a group and electing a leader takes about a second; the rest is for loaded
/// machines.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// How often it is polled whether a process has exited.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Timeout of requests to internal ports, which are answered from memory.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether product reads may be answered from the frontend's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CacheMode {
    /// The cache is on.
    On,
    /// The cache is off: `CACHE_SIZE=0`.
    Off,
}

impl CacheMode {
    /// Both settings.
    pub(super) const ALL: [Self; 2] = [Self::On, Self::Off];

    /// Its name in reports.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::On => "cache on",
            Self::Off => "cache off",
        }
    }
}

/// Hits and misses of a frontend's cache since the frontend started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CacheCounts {
    /// Product reads that were answered from the cache.
    pub(super) hits: u64,
    /// Product reads that were answered by the catalog.
    pub(super) misses: u64,
}

impl CacheCounts {
    /// The hits and misses since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self { hits: self.hits.saturating_sub(before.hits), misses: self.misses.saturating_sub(before.misses) }
    }

    /// The share of hits; `None` without any reads.
    #[expect(clippy::cast_precision_loss, reason = "a share for people; counts are far below 2^53")]
    pub(super) fn hit_ratio(self) -> Option<f64> {
        let all = self.hits + self.misses;
        (all > 0).then(|| self.hits as f64 / all as f64)
    }

    fn of_metrics(text: &str) -> Option<Self> {
        let count = |name| lines(text).find(|line| line.name == name).map(|line| line.count());
        let [hits, misses] = ["toystore_cache_hits_total", "toystore_cache_misses_total"].map(count);
        Some(Self { hits: hits?, misses: misses? })
    }
}

/// The addresses of the store, and the store itself if the experiment started it.
pub(super) struct Target {
    cached: Address,
    uncached: Option<Address>,
    internal: Option<Address>,
    client: JsonClient,
    own: Option<LocalStore>,
}

impl Target {
    /// Starts a store with two frontends, one of them without a cache. So the rest of the store is
    /// the same, with the same load, for both cache settings.
    ///
    /// # Errors
    /// If the store does not start.
    pub(super) async fn start(data: &Path) -> Result<Self, String> {
        let text = |error: io::Error| error.to_string();
        std::fs::create_dir_all(data).map_err(text)?;
        write_catalog(&data.join("catalog.csv")).map_err(text)?;
        let layout = StoreLayout::new(data, PortBase::ephemeral().map_err(text)?)
            .with_token(Token::random())
            .with_frontends(2)
            .with_member_variable(StoreMember::Frontend(1), "CACHE_SIZE", CACHE_SIZE)
            .with_member_variable(StoreMember::Frontend(2), "CACHE_SIZE", 0)
            .with_variable("LOG_LEVEL", "warn");
        let binary = std::env::current_exe().map_err(text)?;
        let mut store = LocalStore::new(layout, binary, log(&data.join("store.log")).map_err(text)?);
        store.start_all().map_err(text)?;
        store.ready(READY_TIMEOUT).await?;
        let layout = store.layout();
        Ok(Self {
            cached: layout.public(1),
            uncached: Some(layout.public(2)),
            internal: Some(layout.internal(StoreMember::Frontend(1))),
            client: store.json_client().clone(),
            own: Some(store),
        })
    }

    /// Uses an existing store.
    pub(super) fn existing(existing: ExistingStore) -> Self {
        let ExistingStore { frontend, uncached, internal, token } = existing;
        Self { cached: frontend, uncached, internal, client: JsonClient::new(token.as_ref()), own: None }
    }

    /// Whether the experiment started the store, so that there are no other clients.
    pub(super) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// The REST API of a frontend with its cache on or off, if there is one.
    pub(super) fn frontend(&self, cache: CacheMode) -> Option<&Address> {
        match cache {
            CacheMode::On => Some(&self.cached),
            CacheMode::Off => self.uncached.as_ref(),
        }
    }

    /// The cache counters of the frontend with the cache; `None` if its internal port is unknown.
    ///
    /// # Errors
    /// If the frontend does not report them.
    pub(super) async fn cache_counts(&self) -> Result<Option<CacheCounts>, String> {
        let Some(internal) = &self.internal else { return Ok(None) };
        let text = self.client.text(internal, "/metrics", ANSWER_TIMEOUT).await?;
        let cache_counts = CacheCounts::of_metrics(&text);
        cache_counts
            .map(Some)
            .ok_or_else(|| format!("{internal} has no cache metrics: is it the internal port of a frontend?"))
    }

    /// The present contents of the cache; `None` if the internal port is unknown.
    ///
    /// # Errors
    /// If the frontend does not report them.
    pub(super) async fn cache_contents(&self) -> Result<Option<CacheContents>, String> {
        let Some(internal) = &self.internal else { return Ok(None) };
        self.client.get(internal, "/cache", ANSWER_TIMEOUT).await.map(Some).map_err(|error| error.to_string())
    }

    /// Waits until a process of the store has exited, and says which one; forever for an existing
    /// store.
    pub(super) async fn exited(&mut self) -> String {
        let Some(store) = &mut self.own else { return std::future::pending().await };
        loop {
            if let Some(exited) = store.exited() {
                return exited;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until the store is quiescent, and compares: the ledgers must be byte-identical, and
    /// contain each acknowledged order once. `acknowledged` is the number of acknowledged orders;
    /// up to `failed` more may have been placed, because their outcome is unknown.
    ///
    /// The ledgers of an existing store are not checked.
    pub(super) async fn audit(&mut self, acknowledged: u64, failed: u64) -> Checks {
        let mut checks = Checks::default();
        let Some(store) = &mut self.own else { return checks };
        let end = match audit::quiescent_state(store).await {
            Ok(end) => end,
            Err((reason, _)) => {
                checks.not_checked(format!("the ledgers: the store did not become quiescent: {reason}"));
                return checks;
            }
        };
        let ledger = end.ledgers.first().map_or(&[][..], |ledger| &ledger.bytes);
        // Without the header line and the empty rest after the last line feed.
        let placed = (ledger.split(|byte| *byte == b'\n').count() as u64).saturating_sub(2);
        if !(acknowledged..=acknowledged + failed).contains(&placed) {
            checks.broken(format!(
                "{acknowledged} orders were acknowledged and {failed} failed, but the ledgers have {placed}"
            ));
        }
        checks
    }

    /// Stops the store, if the experiment started it.
    pub(super) async fn stop(mut self) {
        if let Some(store) = &mut self.own {
            store.stop().await;
        }
    }
}

/// Writes the default catalog with a high stock of every product.
fn write_catalog(path: &Path) -> io::Result<()> {
    let mut file = csv::Writer::from_path(path)?;
    file.write_record(["name", "price", "quantity"])?;
    for product in catalog::seed::initial() {
        file.write_record([product.name.to_string(), product.price.to_string(), PIECES.to_string()])?;
    }
    file.flush()
}

/// Writes the members' warnings to a file.
fn log(path: &Path) -> io::Result<LogSink> {
    let file = Mutex::new(File::create(path)?);
    Ok(Arc::new(move |member, line| {
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk is reported by the store itself.
        let _ = writeln!(file, "{member:>10} | {line}", member = member.to_string());
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_counted_by_the_frontend() {
        let text =
            "# TYPE toystore_cache_hits_total counter\ntoystore_cache_hits_total 30\ntoystore_cache_misses_total 20\n";
        let cache_counts = CacheCounts::of_metrics(text).unwrap();
        assert_eq!(cache_counts, CacheCounts { hits: 30, misses: 20 });
        let since = cache_counts.since(CacheCounts { hits: 27, misses: 19 });
        assert_eq!((since, since.hit_ratio()), (CacheCounts { hits: 3, misses: 1 }, Some(0.75)));
        assert_eq!((CacheCounts::default().hit_ratio(), CacheCounts::of_metrics("up 1\n")), (None, None));
    }

    #[test]
    fn every_product_has_enough_stock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.csv");
        write_catalog(&path).unwrap();
        let products = catalog::seed::read(&path).unwrap();
        assert_eq!(products.len(), catalog::seed::initial().len());
        assert!(products.len() > CACHE_SIZE && products.iter().all(|product| product.quantity.0 == PIECES));
    }
}
