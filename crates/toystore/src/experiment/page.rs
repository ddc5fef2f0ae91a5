//! The report as a document.

use std::time::Duration;

use client::RequestKind;
use report::Document;

use super::contents::{Act, Trace};
use super::kills::{FAULTS, Kill, Kills};
use super::latency::{Cell, KINDS, PROBABILITIES, SHOPPERS, latency_ms, over};
use super::outcome::Outcome;
use super::plots;
use super::repeated::{Repeated, or_dash};
use super::shop::Cache;
use crate::drill::Fault;

/// All of it.
pub(super) fn document(outcome: &Outcome) -> Document {
    let mut page = Document::new("Evaluation of the toy store");
    page.verdict(outcome.is_clean(), outcome.verdict());
    for line in &outcome.broken {
        page.verdict(false, line);
    }
    page.heading("In short");
    in_short(&mut page, outcome);
    page.heading("Latency by purchase probability");
    latencies(&mut page, outcome);
    page.heading("What the cache brings");
    benefit(&mut page, outcome);
    page.heading("What the cache holds");
    contents(&mut page, outcome);
    page.heading("A replica dies, and then the leader");
    kills(&mut page, outcome);
    page.heading("How it was measured");
    how(&mut page, outcome);
    page
}

/// p50, in milliseconds.
fn p50(cells: &[Cell], kind: RequestKind, probability: u32, cache: Cache) -> Option<Repeated> {
    over(cells, probability, cache, latency_ms(kind, |latency| latency.p50_us))
}

fn in_short(page: &mut Document, outcome: &Outcome) {
    let Outcome { cells, .. } = outcome;
    let row = |name: String, number: &dyn Fn(Cache) -> Option<Repeated>| {
        let [on, off] = Cache::ALL.map(number);
        let ratio = on.zip(off).map(|(on, off)| format!("{:.2}", off.median / on.median));
        [name, or_dash(on), or_dash(off), or_dash(ratio)]
    };
    let mut rows = Vec::new();
    for (kind, name) in KINDS {
        for probability in [0, 20, 100].into_iter().filter(|it| *it > 0 || kind == RequestKind::Query) {
            let name = format!("{name}, {probability} % buy: ms");
            rows.push(row(name, &|cache| p50(cells, kind, probability, cache)));
        }
    }
    for probability in [0, 100] {
        let name = format!("sessions per second, {probability} % buy");
        rows.push(row(name, &|cache| over(cells, probability, cache, |cell| Some(cell.sessions_per_s()))));
    }
    page.table(["median (least – most) of the repetitions", "cache on", "cache off", "off / on"], rows);
    for (kills, fault) in outcome.kills.iter().flat_map(|kills| FAULTS.map(|fault| (kills, fault))) {
        let Some(gap) = Repeated::of(of(kills, fault).map(gap_ms)) else { continue };
        let (what, errors) = (title(fault), errors(kills, fault));
        page.text(format!(
            "{what}: no order was acknowledged for {gap:.1} ms (median; least – most). Shoppers saw {errors} errors."
        ));
    }
}

fn title(fault: Fault) -> &'static str {
    match fault {
        Fault::KillLeader => "The leader is killed",
        _ => "A replica that does not lead is killed",
    }
}

fn of(kills: &Kills, fault: Fault) -> impl Iterator<Item = &Kill> {
    kills.kills.iter().filter(move |kill| kill.event.fault == fault)
}

fn gap_ms(kill: &Kill) -> f64 {
    ms(Duration::from_micros(kill.event.gap_us))
}

fn errors(kills: &Kills, fault: Fault) -> u64 {
    let seen = |kill: &Kill| kill.event.seen.errors.values().sum::<u64>() + kill.event.seen.connection_errors;
    of(kills, fault).map(seen).sum()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn latencies(page: &mut Document, outcome: &Outcome) {
    let Outcome { cells, size, .. } = outcome;
    page.text(format!(
        "{SHOPPERS} shoppers at the same time, each waiting for its answers: a look at a random product, and with the probability below an order \
         for it; in the end every order is looked up. Points are medians of {} repetitions' p50, bars go from the least to the most of them. \
         With the cache on and off the same store is asked, through two frontends, in turn.",
        size.repetitions
    ));
    let caches = outcome.caches();
    if caches.len() == 1 {
        page.text("Only one frontend's address was given: with the cache off nothing was measured.");
    }
    for (kind, name) in KINDS {
        let (file, title) = match kind {
            RequestKind::Query => ("query", "Query: a look at a product, p50"),
            RequestKind::Order => ("buy", "Buy: an order, p50"),
            _ => ("lookup", "Look an order up, p50"),
        };
        let description =
            format!("How long half of the requests took at most ({name}), by how many of the shoppers buy.");
        page.figure(file, description, plots::latency(kind, title, cells, &caches));
    }
    let mut rows = Vec::new();
    for (kind, name) in KINDS {
        for probability in PROBABILITIES.into_iter().filter(|it| *it > 0 || kind == RequestKind::Query) {
            let p99 = |cache| over(cells, probability, cache, latency_ms(kind, |latency| latency.p99_us));
            let [p50_on, p50_off] = Cache::ALL.map(|cache| p50(cells, kind, probability, cache));
            let [p99_on, p99_off] = Cache::ALL.map(p99);
            let text = |it: Option<Repeated>| or_dash(it.map(|it| format!("{it:.3}")));
            rows.push([format!("{name}, {probability} %"), text(p50_on), text(p50_off), text(p99_on), text(p99_off)]);
        }
    }
    page.table(["ms", "cache on: p50", "cache off: p50", "on: p99", "off: p99"], rows);
}

fn benefit(page: &mut Document, outcome: &Outcome) {
    let Outcome { cells, .. } = outcome;
    page.text(
        "A look that the cache answers costs no trip to the catalog. But a product that somebody buys is taken out of the cache before the order is \
         acknowledged, so the more is bought, the less is found in it; and an order waits until the frontend has confirmed that.",
    );
    page.figure(
        "sessions",
        "What five shoppers get done. A session is a look and perhaps an order.",
        plots::sessions(cells, &outcome.caches()),
    );
    if cells.iter().any(|cell| cell.looks.is_some()) {
        page.figure(
            "hits",
            "The share of looks that were answered from the cache, as the frontend counts.",
            plots::hits(cells),
        );
    }
    let Some(trace) = &outcome.trace else { return };
    let of = |act| Repeated::of(trace.steps.iter().filter(|step| step.act == act).map(|step| ms(step.latency)));
    if let (Some(hit), Some(miss)) = (of(Act::Hit), of(Act::Miss)) {
        page.text(format!(
            "One shopper alone waited {:.3} ms (median) for a look that was answered from the cache, and {:.3} ms for one that was not: {:.1} times \
             as long.",
            hit.median,
            miss.median,
            miss.median / hit.median
        ));
    }
}

fn contents(page: &mut Document, outcome: &Outcome) {
    let Some(trace) = &outcome.trace else {
        page.text("Nobody could look into the cache: its frontend's internal port was not given, or it is off.");
        return;
    };
    let Trace { capacity, steps, cleared, differences, .. } = trace;
    let description = format!(
        "Time goes from left to right, a row is a product. Of the products of the catalog {capacity} fit. Whatever is looked at becomes \
         strong; what was longest not looked at is faintest, and gives way to the next one that is fetched; what is bought is gone."
    );
    page.figure("cache", description, plots::contents(trace));
    let cleared = match cleared {
        0 => String::new(),
        times => format!(" Its lease ran out {times} times, which empties it."),
    };
    let judged = format!(
        "After each of {} requests the cache was compared with a model of it (least recently used goes first; bought is gone): {differences} differences.{cleared}",
        steps.len()
    );
    if outcome.given.is_some() {
        page.text(format!("{judged} In a store that others use, too, differences are to be expected."));
    } else {
        page.verdict(*differences == 0, judged);
    }
}

fn kills(page: &mut Document, outcome: &Outcome) {
    let Some(all @ Kills { report, .. }) = &outcome.kills else {
        page.text("Nothing was killed: the store is somebody else's.");
        return;
    };
    page.text(format!(
        "A store of its own with two frontends, {SHOPPERS} shoppers who order as fast as they are answered, and some who look. A replica that does \
         not lead is killed (kill -9) and started again; when all is well, the leader; and so on. An order that is not answered, or refused \
         for now, is sent again with its key until it is answered."
    ));
    let rows = FAULTS.map(|fault| {
        let these: Vec<_> = of(all, fault).collect();
        let over = |number: &dyn Fn(&Kill) -> f64| Repeated::of(these.iter().map(|kill| number(kill)));
        let text = |it: Option<Repeated>| or_dash(it.map(|it| format!("{it:.1}")));
        [
            title(fault).to_owned(),
            these.len().to_string(),
            text(over(&gap_ms)),
            text(over(&|kill| ms(kill.longest_order))),
            these.iter().map(|kill| kill.repeated).sum::<u64>().to_string(),
            errors(all, fault).to_string(),
        ]
    });
    page.table(["", "times", "longest gap, ms", "longest order, ms", "repeated", "errors"], rows);
    page.text(
        "The gap is the longest time without an acknowledged order, from the kill until the store was whole again. Repeated are tries at orders that got no answer,          or were refused for now; errors are answers other than success, and connections that broke.",
    );
    for (fault, name) in FAULTS.into_iter().zip(["kill-follower", "kill-leader"]) {
        let mut these: Vec<_> = of(all, fault).collect();
        these.sort_by_key(|kill| kill.event.gap_us);
        if let Some(middle) = these.get(these.len() / 2) {
            let Kill { round, .. } = middle;
            let gap = gap_ms(middle);
            let description =
                format!("Round {round}, whose gap is the middle one: {gap:.1} ms without an acknowledged order.");
            page.figure(name, description, plots::kill(middle, title(fault)));
        }
    }
    let same = if report.ledgers_identical {
        "are the same bytes on all replicas"
    } else {
        "ARE NOT THE SAME on all replicas"
    };
    let counts = &report.counts;
    page.verdict(
        report.is_clean() && report.ledgers_identical,
        format!(
            "In the end the ledgers {same}: of {} acknowledged orders {} are lost, {} are there twice; {} of {} reads were stale; {} pieces \
             of stock are missing.",
            counts.acknowledged,
            counts.lost,
            counts.duplicated,
            counts.stale_reads,
            counts.product_reads,
            counts.leaked_pieces
        ),
    );
}

fn how(page: &mut Document, outcome: &Outcome) {
    let Outcome { machine, size, seed, elapsed, given, .. } = outcome;
    page.table(["machine", ""], machine.rows());
    let store = given.as_ref().map_or_else(
        || "a store of its own, of real processes: a catalog, three order replicas, two frontends".to_owned(),
        |given| format!("the store at {}", given.front),
    );
    page.text(format!(
        "Shoppers and store share the machine, and speak over the loopback interface. What was measured is {store}. Each combination of probability and cache was measured {} \
         times for {} s, in a random order, with the cache on and off in turn. Seed {seed}. All of it took {} s. {} requests failed for good while \
         latencies were measured.",
        size.repetitions,
        size.length.as_secs_f64(),
        elapsed.as_secs(),
        outcome.failed()
    ));
    page.text(
        "A latency goes from the first try of a request to its answer, as the shopper sees it. Since each shopper waits for its answer, a slow store \
         is asked less often; for latencies under a given load there is `toystore load`.",
    );
    page.code(
        "toystore experiment            # about a quarter of an hour\ntoystore experiment --quick    # a minute or two",
    );
}
