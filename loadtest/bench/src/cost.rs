//! P7: what a request costs: processor time of each process, by the kernel's account.
//!
//! 64 shoppers first look at one cached product, then order. The processes also do things that nobody asked for (heartbeats, leases, looks at each other);
//! what they use while nobody asks is measured too, and taken off.

use anyhow::{Result, ensure};
use client::load::{self, Plan, Stage};
use report::Document;
use serde::Serialize;
use tokio::time::{Instant, sleep};
use toystore::local::{Member, Process};

use crate::benchmark::Benchmark;
use crate::cached::warm;
use crate::extent::Extent;
use crate::finding::{Digits, Figure, Finding, Goal};
use crate::outcome::Outcome;
use crate::process::Pid;
use crate::rounds::median;
use crate::shop::{Assortment, Shop};
use crate::suite::Field;

const SHOPPERS: usize = 64;

/// Fewer than the cache holds.
const PRODUCTS: usize = 5;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Request {
    Look,
    Order,
}

/// Processor time of one member.
#[derive(Clone, Debug, Serialize)]
struct Cost {
    member: String,
    /// Processors that it uses while nobody asks, round by round.
    idle_cores: Vec<f64>,
    /// Milliseconds per 1,000 looks, the idle ones taken off.
    look_ms: Vec<f64>,
    /// The same per 1,000 orders.
    order_ms: Vec<f64>,
}

/// Measures it.
pub(crate) async fn measure(field: &Field) -> Result<Outcome> {
    let dir = field.dir("cost")?;
    let mut shop = Shop::open(&field.binary, &dir.join("ours"), Assortment::of(PRODUCTS), |layout| layout).await?;
    let new = |process: &mut Process| Cost {
        member: process.member().to_string(),
        idle_cores: Vec::new(),
        look_ms: Vec::new(),
        order_ms: Vec::new(),
    };
    let mut costs: Vec<_> = shop.store().processes().map(new).collect();
    for round in 1..=field.extent.rounds {
        let (before, begun) = (cpu_s(&mut shop)?, Instant::now());
        sleep(field.extent.measured).await;
        let elapsed = begun.elapsed().as_secs_f64();
        let idle: Vec<_> =
            cpu_s(&mut shop)?.iter().zip(&before).map(|(after, before)| (after - before) / elapsed).collect();
        for request in [Request::Look, Request::Order] {
            let used = per_thousand(field, &mut shop, request, &idle).await?;
            for (cost, used) in costs.iter_mut().zip(used) {
                cost.of_mut(request).push(used);
            }
        }
        costs.iter_mut().zip(idle).for_each(|(cost, idle)| cost.idle_cores.push(idle));
        field.progress.line(format!("P7 round {round} of {}", field.extent.rounds));
    }
    let leader = shop.store().leader().await.map(|(_, leader)| Member::Order(leader).to_string());
    if let Some(cost) = costs.iter_mut().find(|cost| Some(&cost.member) == leader.as_ref()) {
        cost.member += " (leads)";
    }
    Ok(Outcome::new(findings(&costs), details(&costs), &costs))
}

/// What 1,000 requests cost each member, in milliseconds.
async fn per_thousand(field: &Field, shop: &mut Shop, request: Request, idle_cores: &[f64]) -> Result<Vec<f64>> {
    let Extent { warm_up, measured, .. } = field.extent;
    let (share, products) = match request {
        Request::Look => {
            warm(shop).await?;
            (0.0, shop.products()[..1].to_vec())
        }
        Request::Order => (1.0, shop.products().to_vec()),
    };
    let stages = vec![Stage::closed(SHOPPERS, warm_up + measured)];
    let plan = Plan::of_requests(shop.target(1), products, share, stages);
    let (before, begun) = (cpu_s(shop)?, Instant::now());
    let load = load::run_to_end(&plan).await?.both();
    ensure!(load.failed() + load.sold_out == 0, "not every request was answered with success: {load:?}");
    let (after, elapsed) = (cpu_s(shop)?, begun.elapsed().as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^53")]
    let thousands = load.sent() as f64 / 1000.0;
    let used = after.iter().zip(before).zip(idle_cores).map(|((after, before), idle)| after - before - idle * elapsed);
    Ok(used.map(|used_s| used_s.max(0.0) * 1e3 / thousands).collect())
}

/// Of each member so far, in seconds.
fn cpu_s(shop: &mut Shop) -> Result<Vec<f64>> {
    let cpu = |process: &mut Process| Pid(process.pid().cast_unsigned()).cpu().map(|cpu| cpu.as_secs_f64());
    shop.store().processes().map(cpu).collect()
}

impl Cost {
    fn of_mut(&mut self, request: Request) -> &mut Vec<f64> {
        match request {
            Request::Look => &mut self.look_ms,
            Request::Order => &mut self.order_ms,
        }
    }
}

/// The sum of all members' medians.
fn all(costs: &[Cost], figure: fn(&Cost) -> &Vec<f64>) -> f64 {
    costs.iter().map(|cost| median(figure(cost).clone())).sum()
}

fn findings(costs: &[Cost]) -> Vec<Finding> {
    let finding = |part, what, ms| Finding::figure(Benchmark::P7, part, what, Figure::new(ms, "ms"), "", Goal::Stated);
    vec![
        finding("-get", "processor time of 1,000 cached looks, all processes", all(costs, |cost| &cost.look_ms)),
        finding("-order", "processor time of 1,000 orders, all processes", all(costs, |cost| &cost.order_ms)),
    ]
}

fn details(costs: &[Cost]) -> Document {
    let mut page = Document::new("Cost");
    let row = |cost: &Cost| {
        let [look, order] = [&cost.look_ms, &cost.order_ms].map(|ms| Digits(median(ms.clone())).to_string());
        [cost.member.clone(), look, order, Digits(median(cost.idle_cores.clone()) * 1e3).to_string()]
    };
    page.table(["process", "ms per 1,000 looks", "ms per 1,000 orders", "idle, ms per second"], costs.iter().map(row));
    page
}
