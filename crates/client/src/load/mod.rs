//! Load: requests at a given rate, or as fast as they are answered, and what became of them.
//!
//! [Shoppers](crate) wait for each answer and repeat what failed, as people do. That is no measurement of a store that has too much to do: a slow
//! store would be asked less often, and the requests that it kept waiting would not be seen. Here nobody is patient:
//!
//! * **Open loop** ([`Pace::Open`]): visit *n* is due at its time, whatever became of the others. Whichever connection is free takes
//!   the next one. Latencies count from when a request was *due*, so that the wait for a free connection is part of it. (To leave it out is
//!   known as "coordinated omission": the measured system decides when it is looked at. See Gil Tene, "How NOT to measure latency".)
//! * **Closed loop** ([`Pace::Closed`]): each connection sends its next request when it has the last answer. The answers per
//!   second at rising numbers of connections show the most that a store can do.
//!
//! Both may follow each other in [stages](Stage): ramps, plateaus, spikes. What an open stage leaves undone is done late, in the next
//! one's time, and counts for the stage in which it was due.
//!
//! A request is tried once. It is written from a table of ready-made bytes and its answer is only looked at as far as needed, because the generator often
//! shares its processor with what it measures. Each order has a key of its own and is written down, so that [`reckoning`] can
//! hold the store to its word.
//!
//! # Caveats
//! * Requests in flight are bounded by the connections. Those for which there was no connection in time are sent late, and those that were not sent
//!   before the end are counted as [`Outcome::unsent`]: the offered rate is only as high as [`Outcome::sent`] says.
//! * Visits of an open loop are evenly spread. Real ones come in bursts; more of those wait then.
//! * An answer must say how long it is (`Content-Length`); the store's do.

mod book;
mod connection;
mod outcome;
mod pacer;
mod popularity;
pub mod reckoning;
mod requests;
mod schedule;
mod seconds;
mod shopper;
mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use api::{Address, ProductName};
use futures::StreamExt;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use book::Book;
use connection::Connection;
use pacer::{Gate, Pacer};
use popularity::Draw;
use requests::Requests;
use seconds::Seconds;
use shopper::Shopper;
use tally::Tally;

pub use connection::ConnectError;
pub use outcome::{Kind, KindOutcome, Latencies, Loaded, Outcome, Second};
pub use popularity::Popularity;
pub use schedule::{Pace, Stage};
pub use shopper::Visit;

/// Connections that are opened at the same time: a server's backlog takes so many at once.
const CONNECTING_MAX: usize = 256;

/// Longer than the store's own deadline of 5 s.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// Between two looks at what was counted.
const SECOND: Duration = Duration::from_secs(1);

/// A load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The public ports that the connections are spread over; at least one.
    pub targets: Vec<Address>,
    /// How many connections; at least one, and at least as many as any stage has shoppers.
    pub connections: usize,
    /// Whether connections are kept open from one request to the next.
    pub keep_alive: bool,
    /// At least one.
    pub stages: Vec<Stage>,
    /// What a visit is.
    pub visit: Visit,
    /// What is asked for and ordered; at least one.
    pub products: Vec<ProductName>,
    /// How visits spread over them.
    pub popularity: Popularity,
    /// A request that is not answered within this counts as silent, and its connection is given up.
    pub answer_timeout: Duration,
    /// Decides what is looked at and ordered.
    pub seed: u64,
}

impl Plan {
    /// One request per visit, an order with that probability, over connections to one port that are kept open.
    pub fn of_requests(target: Address, products: Vec<ProductName>, order_share: f64, stages: Vec<Stage>) -> Self {
        let connections = stages.iter().filter_map(Stage::shoppers).max().unwrap_or(1);
        Self {
            targets: vec![target],
            connections,
            keep_alive: true,
            stages,
            visit: Visit::OneRequest { order_share },
            products,
            popularity: Popularity::Uniform,
            answer_timeout: ANSWER_TIMEOUT,
            seed: rand::random(),
        }
    }

    /// From the first request to the last.
    pub fn length(&self) -> Duration {
        self.stages.iter().map(|stage| stage.length).sum()
    }
}

/// Puts the load on the store, to its end, and tells what became of the requests that count.
///
/// # Errors
/// As [`run`].
pub async fn run_to_end(plan: &Plan) -> Result<Outcome, ConnectError> {
    run(plan, &CancellationToken::new(), |_| {}).await.map(|loaded| loaded.counted())
}

/// Puts the load on the store. `watch` is shown each second when it is over.
///
/// After `stop` is cancelled nothing new is begun; what was due until then is in the outcome.
///
/// # Errors
/// If the connections cannot be opened. One that breaks later is opened again, and counted.
///
/// # Panics
/// If the plan lacks something.
pub async fn run(
    plan: &Plan,
    stop: &CancellationToken,
    mut watch: impl FnMut(&Second),
) -> Result<Loaded, ConnectError> {
    let connections = connect(plan).await?;
    let run = Arc::new(Run::new(plan));
    let pacer = Pacer::start(
        run.begin.into_std(),
        plan.stages.clone(),
        Arc::clone(&run.gates),
        Arc::clone(&run.stop),
        connections.len(),
    );
    let mut shoppers = JoinSet::new();
    let mut seeds = Xoshiro256PlusPlus::seed_from_u64(plan.seed);
    for (index, connection) in connections.into_iter().enumerate() {
        let random = Xoshiro256PlusPlus::seed_from_u64(seeds.random());
        shoppers.spawn(Shopper { run: Arc::clone(&run), index, connection, random, buffer: Vec::new() }.shop());
    }
    let mut seconds = Seconds::new(&run);
    let all = shoppers.join_all();
    tokio::pin!(all);
    let mut ticks = interval_at(run.begin + SECOND, SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = &mut all => break,
            _ = ticks.tick() => seconds.end_one(&mut watch),
            () = stop.cancelled(), if !run.stopped.is_cancelled() => run.stop(),
        }
    }
    seconds.end_one(&mut watch);
    drop(pacer);
    Ok(seconds.into_loaded())
}

async fn connect(plan: &Plan) -> Result<Vec<Connection>, ConnectError> {
    let open = |n: usize| Connection::new(plan.targets[n % plan.targets.len()].clone(), plan.keep_alive).opened();
    let opened = futures::stream::iter(0..plan.connections).map(open).buffered(CONNECTING_MAX);
    opened.collect::<Vec<_>>().await.into_iter().collect()
}

/// What all connections share.
struct Run {
    begin: Instant,
    end: Instant,
    stages: Vec<Stage>,
    gates: Arc<Vec<Option<Gate>>>,
    /// Visits of each open stage that somebody has begun.
    begun: Vec<AtomicU64>,
    /// Set when somebody says stop: looked at before each request.
    stop: Arc<AtomicBool>,
    /// The same, for those who wait.
    stopped: CancellationToken,
    visit: Visit,
    draw: Draw,
    /// By target.
    requests: Vec<Requests>,
    answer_timeout: Duration,
    tally: Tally,
    book: Book,
}

impl Run {
    fn new(plan: &Plan) -> Self {
        let begin = Instant::now();
        let requests = |target| Requests::new(target, plan.keep_alive, &plan.products);
        Self {
            begin,
            end: begin + plan.length(),
            gates: Arc::new(plan.stages.iter().map(Gate::new).collect()),
            begun: plan.stages.iter().map(|_| AtomicU64::new(0)).collect(),
            stages: plan.stages.clone(),
            stop: Arc::default(),
            stopped: CancellationToken::new(),
            visit: plan.visit,
            draw: Draw::new(plan.popularity, plan.products.len()),
            requests: plan.targets.iter().map(requests).collect(),
            answer_timeout: plan.answer_timeout,
            tally: Tally::new(),
            book: Book::default(),
        }
    }

    fn requests(&self, connection: usize) -> &Requests {
        &self.requests[connection % self.requests.len()]
    }

    /// Nothing new is to be begun.
    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.stopped.cancel();
    }

    /// Whether nothing new is to be begun.
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || Instant::now() >= self.end
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
