//! A load generator: sends requests at a given rate, or as fast as they are answered, and counts
//! their outcomes.
//!
//! Shoppers (`toystore client`) wait for each response and retry failed requests, as people do.
//! That does not measure an overloaded store: a slow store receives fewer requests, and the
//! requests that it delayed are not seen. This load generator does not wait:
//!
//! * **Open loop** ([`LoadModel::Open`]): visit *n* is due at a fixed time, whatever happened to
//!   the others. The next free connection takes it. Latencies count from when a request was *due*,
//!   so that they include the wait for a free connection. Leaving this wait out is known as
//!   "coordinated omission": the measured system then influences when it is measured. See Gil Tene,
//!   "How NOT to measure latency".
//! * **Closed loop** ([`LoadModel::Closed`]): each connection sends its next request when it has
//!   received the last response. The responses per second at rising numbers of connections show the
//!   maximum throughput of a store.
//!
//! [Stages](Stage) combine both: ramps, plateaus, spikes. Visits that an open stage did not begin
//! in time are begun late, during the next stage, and count for the stage in which they were due.
//!
//! Each request is sent once, without retries. Requests are prepared as bytes, and responses are
//! parsed only as far as necessary, because the generator often shares its CPUs with the store that
//! it measures. Each order has its own idempotency key and is recorded, so that [`verify`]
//! can check the store's promises.
//!
//! # Caveats
//! * The number of connections bounds the requests in flight. A visit that finds no free connection
//!   is begun late, and one that was not begun before the end counts as [`LoadStats::unsent`]:
//!   [`LoadStats::sent`] says what rate was really offered.
//! * The visits of an open loop are evenly spread. Real visits come in bursts, and more of those
//!   wait.
//! * A response must have a `Content-Length`; the store's responses do.
//!
//! # Reading order
//!
//! `schedule` and `plan` (what a load is), `pacer` (when visits begin), `worker` (what a connection
//! does) with `connection` and `request_templates`, `time_series`, `result`; then `verify`.

mod connection;
mod counters;
mod pacer;
mod plan;
mod popularity;
mod request_templates;
mod result;
mod run_state;
mod schedule;
mod time_series;
mod verify;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use connection::LoadConnection;
use pacer::Pacer;
use run_state::RunState;
use time_series::TimeSeries;
use worker::LoadWorker;

use crate::stats::LoadStats;

pub use connection::ConnectError;
pub use plan::{LoadPlan, REQUEST_TIMEOUT, Visit};
pub use popularity::Popularity;
pub use result::{LoadInterval, LoadResult};
pub use schedule::{LoadModel, Stage};
pub use verify::verify;

/// Connections that are opened at the same time: a server's backlog takes this many at once.
const CONNECTING_MAX: usize = 256;

/// The length of a [`LoadInterval`].
const INTERVAL: Duration = Duration::from_secs(1);

/// Runs the load to its end, and returns the statistics of the stages that count.
///
/// # Errors
/// As [`run`].
pub async fn run_to_end(plan: &LoadPlan) -> Result<LoadStats, ConnectError> {
    run(plan, &CancellationToken::new(), |_| {}).await.map(|result| result.counted())
}

/// Runs the load. Calls `watch` at the end of each second.
///
/// After `stop` is cancelled, no new request is sent. The result contains what was due until then.
///
/// # Errors
/// If the connections cannot be opened at the beginning. A connection that is lost later is opened
/// again, and counted.
///
/// # Panics
/// If the plan has no target, stage, or product.
pub async fn run(
    plan: &LoadPlan,
    stop: &CancellationToken,
    mut watch: impl FnMut(&LoadInterval),
) -> Result<LoadResult, ConnectError> {
    let connections = connect(plan).await?;
    let run = Arc::new(RunState::new(plan));
    let pacer = Pacer::start(
        run.begin.into_std(),
        plan.stages.clone(),
        Arc::clone(&run.arrivals),
        Arc::clone(&run.stop),
        connections.len(),
    );
    let mut workers = JoinSet::new();
    let mut seeds = Xoshiro256PlusPlus::seed_from_u64(plan.seed);
    for (index, connection) in connections.into_iter().enumerate() {
        let random = Xoshiro256PlusPlus::seed_from_u64(seeds.random());
        workers.spawn(LoadWorker { run: Arc::clone(&run), index, connection, random, buffer: Vec::new() }.run());
    }
    let mut series = TimeSeries::new(&run);
    let all = workers.join_all();
    tokio::pin!(all);
    let mut ticks = interval_at(run.begin + INTERVAL, INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = &mut all => break,
            _ = ticks.tick() => series.close_interval(&mut watch),
            () = stop.cancelled(), if !run.stopped.is_cancelled() => run.stop(),
        }
    }
    series.close_interval(&mut watch);
    drop(pacer);
    Ok(series.into_result())
}

async fn connect(plan: &LoadPlan) -> Result<Vec<LoadConnection>, ConnectError> {
    let open = |n: usize| LoadConnection::new(plan.targets[n % plan.targets.len()].clone(), plan.keep_alive).opened();
    let opened = futures::stream::iter(0..plan.connections).map(open).buffered(CONNECTING_MAX);
    opened.collect::<Vec<_>>().await.into_iter().collect()
}

#[cfg(test)]
mod tests;
