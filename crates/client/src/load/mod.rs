//! Load: requests at a given rate, or as fast as they are answered, and what became of them.
//!
//! [Shoppers](crate) wait for each answer and repeat what failed, as people do. That is no measurement of a store that has too much to do: a slow
//! store would be asked less often, and the requests that it kept waiting would not be seen. Here nobody is patient:
//!
//! * **Open loop** ([`Pace::PerSecond`]): request *n* is due at *n / rate*, whatever became of the others. Whichever connection is free takes
//!   the next one. Latencies count from when a request was *due*, so that the wait for a free connection is part of it ("coordinated omission").
//! * **Closed loop** ([`Pace::Unpaced`]): each connection sends its next request when it has the last answer. The answers per
//!   second at rising numbers of connections show the most that a store can do.
//!
//! A request is tried once. It is written from a table of ready-made bytes and its answer is only looked at as far as needed, because the generator often
//! shares its processor with what it measures.
//!
//! # Caveats
//! * Requests in flight are bounded by the connections. Those for which there was no connection in time are sent late, and those that were not sent
//!   before the end are counted as [`Outcome::unsent`]: the offered rate is only as high as [`Outcome::sent`] says.
//! * Timers are as fine as 1 ms. A request that is due leaves up to so much later, which counts as latency.

mod connection;
mod outcome;
mod requests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::{Address, ProductName};
use futures::StreamExt;
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use connection::Connection;
use requests::Requests;

pub use connection::ConnectError;
pub use outcome::{Kind, KindOutcome, Latencies, Outcome};

/// Connections that are opened at the same time: a server's backlog takes so many at once.
const CONNECTING_MAX: usize = 256;

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as they are answered.
    Unpaced,
    /// So many per second, evenly spread.
    PerSecond(f64),
}

/// A load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The store's public port.
    pub target: Address,
    /// Kept-alive connections, 1 or more.
    pub connections: usize,
    /// When requests are sent.
    pub pace: Pace,
    /// How many of the requests are orders of one piece, 0 to 1; the others ask for a product.
    pub order_share: f64,
    /// What is asked for and ordered, with equal probability; at least one.
    pub products: Vec<ProductName>,
    /// What is sent in this time, at the beginning, is not counted.
    pub warm_up: Duration,
    /// Counted, after that.
    pub measured: Duration,
    /// A request that is not answered within this counts as silent, and its connection is given up.
    pub answer_timeout: Duration,
}

/// Puts the load on the store.
///
/// # Errors
/// If the connections cannot be opened. One that breaks later is opened again, and counted.
///
/// # Panics
/// If the plan has no connection or no product.
pub async fn run(plan: &Plan) -> Result<Outcome, ConnectError> {
    assert!(plan.connections > 0 && !plan.products.is_empty(), "a load has connections and products");
    let connect = || Connection::open(plan.target.clone());
    let connections = futures::stream::repeat_with(connect).take(plan.connections).buffer_unordered(CONNECTING_MAX);
    let connections: Vec<_> = connections.collect().await;
    let begin = Instant::now();
    let run = Arc::new(Run {
        begin,
        count_from: begin + plan.warm_up,
        end: begin + plan.warm_up + plan.measured,
        pace: plan.pace,
        next: AtomicU64::new(0),
        requests: Requests::new(&plan.target, &plan.products),
        order_share: plan.order_share,
        answer_timeout: plan.answer_timeout,
        outcome: Mutex::new(Outcome::new(plan.measured)),
    });
    let mut senders = JoinSet::new();
    for connection in connections {
        senders.spawn(Arc::clone(&run).send_all(connection?, plan.target.clone()));
    }
    senders.join_all().await;
    let unsent = run.unsent();
    let run = Arc::into_inner(run).expect("all senders have ended");
    let outcome = run.outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Outcome { unsent, ..outcome })
}

struct Run {
    begin: Instant,
    count_from: Instant,
    end: Instant,
    pace: Pace,
    /// The number of the next request.
    next: AtomicU64,
    requests: Requests,
    order_share: f64,
    answer_timeout: Duration,
    /// Locked once per answer.
    outcome: Mutex<Outcome>,
}

impl Run {
    async fn send_all(self: Arc<Self>, mut connection: Connection, target: Address) {
        let mut random: Xoshiro256PlusPlus = rand::make_rng();
        loop {
            let due = match self.pace {
                Pace::Unpaced => Instant::now(),
                Pace::PerSecond(rate) => due(self.begin, self.next.fetch_add(1, Ordering::Relaxed), rate),
            };
            if due >= self.end {
                return;
            }
            if due > Instant::now() {
                sleep_until(due).await;
            }
            let sent = Instant::now();
            if sent >= self.end {
                return;
            }
            let kind = if random.random_bool(self.order_share) { Kind::Order } else { Kind::Query };
            let request = self.requests.choose(kind, &mut random);
            let answer = connection.exchange(request, sent + self.answer_timeout).await;
            let broken = answer.is_err();
            if sent >= self.count_from {
                self.outcome.lock().unwrap_or_else(PoisonError::into_inner).count(kind, answer, due, sent);
            }
            if broken {
                let Some(opened) = self.reopen(&target).await else { return };
                connection = opened;
            }
        }
    }

    /// Another connection for one that broke; `None` if there is none before the end.
    async fn reopen(&self, target: &Address) -> Option<Connection> {
        while Instant::now() < self.end {
            match Connection::open(target.clone()).await {
                Ok(opened) => return Some(opened),
                Err(error) => tracing::debug!(%error, "a broken connection cannot be opened again yet"),
            }
            tokio::time::sleep(connection::REOPEN_PAUSE).await;
        }
        None
    }

    /// Requests of the plan that nobody had come to by the end.
    fn unsent(&self) -> u64 {
        match self.pace {
            Pace::Unpaced => 0,
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of requests")]
            Pace::PerSecond(rate) => {
                let planned = (rate * (self.end - self.begin).as_secs_f64()) as u64;
                planned.saturating_sub(self.next.load(Ordering::Relaxed))
            }
        }
    }
}

/// When request `n` of an even stream is due.
#[expect(clippy::cast_precision_loss, reason = "requests of a run are far below 2^53")]
fn due(begin: Instant, n: u64, rate: f64) -> Instant {
    begin + Duration::from_secs_f64(n as f64 / rate)
}

#[cfg(test)]
mod tests;
