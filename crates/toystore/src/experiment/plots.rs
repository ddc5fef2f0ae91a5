//! Draws the plots of the report.

use api::ProductName;
use report::{
    Annotation, Axis, ErrorBar, Plot, Scale, Series, SeriesStyle, Spread, Timeline, TimelineEvent, TimelineInterval,
};

use super::cache_trace::{CacheAction, CacheTrace, TraceStep};
use super::kills::{Kill, STEP_MS};
use super::latency::{LatencyMeasurement, PROBABILITIES, across_repetitions};
use super::target::CacheMode;

/// Number of steps of the trace that are drawn: as many as can be distinguished.
pub(super) const STEPS_DRAWN: usize = 64;

/// Horizontal offset of the two cache settings in percentage points, so that their error bars do
/// not overlap.
const X_OFFSET: f64 = 0.7;

/// A number by purchase probability, with a series for each of `caches`.
pub(super) fn by_probability(
    measurements: &[LatencyMeasurement],
    caches: &[CacheMode],
    title: &str,
    unit: &str,
    number: impl Fn(&LatencyMeasurement) -> Option<f64>,
) -> Plot {
    let number = |probability, cache| across_repetitions(measurements, probability, cache, &number);
    let series = caches.iter().map(|cache| {
        let offset = match caches.len() {
            1 => 0.0,
            _ if *cache == CacheMode::On => -X_OFFSET,
            _ => X_OFFSET,
        };
        let measured = PROBABILITIES.into_iter().filter_map(|it| Some((f64::from(it) + offset, number(it, *cache)?)));
        let measured: Vec<_> = measured.collect();
        let error_bar = |(x, it): &(f64, Spread)| ErrorBar { x: *x, low: it.min, high: it.max };
        Series {
            name: cache.name().into(),
            points: measured.iter().map(|(x, it)| (*x, it.median)).collect(),
            style: SeriesStyle::LineWithPoints,
            error_bars: measured.iter().map(error_bar).collect(),
        }
    });
    Plot {
        title: title.into(),
        x: Axis { range: Some(-4.0..104.0), ..Axis::new("purchase probability, percent", Scale::Linear) },
        y: Axis::new(unit, Scale::Linear),
        series: series.collect(),
        annotations: Vec::new(),
    }
}

/// The first steps of a trace, one row per product.
#[expect(clippy::cast_precision_loss, reason = "a few steps and products")]
pub(super) fn cache_trace(trace: &CacheTrace) -> Timeline {
    let steps = &trace.steps[..trace.steps.len().min(STEPS_DRAWN)];
    let mut rows: Vec<_> = steps.iter().flat_map(|step| step.contents.iter().chain([&step.product])).collect();
    rows.sort();
    rows.dedup();
    let row = |product: &ProductName| rows.binary_search_by(|it| (*it).cmp(product)).expect("each product has a row");
    let mut intervals = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        for (rank, product) in step.contents.iter().enumerate() {
            let intensity = 1.0 - rank as f64 / trace.capacity.max(2) as f64;
            // From this request to the next one.
            intervals.push(TimelineInterval { row: row(product), from: n as f64, to: n as f64 + 1.0, intensity });
        }
    }
    let kinds = [CacheAction::Hit, CacheAction::Miss, CacheAction::Buy];
    let event = |(n, step): (usize, &TraceStep)| {
        let kind = kinds.iter().position(|kind| *kind == step.action).expect("`kinds` has every action");
        TimelineEvent { row: row(&step.product), at: n as f64, kind }
    };
    Timeline {
        title: "What the cache holds".into(),
        x_label: "requests of one shopper".into(),
        x: 0.0..STEPS_DRAWN as f64,
        rows: rows.iter().map(ToString::to_string).collect(),
        shades: Vec::new(),
        interval_label: "in the cache; the fainter, the sooner it is evicted".into(),
        intervals,
        event_kinds: kinds.map(|kind| kind.name().to_owned()).to_vec(),
        events: steps.iter().enumerate().map(event).collect(),
    }
}

/// The acknowledged orders around one kill.
#[expect(clippy::cast_precision_loss, reason = "milliseconds and counts are small")]
pub(super) fn kill(kill: &Kill, title: &str) -> Plot {
    let points = kill.acknowledged.iter().map(|(from_ms, count)| (*from_ms as f64, *count as f64));
    let (first, last) = kill.acknowledged.first().zip(kill.acknowledged.last()).expect("a kill has steps");
    Plot {
        title: title.into(),
        x: Axis {
            range: Some(first.0 as f64..last.0 as f64),
            format_tick: |ms| format!("{ms:.0}"),
            ..Axis::new("milliseconds after the kill", Scale::Linear)
        },
        y: Axis::new(&format!("orders acknowledged per {STEP_MS} ms"), Scale::Linear),
        series: vec![Series::line("orders", points.collect())],
        annotations: vec![Annotation { x: 0.0, label: "kill -9".into() }],
    }
}
