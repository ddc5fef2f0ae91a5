//! What was measured, as pictures.

use api::ProductName;
use client::RequestKind;
use report::{Axis, Cell as Filled, Dot, Look, Mark, Plot, Raster, Scale, Series, Spread};

use super::contents::{Act, Trace};
use super::kills::{Kill, STEP_MS};
use super::latency::{Cell, PROBABILITIES, latency_ms, over};
use super::repeated::Repeated;
use super::shop::Cache;

/// Steps of the trace that are drawn: as many as can be told apart.
pub(super) const STEPS_DRAWN: usize = 64;

/// The two settings of the cache stand so far beside each other, in percent points, so that their spreads can be told apart.
const BESIDE: f64 = 0.7;

/// p50 of one kind of request.
pub(super) fn latency(kind: RequestKind, title: &str, cells: &[Cell], caches: &[Cache]) -> String {
    let number = latency_ms(kind, |latency| latency.p50_us);
    by_probability(title, "milliseconds", caches, |probability, cache| over(cells, probability, cache, &number))
}

/// Sessions per second.
pub(super) fn sessions(cells: &[Cell], caches: &[Cache]) -> String {
    let number = |cell: &Cell| Some(cell.sessions_per_s());
    by_probability("Sessions per second, all five shoppers", "per second", caches, |probability, cache| {
        over(cells, probability, cache, number)
    })
}

/// Looks that the cache could answer.
pub(super) fn hits(cells: &[Cell]) -> String {
    let percent = |cell: &Cell| Some(100.0 * cell.looks?.hit_ratio()?);
    by_probability("Looks that the cache answers", "percent", &[Cache::On], |probability, cache| {
        over(cells, probability, cache, percent)
    })
}

fn by_probability(
    title: &str,
    unit: &str,
    caches: &[Cache],
    number: impl Fn(u32, Cache) -> Option<Repeated>,
) -> String {
    let series = caches.iter().map(|cache| {
        let beside = match caches.len() {
            1 => 0.0,
            _ if *cache == Cache::On => -BESIDE,
            _ => BESIDE,
        };
        let measured = PROBABILITIES.into_iter().filter_map(|it| Some((f64::from(it) + beside, number(it, *cache)?)));
        let measured: Vec<_> = measured.collect();
        let spread = |(x, it): &(f64, Repeated)| Spread { x: *x, low: it.least, high: it.most };
        Series {
            name: cache.name().into(),
            points: measured.iter().map(|(x, it)| (*x, it.median)).collect(),
            look: Look::Dotted,
            spreads: measured.iter().map(spread).collect(),
        }
    });
    Plot {
        title: title.into(),
        x: Axis { range: Some(-4.0..104.0), ..Axis::new("purchase probability, percent", Scale::Linear) },
        y: Axis::new(unit, Scale::Linear),
        series: series.collect(),
        marks: Vec::new(),
    }
    .svg()
}

/// The first steps of a trace, row by product.
#[expect(clippy::cast_precision_loss, reason = "a few steps and products")]
pub(super) fn contents(trace: &Trace) -> String {
    let steps = &trace.steps[..trace.steps.len().min(STEPS_DRAWN)];
    let mut rows: Vec<_> = steps.iter().flat_map(|step| step.contents.iter().chain([&step.product])).collect();
    rows.sort();
    rows.dedup();
    let row = |product: &ProductName| rows.binary_search_by(|it| (*it).cmp(product)).expect("each product has a row");
    let mut cells = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        for (rank, product) in step.contents.iter().enumerate() {
            let strength = 1.0 - rank as f64 / trace.capacity.max(2) as f64;
            // From this step's request to the next one's.
            cells.push(Filled { row: row(product), from: n as f64, to: n as f64 + 1.0, strength });
        }
    }
    let kinds = [Act::Hit, Act::Miss, Act::Buy];
    let dot = |(n, step): (usize, &super::contents::Step)| {
        let kind = kinds.iter().position(|kind| *kind == step.act).expect("all kinds are there");
        Dot { row: row(&step.product), at: n as f64, kind }
    };
    Raster {
        title: "What the cache holds".into(),
        x_label: "requests of one shopper".into(),
        x_max: STEPS_DRAWN as f64,
        rows: rows.iter().map(ToString::to_string).collect(),
        filled: "in the cache; the fainter, the sooner it gives way".into(),
        cells,
        kinds: kinds.map(|kind| kind.name().to_owned()).to_vec(),
        dots: steps.iter().enumerate().map(dot).collect(),
    }
    .svg()
}

/// Acknowledged orders around one kill.
#[expect(clippy::cast_precision_loss, reason = "milliseconds and counts are small")]
pub(super) fn kill(kill: &Kill, title: &str) -> String {
    let points = kill.acknowledged.iter().map(|(from_ms, count)| (*from_ms as f64, *count as f64));
    let (first, last) = kill.acknowledged.first().zip(kill.acknowledged.last()).expect("there are steps");
    Plot {
        title: title.into(),
        x: Axis {
            range: Some(first.0 as f64..last.0 as f64),
            tick: |ms| format!("{ms:.0}"),
            ..Axis::new("milliseconds after the kill", Scale::Linear)
        },
        y: Axis::new(&format!("orders acknowledged per {STEP_MS} ms"), Scale::Linear),
        series: vec![Series::line("orders", points.collect())],
        marks: vec![Mark { x: 0.0, label: "kill -9".into() }],
    }
    .svg()
}
