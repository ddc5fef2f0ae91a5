//! P7: the CPU time that a request costs in each process, as the kernel accounts it.
//!
//! 64 shoppers first read one cached product, then place orders. The processes also do background
//! work (heartbeats, leases, status polls). The CPU time that they use when idle is measured too,
//! and subtracted.

use anyhow::{Result, ensure};
use report::{Document, Table};
use serde::Serialize;
use tokio::time::{Instant, sleep};
use toystore::local::{ChildProcess, StoreMember};
use workload::load::{self, LoadPlan, Stage};

use crate::benchmark::Benchmark;
use crate::cached::warm;
use crate::context::BenchContext;
use crate::outcome::BenchOutcome;
use crate::process::Pid;
use crate::profile::Profile;
use crate::result::{BenchResult, Figure, Goal};
use crate::rounds::median;
use crate::store::{Assortment, BenchStore};

const SHOPPERS: usize = 64;

/// Fewer than the cache holds.
const PRODUCTS: usize = 5;

/// The kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Request {
    Read,
    Order,
}

/// The CPU time of one member.
#[derive(Clone, Debug, Serialize)]
struct Cost {
    member: String,
    /// CPU cores used when idle, in each round.
    idle_cores: Vec<f64>,
    /// Milliseconds per 1,000 product reads, without the idle time.
    read_ms: Vec<f64>,
    /// The same per 1,000 orders.
    order_ms: Vec<f64>,
}

/// Runs the benchmark.
pub(crate) async fn measure(context: &BenchContext) -> Result<BenchOutcome> {
    let dir = context.dir("cost")?;
    let mut store =
        BenchStore::open(&context.binary, &dir.join("ours"), Assortment::of(PRODUCTS), |layout| layout).await?;
    let new = |process: &mut ChildProcess| Cost {
        member: process.member().to_string(),
        idle_cores: Vec::new(),
        read_ms: Vec::new(),
        order_ms: Vec::new(),
    };
    let mut costs: Vec<_> = store.local().processes().map(new).collect();
    for round in 1..=context.profile.rounds {
        let (before, begun) = (cpu_s(&mut store)?, Instant::now());
        sleep(context.profile.measured).await;
        let elapsed = begun.elapsed().as_secs_f64();
        let idle: Vec<_> =
            cpu_s(&mut store)?.iter().zip(&before).map(|(after, before)| (after - before) / elapsed).collect();
        for request in [Request::Read, Request::Order] {
            let used = per_thousand(context, &mut store, request, &idle).await?;
            for (cost, used) in costs.iter_mut().zip(used) {
                cost.of_mut(request).push(used);
            }
        }
        costs.iter_mut().zip(idle).for_each(|(cost, idle)| cost.idle_cores.push(idle));
        context.progress.line(format!("P7 round {round} of {}", context.profile.rounds));
    }
    let leader = store.local().leader().await.map(|(_, leader)| StoreMember::Order(leader).to_string());
    if let Some(cost) = costs.iter_mut().find(|cost| Some(&cost.member) == leader.as_ref()) {
        cost.member += " (leads)";
    }
    Ok(BenchOutcome::new(results(&costs), details(&costs), &costs))
}

/// The CPU time of 1,000 requests in each member, in milliseconds.
async fn per_thousand(
    context: &BenchContext,
    store: &mut BenchStore,
    request: Request,
    idle_cores: &[f64],
) -> Result<Vec<f64>> {
    let Profile { warm_up, measured, .. } = context.profile;
    let (share, products) = match request {
        Request::Read => {
            warm(store).await?;
            (0.0, store.products()[..1].to_vec())
        }
        Request::Order => (1.0, store.products().to_vec()),
    };
    let stages = vec![Stage::closed(SHOPPERS, warm_up + measured)];
    let plan = LoadPlan::single_requests(store.target(1), products, share, stages);
    let (before, begun) = (cpu_s(store)?, Instant::now());
    let load = load::run_to_end(&plan).await?.all();
    ensure!(load.failed() + load.sold_out == 0, "not every request succeeded: {load:?}");
    let (after, elapsed) = (cpu_s(store)?, begun.elapsed().as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^53")]
    let thousands = load.sent() as f64 / 1000.0;
    let used = after.iter().zip(before).zip(idle_cores).map(|((after, before), idle)| after - before - idle * elapsed);
    Ok(used.map(|used_s| used_s.max(0.0) * 1e3 / thousands).collect())
}

/// The CPU time of each member so far, in seconds.
fn cpu_s(store: &mut BenchStore) -> Result<Vec<f64>> {
    let cpu = |process: &mut ChildProcess| Pid(process.pid().cast_unsigned()).cpu().map(|cpu| cpu.as_secs_f64());
    store.local().processes().map(cpu).collect()
}

impl Cost {
    fn of_mut(&mut self, request: Request) -> &mut Vec<f64> {
        match request {
            Request::Read => &mut self.read_ms,
            Request::Order => &mut self.order_ms,
        }
    }
}

/// The sum of all members' medians.
fn all(costs: &[Cost], figure: fn(&Cost) -> &Vec<f64>) -> f64 {
    costs.iter().map(|cost| median(figure(cost).iter().copied())).sum()
}

fn results(costs: &[Cost]) -> Vec<BenchResult> {
    let result = |part, what, ms| Benchmark::P7.figure(part, what, Figure::new(ms, "ms"), "", Goal::Stated);
    vec![
        result("-get", "CPU time of 1,000 cached product reads, all processes", all(costs, |cost| &cost.read_ms)),
        result("-order", "CPU time of 1,000 orders, all processes", all(costs, |cost| &cost.order_ms)),
    ]
}

fn details(costs: &[Cost]) -> Document {
    let mut page = Document::new("Cost");
    page.table(
        Table::of(costs)
            .text("process", |cost| cost.member.clone())
            .number("ms per 1,000 product reads", |cost| median(cost.read_ms.iter().copied()))
            .number("ms per 1,000 orders", |cost| median(cost.order_ms.iter().copied()))
            .number("idle, ms per second", |cost| median(cost.idle_cores.iter().copied()) * 1e3),
    );
    page
}
