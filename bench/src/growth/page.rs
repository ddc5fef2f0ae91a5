//! The results and the tables.

use report::{Document, Table, count, number};

use super::reads::Reads;
use super::size::{AgeComparison, LedgerSizeResult, MISSED, SHOPPERS};
use crate::benchmark::Benchmark;
use crate::result::{BenchResult, Figure, Goal};
use crate::rounds::median;

/// Relative to the young store.
const RATE_SHARE_MIN: f64 = 0.9;
const BYTES_PER_ORDER_MAX: f64 = 64.0;
const RESTART_S_MAX: f64 = 5.0;
/// Relative to the young store.
const READ_RATIO_MAX: f64 = 1.2;

/// The rate at each size, and everything else at the largest size.
pub(super) fn results(sizes: &[LedgerSizeResult]) -> Vec<BenchResult> {
    let (Some(smallest), Some(largest)) = (sizes.first(), sizes.last()) else { return Vec::new() };
    let reference = |size: &'static str, value| format!("{} with {size}", Figure::new(value, "s"));
    let name = short(largest.wanted);
    let part = |what: &str| format!("@{name}-{what}");
    let mut results: Vec<_> = sizes.iter().filter_map(rate).collect();
    results.extend(largest.comparison.as_ref().map(|both| reads(both, &name)));
    let memory = Figure::new(bytes_per_order(smallest, largest), "bytes/order");
    let restart = Figure::new(median(largest.restart_s.iter().copied()), "s");
    let catch_up = Figure::new(median(largest.catch_up_s.iter().copied()), "s");
    let (restart_reference, catch_up_reference) = (
        reference("10k", median(smallest.restart_s.iter().copied())),
        reference("10k", median(smallest.catch_up_s.iter().copied())),
    );
    let result = |what: &str, text: &str, figure, reference: &str, goal| {
        Benchmark::P5.figure(&part(what), text, figure, reference, goal)
    };
    results.extend([
        result("memory", "memory of a replica per order", memory, "", Goal::AtMost(BYTES_PER_ORDER_MAX)),
        result("restart", "start of a killed replica", restart, &restart_reference, Goal::AtMost(RESTART_S_MAX)),
        result("catch-up", "start and catch-up of 20,000 orders", catch_up, &catch_up_reference, Goal::Stated),
    ]);
    results
}

fn rate(size: &LedgerSizeResult) -> Option<BenchResult> {
    let AgeComparison { old, young, .. } = size.comparison.as_ref()?;
    let [old, young] = [old, young].map(|rounds| Figure::new(rounds.median().per_s, "orders/s"));
    let name = short(size.wanted);
    let what = format!("orders per second with {name} orders ÷ with 10k");
    Some(Benchmark::P5.ratio(&format!("@{name}"), &what, old, young, Goal::AtLeast(RATE_SHARE_MIN)))
}

fn reads(both: &AgeComparison, name: &str) -> BenchResult {
    let p50 = |reads: &[Reads]| Figure::new(median(reads.iter().map(|reads| reads.p50_us)), "µs");
    let what = format!("p50 of reading one of {name} orders ÷ one of 10k");
    let (old, young) = (p50(&both.old_reads), p50(&both.young_reads));
    Benchmark::P5.ratio(&format!("@{name}-get"), &what, old, young, Goal::AtMost(READ_RATIO_MAX))
}

/// The memory per order, from the difference between two sizes.
#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn bytes_per_order(small: &LedgerSizeResult, large: &LedgerSizeResult) -> f64 {
    (large.memory_bytes as f64 - small.memory_bytes as f64) / (large.orders as f64 - small.orders as f64)
}

pub(super) fn details(sizes: &[LedgerSizeResult]) -> Document {
    let mut page = Document::new("Growth");
    let reads = |both: &AgeComparison, figure: fn(&Reads) -> f64| {
        compared([&both.old_reads, &both.young_reads].map(|reads| median(reads.iter().map(figure))))
    };
    page.table(
        Table::of(sizes)
            .text("orders", |size| short(size.wanted))
            .number("orders/s (10k)", |size| {
                size.comparison.as_ref().map(|both| compared([&both.old, &both.young].map(|it| it.median().per_s)))
            })
            .number("memory, MB", |size| megabytes(size.memory_bytes))
            .number("restarted, MB", |size| megabytes(size.memory_restarted_bytes))
            .number("restart, s", |size| median(size.restart_s.iter().copied()))
            .number("catch-up, s", |size| median(size.catch_up_s.iter().copied()))
            .number("read p50, µs (10k)", |size| size.comparison.as_ref().map(|both| reads(both, |it| it.p50_us)))
            .number("read p99, µs (10k)", |size| size.comparison.as_ref().map(|both| reads(both, |it| it.p99_us))),
    );
    page.text(format!(
        "{SHOPPERS} shoppers order. In parentheses: a young store of 10k orders, measured in alternation. Catch-up is for {} orders, including the start.",
        count(MISSED)
    ));
    page
}

/// The old store's figure, and the young store's in parentheses.
fn compared([old, young]: [f64; 2]) -> String {
    format!("{} ({})", number(old), number(young))
}

/// `10k`, `5M`.
pub(super) fn short(orders: u64) -> String {
    if orders.is_multiple_of(1_000_000) { format!("{}M", orders / 1_000_000) } else { format!("{}k", orders / 1000) }
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
pub(super) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
