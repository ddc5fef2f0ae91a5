//! The store that is measured: one of our own, or somebody else's.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::Address;
use api::frontend::CacheContents;
use service::call::Caller;

use super::config::Given;
use crate::drill::audit;
use crate::local::{Layout, LogSink, Member, PortBase, Store};

/// Smaller than the catalog of 14 products, so that some have to give way. The frontend's default.
pub(super) const CACHE_SIZE: usize = 7;

/// So many of each product that none is sold out: who finds nothing to buy would make the others faster.
const PIECES: u64 = 100_000_000;

/// Founding a group and electing a leader takes about a second; a loaded machine gets its time.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// What is asked of an internal port comes from memory.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether looks at products may be answered from the frontend's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cache {
    /// As it comes.
    On,
    /// `CACHE_SIZE=0`.
    Off,
}

impl Cache {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::On, Self::Off];

    /// As reports call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::On => "cache on",
            Self::Off => "cache off",
        }
    }
}

/// Looks at products that a frontend's cache could answer, and those that it could not, since the frontend began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Looks {
    /// Answered from memory.
    pub(super) hits: u64,
    /// Fetched from the catalog.
    pub(super) misses: u64,
}

impl Looks {
    /// Those since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self { hits: self.hits.saturating_sub(before.hits), misses: self.misses.saturating_sub(before.misses) }
    }

    /// The share of hits; `None` if nobody looked.
    #[expect(clippy::cast_precision_loss, reason = "a share for people; counts are far below 2^53")]
    pub(super) fn hit_ratio(self) -> Option<f64> {
        let all = self.hits + self.misses;
        (all > 0).then(|| self.hits as f64 / all as f64)
    }

    fn of_metrics(text: &str) -> Option<Self> {
        let count = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        let [hits, misses] = ["toystore_cache_hits_total ", "toystore_cache_misses_total "].map(count);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter")]
        Some(Self { hits: hits? as u64, misses: misses? as u64 })
    }
}

/// Where the store is.
pub(super) struct Shop {
    cached: Address,
    uncached: Option<Address>,
    internal: Option<Address>,
    caller: Caller,
    own: Option<Store>,
}

impl Shop {
    /// Starts a store with two frontends, one of them without a cache: whichever is asked, the rest of the store is the same one, as old and as
    /// busy.
    ///
    /// # Errors
    /// If it does not come up.
    pub(super) async fn start(data: &Path) -> Result<Self, String> {
        let told = |error: io::Error| error.to_string();
        std::fs::create_dir_all(data).map_err(told)?;
        plenty(&data.join("catalog.csv")).map_err(told)?;
        let layout = Layout::new(data, PortBase::ephemeral().map_err(told)?)
            .with_frontends(2)
            .with_member_variable(Member::Frontend(1), "CACHE_SIZE", CACHE_SIZE)
            .with_member_variable(Member::Frontend(2), "CACHE_SIZE", 0)
            .with_variable("LOG_LEVEL", "warn");
        let binary = std::env::current_exe().map_err(told)?;
        let mut store = Store::new(layout, binary, log(&data.join("store.log")).map_err(told)?);
        store.start_all().map_err(told)?;
        store.ready(READY_TIMEOUT).await?;
        let layout = store.layout();
        Ok(Self {
            cached: layout.public(1),
            uncached: Some(layout.public(2)),
            internal: Some(layout.internal(Member::Frontend(1))),
            caller: store.caller().clone(),
            own: Some(store),
        })
    }

    /// Takes one that runs already.
    pub(super) fn given(given: Given) -> Self {
        let Given { front, uncached, internal } = given;
        let token = std::env::var("INTERNAL_TOKEN").ok().and_then(|secret| secret.parse().ok());
        Self { cached: front, uncached, internal, caller: Caller::new(token.as_ref()), own: None }
    }

    /// Whether nobody else can be in it.
    pub(super) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// The REST API of a frontend with its cache on or off, if there is one.
    pub(super) fn front(&self, cache: Cache) -> Option<&Address> {
        match cache {
            Cache::On => Some(&self.cached),
            Cache::Off => self.uncached.as_ref(),
        }
    }

    /// What the frontend with the cache has told of its cache since it began; `None` if it cannot be asked.
    ///
    /// # Errors
    /// What it says instead.
    pub(super) async fn looks(&self) -> Result<Option<Looks>, String> {
        let Some(internal) = &self.internal else { return Ok(None) };
        let text = self.caller.text(internal, "/metrics", ASK_TIMEOUT).await?;
        let looks = Looks::of_metrics(&text);
        looks
            .map(Some)
            .ok_or_else(|| format!("{internal} has no metrics of a cache: is it a frontend's internal port?"))
    }

    /// What the cache holds just now; `None` if it cannot be asked.
    ///
    /// # Errors
    /// What the frontend says instead.
    pub(super) async fn contents(&self) -> Result<Option<CacheContents>, String> {
        let Some(internal) = &self.internal else { return Ok(None) };
        self.caller.get(internal, "/cache", ASK_TIMEOUT).await.map(Some).map_err(|error| error.to_string())
    }

    /// Waits until nothing moves any more, and tells what is wrong with the replicas' ledgers: they must be the same bytes, and have each
    /// acknowledged order once. `acknowledged` is how many there were; some more may be placed if `failed` of them have no answer.
    ///
    /// Of somebody else's store nothing can be said.
    pub(super) async fn audit(&self, acknowledged: u64, failed: u64) -> Vec<String> {
        let Some(store) = &self.own else { return Vec::new() };
        let end = match audit::quiet(store).await {
            Ok(end) => end,
            Err((unrest, _)) => return vec![format!("the store does not become quiet: {unrest}")],
        };
        let ledger = end.ledgers.first().map_or(&[][..], |ledger| &ledger.bytes);
        // Between the head line and the nothing after the last line feed.
        let placed = (ledger.split(|byte| *byte == b'\n').count() as u64).saturating_sub(2);
        let mut broken = Vec::new();
        if !(acknowledged..=acknowledged + failed).contains(&placed) {
            broken.push(format!(
                "{acknowledged} orders were acknowledged, {failed} failed, and the ledgers have {placed}"
            ));
        }
        broken
    }

    /// Stops it, if it is our own.
    pub(super) async fn close(mut self) {
        if let Some(store) = &mut self.own {
            store.stop().await;
        }
    }
}

/// The catalog that every store begins with, and plenty of everything.
fn plenty(path: &Path) -> io::Result<()> {
    let mut file = csv::Writer::from_path(path)?;
    file.write_record(["name", "price", "quantity"])?;
    for product in catalog::seed::initial() {
        file.write_record([product.name.to_string(), product.price.to_string(), PIECES.to_string()])?;
    }
    file.flush()
}

/// Where the members' warnings go: seen if somebody looks.
fn log(path: &Path) -> io::Result<LogSink> {
    let file = Mutex::new(File::create(path)?);
    Ok(Arc::new(move |member, line| {
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk is the store's own trouble, and told by it.
        let _ = writeln!(file, "{member:>10} | {line}", member = member.to_string());
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_counted_by_the_frontend() {
        let text =
            "# TYPE toystore_cache_hits_total counter\ntoystore_cache_hits_total 30\ntoystore_cache_misses_total 20\n";
        let looks = Looks::of_metrics(text).unwrap();
        assert_eq!(looks, Looks { hits: 30, misses: 20 });
        let since = looks.since(Looks { hits: 27, misses: 19 });
        assert_eq!((since, since.hit_ratio()), (Looks { hits: 3, misses: 1 }, Some(0.75)));
        assert_eq!((Looks::default().hit_ratio(), Looks::of_metrics("up 1\n")), (None, None));
    }

    #[test]
    fn there_is_plenty_of_all_products() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.csv");
        plenty(&path).unwrap();
        let products = catalog::seed::read(&path).unwrap();
        assert_eq!(products.len(), catalog::seed::initial().len());
        assert!(products.len() > CACHE_SIZE && products.iter().all(|product| product.quantity.0 == PIECES));
    }
}
