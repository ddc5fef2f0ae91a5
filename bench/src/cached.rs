//! P1: a cached product, compared with a bare hyper server that returns the same bytes, with nginx
//! that returns the same body as a constant, and with nginx's proxy cache in front of the store.
//!
//! wrk sends requests to each, over 64 keep-alive connections with two threads. It shares the CPUs
//! with the measured server, so each rate is that of server and load generator together; the
//! server's share of the CPUs is the same for all. While another server is measured, the whole
//! store is paused.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use report::{Document, Table, number};
use serde::Serialize;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::benchmark::Benchmark;
use crate::context::BenchContext;
use crate::http;
use crate::hyper_server::{self, CannedResponse};
use crate::nginx::{self, Nginx};
use crate::outcome::BenchOutcome;
use crate::profile::Profile;
use crate::result::{BenchResult, Figure, Goal};
use crate::rounds::Rounds;
use crate::store::{Assortment, BenchStore};
use crate::wrk::LoadGenerator;

/// Enough connections to keep any server busy.
pub(crate) const WRK: LoadGenerator = LoadGenerator { threads: 2, connections: 64 };

/// The product that is read: the first one of the assortment.
pub(crate) const PATH: &str = "/products/Toy%201";

/// The store's only frontend.
const FRONTEND: u8 = 1;

/// Fewer than the cache holds.
const PRODUCTS: usize = 5;

/// How long a cache may take to have its first hit.
const TIMEOUT: Duration = Duration::from_secs(10);

const POLL_INTERVAL: Duration = Duration::from_millis(10);

const HITS: &str = "toystore_cache_hits_total";
const MISSES: &str = "toystore_cache_misses_total";

/// The maximum share of responses from the catalog: a lease that is renewed late causes one miss
/// per connection.
const MISS_SHARE_MAX: f64 = 0.001;

#[derive(Debug, Default, Serialize)]
struct CachedRounds {
    ours: Rounds,
    hyper: Rounds,
    nginx_constant: Rounds,
    nginx_cache: Rounds,
}

/// Runs the benchmark.
pub(crate) async fn measure(context: &BenchContext) -> Result<BenchOutcome> {
    let version = nginx::version().await?;
    let dir = context.dir("cached")?;
    let mut store =
        BenchStore::open(&context.binary, &dir.join("ours"), Assortment::of(PRODUCTS), |layout| layout).await?;
    warm(&store).await?;
    let response = http::fetch(store.target(FRONTEND), PATH).await?;
    let bare = BareServer::start(&dir, &response).await?;
    let nginx = Nginx::start(&dir.join("nginx"), &response, store.target(FRONTEND), PATH).await?;
    let mut all = CachedRounds::default();
    let Profile { rounds, warm_up, measured, .. } = context.profile;
    for round in 1..=rounds {
        if round > 1 {
            store.thaw().await?;
            warm(&store).await?;
        }
        let before = Lookups::of(&store, FRONTEND).await?;
        let ours = WRK.measure(&url(&store.target(FRONTEND)), warm_up, measured).await?;
        Lookups::of(&store, FRONTEND).await?.since(before).check()?;
        store.freeze()?;
        let hyper = WRK.measure(&url(&bare.address), warm_up, measured).await?;
        let constant = WRK.measure(&url(&nginx.constant), warm_up, measured).await?;
        let cache = WRK.measure(&url(&nginx.cache), warm_up, measured).await?;
        context.progress.line(format!(
            "P1 round {round} of {rounds}: {:>7} GET/s, bare hyper {:>7}, nginx {:>7}, its proxy cache {:>7}",
            number(ours.per_s),
            number(hyper.per_s),
            number(constant.per_s),
            number(cache.per_s)
        ));
        all.ours.add(ours);
        all.hyper.add(hyper);
        all.nginx_constant.add(constant);
        all.nginx_cache.add(cache);
    }
    let body = CannedResponse::parse(&response)?.body().len();
    Ok(BenchOutcome::new(results(&all), details(&all, response.len(), body, &version), &all))
}

/// Reads the product until the first frontend's cache has a hit. After a start, or when its lease
/// has expired, the first reads miss.
pub(crate) async fn warm(store: &BenchStore) -> Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    let before = store.counter(FRONTEND, HITS).await?;
    while store.counter(FRONTEND, HITS).await? <= before {
        ensure!(Instant::now() < deadline, "the frontend does not cache the product");
        http::fetch(store.target(FRONTEND), PATH).await?;
        sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// Cache hits and misses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookups {
    pub(crate) hits: f64,
    pub(crate) misses: f64,
}

impl Lookups {
    /// The counters of that frontend since its start.
    pub(crate) async fn of(store: &BenchStore, frontend: u8) -> Result<Self> {
        Ok(Self { hits: store.counter(frontend, HITS).await?, misses: store.counter(frontend, MISSES).await? })
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self { hits: self.hits - before.hits, misses: self.misses - before.misses }
    }

    /// 0 to 1.
    pub(crate) fn hit_share(self) -> f64 {
        self.hits / (self.hits + self.misses)
    }

    /// # Errors
    /// If too many responses did not come from the cache.
    pub(crate) fn check(self) -> Result<()> {
        let Self { hits, misses } = self;
        ensure!(
            self.hit_share() >= 1.0 - MISS_SHARE_MAX,
            "{misses} responses came from the catalog, {hits} from the cache"
        );
        Ok(())
    }
}

pub(crate) fn url(address: &impl std::fmt::Display) -> String {
    format!("http://{address}{PATH}")
}

/// Another process of this program, as the bare server.
struct BareServer {
    address: String,
    /// Killed when it is dropped.
    _child: Child,
}

impl BareServer {
    /// # Errors
    /// If its response is not the given one, byte for byte except for the date.
    async fn start(dir: &Path, response: &[u8]) -> Result<Self> {
        let file = dir.join("response");
        hyper_server::save(&file, response)?;
        let address = hyper_server::free_address()?.to_string();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bare-hyper", "--listen", &address, "--response"]).arg(&file);
        let child = command.stdin(Stdio::piped()).process_group(0).kill_on_drop(true).spawn()?;
        let received = http::fetch_from_started(&address, PATH).await.context("the bare server")?;
        let (ours, theirs) = (hyper_server::without_date(response)?, hyper_server::without_date(&received)?);
        ensure!(ours == theirs, "the bare server returns other bytes: {theirs:?} instead of {ours:?}");
        Ok(Self { address, _child: child })
    }
}

fn results(all: &CachedRounds) -> Vec<BenchResult> {
    let (ours, hyper) = (all.ours.median(), all.hyper.median());
    let rate = |part, what, theirs: &Rounds, goal| {
        let per_s = |per_s| Figure::new(per_s, "GET/s");
        Benchmark::P1.ratio(part, what, per_s(ours.per_s), per_s(theirs.median().per_s), goal)
    };
    let ms = |us: f64| Figure::new(us / 1e3, "ms");
    vec![
        rate("", "cached products per second, against bare hyper", &all.hyper, Goal::AtLeast(0.97)),
        Benchmark::P1.ratio("-p99", "p99 of a cached product", ms(ours.p99_us), ms(hyper.p99_us), Goal::AtMost(1.5)),
        rate("-nginx", "the same, against a constant in nginx", &all.nginx_constant, Goal::AtLeast(1.0)),
        rate("-proxy", "the same, against nginx's proxy cache", &all.nginx_cache, Goal::AtLeast(1.5)),
    ]
}

fn details(all: &CachedRounds, response: usize, body: usize, version: &str) -> Document {
    let mut page = Document::new("Cached products");
    page.text(format!(
        "Each response has {response} bytes, {body} of them the body; nginx {version} has headers of its own. wrk uses {} threads and {} connections; it shares the CPUs with the server.",
        WRK.threads, WRK.connections
    ));
    let sides = [
        ("store", &all.ours),
        ("bare hyper, 2 threads", &all.hyper),
        ("nginx, 2 workers, a constant", &all.nginx_constant),
        ("nginx, 2 workers, proxy cache", &all.nginx_cache),
    ];
    let table = Table::of(sides).text("server", |(side, _)| *side);
    page.table(Rounds::columns(table, "GET/s", |(_, rounds)| rounds));
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_misses_are_an_error() {
        let before = Lookups { hits: 1.0, misses: 5.0 };
        let since = |misses| Lookups { hits: 10_001.0, misses: 5.0 + misses }.since(before);
        assert!(since(10.0).check().is_ok());
        assert!(since(11.0).check().is_err());
        assert!(since(f64::NAN).check().is_err());
    }
}
