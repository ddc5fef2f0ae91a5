//! P1: a cached product, beside a bare hyper server that answers the same bytes.
//!
//! wrk asks both, over 64 kept-alive connections with two threads. It shares the processors with whoever answers, so both rates are those of
//! server and asker together; what is left of the processors for a server is the same for both. While the bare server is measured, the whole
//! store is frozen.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};
use report::Document;
use serde::Serialize;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::benchmark::Benchmark;
use crate::extent::Extent;
use crate::finding::{Digits, Figure, Finding, Goal};
use crate::http;
use crate::hyper_server::{self, Answer};
use crate::outcome::Outcome;
use crate::rounds::Rounds;
use crate::shop::{Assortment, Shop};
use crate::suite::Field;
use crate::wrk::Asker;

/// Enough connections that no server waits for work.
pub(crate) const ASKER: Asker = Asker { threads: 2, connections: 64 };

/// The product that is asked for: the first one of the assortment.
pub(crate) const PATH: &str = "/products/Toy%201";

/// The store's only one.
const FRONTEND: u8 = 1;

/// Fewer than the cache holds.
const PRODUCTS: usize = 5;

/// Until a server that was started answers, or a cache that was warmed hits.
const PATIENCE: Duration = Duration::from_secs(10);

const POLL_INTERVAL: Duration = Duration::from_millis(10);

const HITS: &str = "toystore_cache_hits_total";
const MISSES: &str = "toystore_cache_misses_total";

/// So many of the answers may have come from the catalog: a lease that is renewed late costs as many as there are connections.
const MISS_SHARE_MAX: f64 = 0.001;

#[derive(Debug, Serialize)]
struct Pair {
    ours: Rounds,
    hyper: Rounds,
}

/// Measures it.
pub(crate) async fn measure(field: &Field) -> Result<Outcome> {
    let dir = field.dir("cached")?;
    let mut shop = Shop::open(&field.binary, &dir.join("ours"), Assortment::of(PRODUCTS), |layout| layout).await?;
    warm(&shop).await?;
    let answer = http::fetch(shop.target(FRONTEND), PATH).await?;
    let bare = BareServer::start(&dir, &answer).await?;
    let mut pair = Pair { ours: Rounds::default(), hyper: Rounds::default() };
    let Extent { rounds, warm_up, measured, .. } = field.extent;
    for round in 1..=rounds {
        if round > 1 {
            shop.thaw().await?;
            warm(&shop).await?;
        }
        let before = Lookups::of(&shop, FRONTEND).await?;
        let ours = ASKER.measure(&url(&shop.target(FRONTEND)), warm_up, measured).await?;
        Lookups::of(&shop, FRONTEND).await?.since(before).check()?;
        shop.freeze()?;
        let hyper = ASKER.measure(&url(&bare.address), warm_up, measured).await?;
        field.progress.line(format!(
            "P1 round {round} of {rounds}: {:>7} GET/s, bare hyper {:>7} GET/s",
            Digits(ours.per_s),
            Digits(hyper.per_s)
        ));
        pair.ours.add(ours);
        pair.hyper.add(hyper);
    }
    let body = Answer::parse(&answer)?.body_len();
    Ok(Outcome::new(findings(&pair), details(&pair, answer.len(), body), &pair))
}

/// The first frontend's cache is asked until an answer comes from it: after a start, or a lease that has run out, the first few do not.
pub(crate) async fn warm(shop: &Shop) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let before = shop.counter(FRONTEND, HITS).await?;
    while shop.counter(FRONTEND, HITS).await? <= before {
        ensure!(Instant::now() < deadline, "the frontend does not cache what it is asked for");
        http::fetch(shop.target(FRONTEND), PATH).await?;
        sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// What became of looks into the cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookups {
    pub(crate) hits: f64,
    pub(crate) misses: f64,
}

impl Lookups {
    /// Since that frontend's start.
    pub(crate) async fn of(shop: &Shop, frontend: u8) -> Result<Self> {
        Ok(Self { hits: shop.counter(frontend, HITS).await?, misses: shop.counter(frontend, MISSES).await? })
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self { hits: self.hits - before.hits, misses: self.misses - before.misses }
    }

    /// 0 to 1.
    pub(crate) fn hit_share(self) -> f64 {
        self.hits / (self.hits + self.misses)
    }

    /// # Errors
    /// If it was not the cache that was measured.
    pub(crate) fn check(self) -> Result<()> {
        let Self { hits, misses } = self;
        ensure!(
            self.hit_share() >= 1.0 - MISS_SHARE_MAX,
            "{misses} answers came from the catalog, {hits} from the cache"
        );
        Ok(())
    }
}

pub(crate) fn url(address: &impl std::fmt::Display) -> String {
    format!("http://{address}{PATH}")
}

/// This program once more, as the bare server.
struct BareServer {
    address: String,
    /// Ends when it is dropped.
    _child: Child,
}

impl BareServer {
    /// # Errors
    /// If it does not answer what it was told, byte by byte but for the date.
    async fn start(dir: &Path, answer: &[u8]) -> Result<Self> {
        let file = dir.join("answer");
        hyper_server::save(&file, answer)?;
        let address = hyper_server::free_address()?.to_string();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bare-hyper", "--listen", &address, "--answer"]).arg(&file);
        let child = command.stdin(Stdio::piped()).process_group(0).kill_on_drop(true).spawn()?;
        let deadline = Instant::now() + PATIENCE;
        let told = loop {
            match http::fetch(&address, PATH).await {
                Ok(told) => break told,
                Err(error) if Instant::now() > deadline => return Err(error.context("the bare server does not answer")),
                Err(_) => sleep(POLL_INTERVAL).await,
            }
        };
        let (ours, theirs) = (hyper_server::without_date(answer)?, hyper_server::without_date(&told)?);
        ensure!(ours == theirs, "the bare server answers other bytes: {theirs:?} instead of {ours:?}");
        Ok(Self { address, _child: child })
    }
}

fn findings(pair: &Pair) -> Vec<Finding> {
    let (ours, hyper) = (pair.ours.median(), pair.hyper.median());
    let rate = |per_s| Figure::new(per_s, "GET/s");
    let ms = |us: f64| Figure::new(us / 1e3, "ms");
    let goals = [Goal::AtLeast(0.9), Goal::AtMost(1.5)];
    vec![
        Finding::ratio(Benchmark::P1, "", "cached products per second", rate(ours.per_s), rate(hyper.per_s), goals[0]),
        Finding::ratio(Benchmark::P1, "-p99", "p99 of a cached product", ms(ours.p99_us), ms(hyper.p99_us), goals[1]),
    ]
}

fn details(pair: &Pair, answer: usize, body: usize) -> Document {
    let mut page = Document::new("Cached products");
    page.text(format!(
        "Each answer has {answer} bytes, {body} of them the body. wrk with {} threads and {} connections; it shares the processors with the server.",
        ASKER.threads, ASKER.connections
    ));
    let rows = [("store", &pair.ours), ("bare hyper, 2 threads", &pair.hyper)].map(|(side, rounds)| {
        let ((low, high), median) = (rounds.range_per_s(), rounds.median());
        [
            side.to_owned(),
            format!("{} ({}–{})", Digits(median.per_s), Digits(low), Digits(high)),
            Digits(median.p50_us / 1e3).to_string(),
            Digits(median.p99_us / 1e3).to_string(),
            Digits(median.asker_cores).to_string(),
        ]
    });
    page.table(["server", "GET/s", "p50 ms", "p99 ms", "asker's cores"], rows);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_misses_are_no_measurement_of_the_cache() {
        let before = Lookups { hits: 1.0, misses: 5.0 };
        let since = |misses| Lookups { hits: 10_001.0, misses: 5.0 + misses }.since(before);
        assert!(since(10.0).check().is_ok());
        assert!(since(11.0).check().is_err());
        assert!(since(f64::NAN).check().is_err());
    }
}
