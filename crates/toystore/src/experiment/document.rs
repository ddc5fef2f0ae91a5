//! Describes the report.

use std::time::Duration;

use report::{CheckResult, Document, Spread, Table, count, number};
use workload::{Latency, RequestKind};

use super::cache_trace::{CacheAction, CacheTrace};
use super::kills::{FAULTS, Kill, Kills};
use super::latency::{KINDS, LatencyMeasurement, PROBABILITIES, SHOPPERS, across_repetitions, latency_ms};
use super::outcome::ExperimentOutcome;
use super::plots::{self, by_probability};
use super::target::CacheMode;
use crate::drill::{self, Fault};

/// The complete report.
pub(super) fn document(outcome: &ExperimentOutcome) -> Document {
    let mut page = Document::new("Evaluation of the toy store");
    page.conclude(outcome.checks.result(), outcome.verdict(), &outcome.checks);
    page.heading("In short");
    in_short(&mut page, outcome);
    page.heading("Latency by purchase probability");
    latencies(&mut page, outcome);
    page.heading("Benefit of the cache");
    benefit(&mut page, outcome);
    page.heading("What the cache holds");
    cache_trace(&mut page, outcome);
    page.heading("A follower is killed, then the leader");
    kills(&mut page, outcome);
    page.heading("How it was measured");
    how(&mut page, outcome);
    page
}

/// A latency over the repetitions, in milliseconds.
fn latency(
    outcome: &ExperimentOutcome,
    kind: RequestKind,
    probability: u32,
    cache: CacheMode,
    of: fn(&Latency) -> u64,
) -> Option<Spread> {
    across_repetitions(&outcome.measurements, probability, cache, latency_ms(kind, of))
}

/// The kinds of requests with the probabilities for which there are such requests.
fn kinds(probabilities: &[u32]) -> impl Iterator<Item = (RequestKind, &'static str, u32)> {
    let of = move |(kind, name)| probabilities.iter().map(move |probability| (kind, name, *probability));
    KINDS.into_iter().flat_map(of).filter(|(kind, _, probability)| *probability > 0 || *kind == RequestKind::Query)
}

fn in_short(page: &mut Document, outcome: &ExperimentOutcome) {
    let latencies = kinds(&[0, 20, 100]).map(|(kind, name, probability)| {
        let of = |cache| latency(outcome, kind, probability, cache, |latency| latency.p50_us);
        (format!("{name}, {probability} % buy: ms"), CacheMode::ALL.map(of))
    });
    let rates = [0, 100].map(|probability| {
        let rate = |measurement: &LatencyMeasurement| Some(measurement.sessions_per_s());
        let of = |cache| across_repetitions(&outcome.measurements, probability, cache, rate);
        (format!("sessions per second, {probability} % buy"), CacheMode::ALL.map(of))
    });
    page.table(
        Table::of(latencies.chain(rates))
            .text("median (min – max) of the repetitions", |(name, _)| name.clone())
            .number("cache on", |(_, [on, _])| *on)
            .number("cache off", |(_, [_, off])| *off)
            .number("off / on", |(_, [on, off])| on.zip(*off).map(|(on, off)| off.median / on.median)),
    );
    for (kills, fault) in outcome.kills.iter().flat_map(|kills| FAULTS.map(|fault| (kills, fault))) {
        let Some(gap) = Spread::of(of(kills, fault).map(gap_ms)) else { continue };
        let (what, errors) = (title(fault), count(errors(kills, fault)));
        page.text(format!(
            "{what}: no order was acknowledged for {gap} ms (median; min – max). Shoppers saw {errors} errors."
        ));
    }
}

fn title(fault: Fault) -> &'static str {
    match fault {
        Fault::KillLeader => "The leader is killed",
        _ => "A follower is killed",
    }
}

fn of(kills: &Kills, fault: Fault) -> impl Iterator<Item = &Kill> {
    kills.kills.iter().filter(move |kill| kill.event.fault == fault)
}

fn gap_ms(kill: &Kill) -> f64 {
    ms(Duration::from_micros(kill.event.gap_us))
}

fn errors(kills: &Kills, fault: Fault) -> u64 {
    let seen = |kill: &Kill| kill.event.errors.by_kind.values().sum::<u64>() + kill.event.errors.connection_errors;
    of(kills, fault).map(seen).sum()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn latencies(page: &mut Document, outcome: &ExperimentOutcome) {
    let ExperimentOutcome { measurements, size, .. } = outcome;
    page.text(format!(
        "{SHOPPERS} concurrent shoppers. Each reads a random product, orders it with the probability below, and waits for every answer; \
         at the end all orders are looked up. Points are the medians of the p50 of {} repetitions, bars are their range. \
         The measurements with the cache on and off use the same store, through two frontends, in turn.",
        size.repetitions
    ));
    let caches = outcome.caches();
    if outcome.existing.as_ref().is_some_and(|existing| existing.uncached.is_none()) {
        page.text("Only one frontend's address was given: nothing was measured with the cache off.");
    }
    for (kind, name) in KINDS {
        let (file, title) = match kind {
            RequestKind::Query => ("query", "Query: product read, p50"),
            RequestKind::Order => ("buy", "Buy: an order, p50"),
            _ => ("lookup", "Lookup of an order, p50"),
        };
        let description = format!("Median latency ({name}) by purchase probability.");
        let p50 = latency_ms(kind, |latency| latency.p50_us);
        page.figure(file, description, by_probability(measurements, &caches, title, "milliseconds", p50));
    }
    let column = |table: Table<(RequestKind, &'static str, u32)>, head, cache, of: fn(&Latency) -> u64| {
        table.number(head, |(kind, _, probability)| latency(outcome, *kind, *probability, cache, of))
    };
    let [on, off] = CacheMode::ALL;
    let table = Table::of(kinds(&PROBABILITIES)).text("ms", |(_, name, percent)| format!("{name}, {percent} %"));
    let table = column(table, "cache on: p50", on, |latency| latency.p50_us);
    let table = column(table, "cache off: p50", off, |latency| latency.p50_us);
    let table = column(table, "on: p99", on, |latency| latency.p99_us);
    page.table(column(table, "off: p99", off, |latency| latency.p99_us));
}

fn benefit(page: &mut Document, outcome: &ExperimentOutcome) {
    let ExperimentOutcome { measurements, .. } = outcome;
    page.text(
        "A product read that hits the cache needs no request to the catalog. But an order removes its product from the cache before it is \
         acknowledged. So the more shoppers buy, the fewer reads hit the cache; and an order waits until the frontend has confirmed the \
         invalidation.",
    );
    page.figure(
        "sessions",
        "Throughput of five shoppers. A session is a product read and, with the given probability, an order.",
        by_probability(measurements, &outcome.caches(), "Sessions per second, all five shoppers", "per second", |it| {
            Some(it.sessions_per_s())
        }),
    );
    if measurements.iter().any(|measurement| measurement.cache_counts.is_some()) {
        page.figure(
            "hits",
            "Share of product reads that were answered from the cache, from the frontend's metrics.",
            by_probability(
                measurements,
                &[CacheMode::On],
                "Product reads that the cache answers",
                "percent",
                |measurement| Some(100.0 * measurement.cache_counts?.hit_ratio()?),
            ),
        );
    }
    let Some(trace) = &outcome.trace else { return };
    let of = |act| Spread::of(trace.steps.iter().filter(|step| step.action == act).map(|step| ms(step.latency)));
    if let (Some(hit), Some(miss)) = (of(CacheAction::Hit), of(CacheAction::Miss)) {
        page.text(format!(
            "For a single shopper the median latency of a product read is {} ms from the cache and {} ms without it: {} times as long.",
            number(hit.median),
            number(miss.median),
            number(miss.median / hit.median)
        ));
    }
}

fn cache_trace(page: &mut Document, outcome: &ExperimentOutcome) {
    let Some(trace) = &outcome.trace else {
        if outcome.existing.is_none() {
            page.text("The cache was not traced: see above.");
            return;
        }
        page.text("The cache could not be inspected: the frontend's internal port was not given, or the cache is off.");
        return;
    };
    let CacheTrace { capacity, steps, cleared, differences, ended_early, .. } = trace;
    let description = format!(
        "Time runs from left to right; each row is a product. The cache has room for {capacity} products. A read makes a product the most \
         recently used one (darkest); the least recently used one (faintest) is evicted when another is fetched; an order invalidates its product."
    );
    page.figure("cache", description, plots::cache_trace(trace));
    let cleared = match cleared {
        0 => String::new(),
        times => format!(" Its lease expired {times} times, which clears the cache."),
    };
    let checked = format!(
        "After each of {} requests the cache was compared with a model (LRU eviction, invalidation by orders): {differences} differences.{cleared}",
        steps.len()
    );
    if outcome.existing.is_some() {
        page.text(format!("{checked} In a store with other clients, differences are expected."));
    } else {
        let complete = if ended_early.is_none() { CheckResult::Passed } else { CheckResult::NotChecked };
        page.verdict(complete.and(CheckResult::of(*differences == 0)), checked);
    }
}

fn kills(page: &mut Document, outcome: &ExperimentOutcome) {
    let Some(all @ Kills { report, .. }) = &outcome.kills else {
        page.text(match outcome.existing {
            Some(_) => "No process was killed: the store was not started by this experiment.",
            None => "No process was killed: see above.",
        });
        return;
    };
    page.text(format!(
        "A separate store with two frontends, {SHOPPERS} shoppers that order in a closed loop, and some that read. A follower is killed (kill -9) and \
         restarted; after recovery, the leader; and so on. An order that gets no answer, or a retryable error, is sent again with its key \
         until it is answered."
    ));
    let spread = |fault, number: fn(&Kill) -> f64| Spread::of(of(all, fault).map(number));
    page.table(
        Table::of(FAULTS)
            .text("", |fault| title(*fault))
            .number("times", |fault| of(all, *fault).count())
            .number("longest gap, ms", |fault| spread(*fault, gap_ms))
            .number("longest order, ms", |fault| spread(*fault, |kill| ms(kill.longest_order)))
            .number("retries", |fault| of(all, *fault).map(|kill| kill.retries).sum::<u64>())
            .number("errors", |fault| errors(all, *fault)),
    );
    page.text(
        "The gap is the longest time without an acknowledged order, from the kill until the store has recovered. Retries are attempts that got no \
         answer or a retryable error; errors are unsuccessful answers and broken connections.",
    );
    for (fault, name) in FAULTS.into_iter().zip(["kill-follower", "kill-leader"]) {
        let mut these: Vec<_> = of(all, fault).collect();
        these.sort_by_key(|kill| kill.event.gap_us);
        if let Some(middle) = these.get(these.len() / 2) {
            let Kill { round, .. } = middle;
            let gap = number(gap_ms(middle));
            let description =
                format!("Round {round}, which has the median gap: {gap} ms without an acknowledged order.");
            page.figure(name, description, plots::kill(middle, title(fault)));
        }
    }
    drill::timelines(page, report);
    page.verdict(report.checks.result(), report.verdict());
    page.facts("at the end", report.facts());
}

fn how(page: &mut Document, outcome: &ExperimentOutcome) {
    let ExperimentOutcome { machine, size, seed, elapsed, existing, .. } = outcome;
    page.facts("machine", machine.facts());
    let store = existing.as_ref().map_or_else(
        || "a store of real processes: a catalog, three order replicas, two frontends".to_owned(),
        |existing| format!("the store at {}", existing.frontend),
    );
    page.text(format!(
        "Shoppers and store share the machine, and communicate over the loopback interface. What was measured is {store}. Each combination of \
         probability and cache setting was measured {} times for {} s, in a random order, with the cache on and off in turn. Seed {seed}. The \
         whole experiment took {} s. {} requests failed permanently while latencies were measured.",
        size.repetitions,
        size.length.as_secs_f64(),
        elapsed.as_secs(),
        outcome.failed()
    ));
    page.text(
        "A latency is the time from the first attempt of a request to its answer, as the shopper sees it. Because each shopper waits for its \
         answer (a closed loop), a slow store gets fewer requests; to measure latencies at a given rate, use `toystore load`.",
    );
    page.code(
        "toystore experiment            # about a quarter of an hour\ntoystore experiment --quick    # a minute or two",
    );
}
