//! Puts in a closed loop: each client sends its next put when the last one is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use etcd_client::{Client, KvClient};
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::process::{Meter, Pid};
use crate::rounds::Measurement;

/// The size of each value.
pub(crate) const VALUE_BYTES: usize = 100;

/// Significant digits of latencies.
const LATENCY_DIGITS: u8 = 3;

/// How many connections the clients share. HTTP/2 carries many requests at a time over one
/// connection. Which number is best for etcd depends on the number of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct EtcdConnections(pub(crate) usize);

/// Clients that put in a closed loop, over connections to one node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PutLoad {
    /// The number of clients, each with one put in flight.
    pub(crate) clients: usize,
    /// At most as many as there are clients.
    pub(crate) connections: EtcdConnections,
}

impl PutLoad {
    /// Runs the clients for `warm_up`, and then for `measured`, which counts.
    ///
    /// Each key is new, like each order: the client's number and a counter, 16 bytes.
    ///
    /// # Errors
    /// If a put fails.
    pub(crate) async fn measure(self, endpoint: &str, warm_up: Duration, measured: Duration) -> Result<Measurement> {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let mut channels = Vec::with_capacity(self.connections.0);
        for _ in 0..self.connections.0 {
            channels.push(Client::connect([endpoint], None).await.context("cannot connect to etcd")?.kv_client());
        }
        let meter = Meter::start(Pid::own())?;
        let counted_from = Instant::now() + warm_up;
        let span = CountedPeriod { from: counted_from, to: counted_from + measured };
        let value = Arc::new([b'v'; VALUE_BYTES]);
        let mut clients = JoinSet::new();
        for client in 0..self.clients {
            let channel = channels[client % channels.len()].clone();
            clients.spawn(put(channel, format!("{run:03}/{client:03}/"), Arc::clone(&value), span));
        }
        let mut latencies = Histogram::<u64>::new(LATENCY_DIGITS)?;
        while let Some(done) = clients.join_next().await {
            latencies.add(done??)?;
        }
        let generator_cores = meter.cores()?;
        #[expect(clippy::cast_precision_loss, reason = "counts and microseconds are far below 2^53")]
        let (count, at) = (latencies.len() as f64, |quantile| latencies.value_at_quantile(quantile) as f64);
        Ok(Measurement { per_s: count / measured.as_secs_f64(), p50_us: at(0.5), p99_us: at(0.99), generator_cores })
    }
}

/// Only puts that begin in this period count.
#[derive(Clone, Copy)]
struct CountedPeriod {
    from: Instant,
    to: Instant,
}

/// Runs one client and returns the latencies of its puts.
async fn put(
    mut channel: KvClient,
    prefix: String,
    value: Arc<[u8; VALUE_BYTES]>,
    span: CountedPeriod,
) -> Result<Histogram<u64>> {
    let mut latencies = Histogram::new(LATENCY_DIGITS)?;
    let mut begun = Instant::now();
    let mut count = 0_u64;
    while begun < span.to {
        channel.put(format!("{prefix}{count:08}"), &value[..], None).await.context("etcd refused a put")?;
        let done = Instant::now();
        if begun >= span.from {
            latencies.record(u64::try_from((done - begun).as_micros()).unwrap_or(u64::MAX).max(1))?;
        }
        (begun, count) = (done, count + 1);
    }
    Ok(latencies)
}
