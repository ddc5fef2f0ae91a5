//! What an experiment came to.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use client::RequestKind;

use super::config::{Given, Size};
use super::contents::Trace;
use super::kills::Kills;
use super::latency::{Cell, KINDS, PROBABILITIES, latency_ms, over};
use super::machine::Machine;
use super::repeated::or_dash;
use super::shop::Cache;

/// Everything that was measured. `Display` is for people who wait for it.
pub(super) struct Outcome {
    /// On what.
    pub(super) machine: Machine,
    /// How much.
    pub(super) size: Size,
    /// What drew everything that is drawn.
    pub(super) seed: u64,
    /// The store, if it was somebody else's.
    pub(super) given: Option<Given>,
    /// From the start of the first store to the end of the last one.
    pub(super) elapsed: Duration,
    /// Latencies.
    pub(super) cells: Vec<Cell>,
    /// The cache's content; `None` if nobody could look into it.
    pub(super) trace: Option<Trace>,
    /// Kills; `None` if the store was not ours to break.
    pub(super) kills: Option<Kills>,
    /// Lines that say what is broken; none in a good store.
    pub(super) broken: Vec<String>,
}

impl Outcome {
    /// Whether every promise was kept, as far as it was looked at.
    pub(super) fn is_clean(&self) -> bool {
        self.broken.is_empty()
    }

    /// Orders that were acknowledged to anybody.
    pub(super) fn acknowledged(&self) -> u64 {
        let shoppers: u64 = self.cells.iter().map(|cell| cell.acknowledged).sum();
        let looker = self.trace.as_ref().map_or(0, |trace| trace.acknowledged);
        let kills = self.kills.as_ref().map_or(0, |kills| kills.report.counts.acknowledged);
        shoppers + looker + kills
    }

    /// Requests that failed for good while latencies were measured.
    pub(super) fn failed(&self) -> u64 {
        self.cells.iter().map(|cell| cell.failed).sum()
    }

    /// Settings of the cache that were measured.
    pub(super) fn caches(&self) -> Vec<Cache> {
        let is_measured = |cache: &Cache| self.cells.iter().any(|cell| cell.setup.cache == *cache);
        Cache::ALL.into_iter().filter(is_measured).collect()
    }

    /// The verdict in a sentence.
    pub(super) fn verdict(&self) -> String {
        let orders = self.acknowledged();
        match self.broken.len() {
            0 if self.given.is_some() => {
                format!(
                    "All {orders} acknowledged orders could be read as they were ordered; a store of somebody else's was not looked into."
                )
            }
            0 => format!(
                "Every promise was kept: {orders} orders were acknowledged, and each is on all replicas' disks once, in ledgers that are the same bytes."
            ),
            many => format!("THE STORE BROKE ITS WORD: {many} findings, listed below."),
        }
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "p50 in ms, median (least – most) of {} repetitions", self.size.repetitions)?;
        for (kind, name) in KINDS {
            writeln!(f, "\n{name:<18}{:>28}{:>28}", Cache::On.name(), Cache::Off.name())?;
            for probability in PROBABILITIES.into_iter().filter(|it| *it > 0 || kind == RequestKind::Query) {
                let p50 = |cache| over(&self.cells, probability, cache, latency_ms(kind, |latency| latency.p50_us));
                let [on, off] = Cache::ALL.map(|cache| or_dash(p50(cache)));
                writeln!(f, "{:<18}{on:>28}{off:>28}", format!("{probability:>3} % buy"))?;
            }
        }
        writeln!(f)?;
        self.broken.iter().try_for_each(|line| writeln!(f, "BROKEN: {line}"))?;
        f.write_str(&self.verdict())
    }
}
