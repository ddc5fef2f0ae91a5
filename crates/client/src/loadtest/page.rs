//! Describes the report: what it says, in which order, with which plots.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use hdrhistogram::Histogram;
use report::{Annotation, Axis, CheckResult, Document, Plot, Scale, Series, Table, count, number};
use workload::RequestKind;
use workload::load::{LoadInterval, LoadModel, LoadPlan, Visit};

use super::report::{LoadReport, Quantiles, RequestReport, StageReport};

/// The maximum number of points of a line; longer series are aggregated.
const POINTS_MAX: usize = 300;

/// Shorter intervals at the end are not plotted: their rates mean nothing.
const INTERVAL_MIN: Duration = Duration::from_millis(500);

impl Display for LoadReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        document(self).fmt(f)
    }
}

/// The report.
pub(super) fn document(report: &LoadReport) -> Document {
    let LoadReport { plan, intervals, .. } = report;
    let mut page = Document::new(format!("Load test of {}", plan.targets[0]));
    page.conclude(report.check_result(), report.verdict(), &report.checks);
    let thresholds = Table::of(&report.thresholds).text("threshold", |it| &it.threshold);
    page.table(thresholds.text("", |it| it.word()).text("measured", |it| it.value()));
    match &report.verification {
        Some(verification) => page.verdict(verification.checks().result(), verification.to_string()),
        None => page.verdict(CheckResult::NotChecked, "orders were not verified: the check was turned off"),
    }
    page.heading("Latency and requests by stage");
    stages(&mut page, report);
    page.text(
        "Milliseconds from when a request was due, including the wait for a free connection. Requests that timed out \
         count with their timeout. Stages in parentheses do not count.",
    );
    if let Some(gap_ms) = report.longest_ack_gap_ms {
        page.text(format!("The longest time without an acknowledged order was {} ms.", count(gap_ms)));
    }
    page.heading("Over time");
    for kind in RequestKind::OF_A_VISIT.into_iter().filter(|kind| has(intervals, *kind)) {
        let description =
            format!("{kind}: the median, 90th and 99th percentile, and maximum of the latencies in each second.");
        page.figure(&format!("{kind}-latency"), description, latency_plot(kind, plan, intervals));
    }
    page.figure(
        "rate",
        "The requests that were done and that failed in each second, and the wanted rate of visits.",
        rate_plot(plan, intervals),
    );
    page.heading("Distribution");
    page.figure(
        "distribution",
        "The latency by percentile. The few slow requests are on the right; they are the ones that people remember.",
        distribution_plot(report),
    );
    page.heading("How it was measured");
    how(&mut page, report);
    if let Some(why) = &report.unwritten {
        page.text(format!("The files of the report could not be written: {why}"));
    }
    page
}

fn stages(page: &mut Document, report: &LoadReport) {
    let several = report.stages.iter().filter(|stage| stage.counted).count() > 1;
    let all = report.stages.iter().chain(several.then_some(&report.counted));
    let requests: Vec<_> = all.flat_map(|stage| stage.requests.iter().map(move |request| (stage, request))).collect();
    page.table(
        by_request(&requests)
            .number("done", |(_, it)| it.done)
            .number("done/s", |(_, it)| it.done_per_s)
            .number("sold out", |(_, it)| it.sold_out)
            .number("failed", |(_, it)| it.failed())
            .ms(Quantiles::NAMES, |(_, it)| it.latency.values_us()),
    );
    let failed: Vec<_> = requests.into_iter().filter(|(_, it)| it.failed() > 0).collect();
    page.table(
        by_request(&failed)
            .number("failed", |(_, it)| it.failed())
            .number("refused for now", |(_, it)| it.refused)
            .number("timed out", |(_, it)| it.timed_out)
            .number("connection errors", |(_, it)| it.connection_errors)
            .number("other", |(_, it)| it.other),
    );
    for StageReport { name, unsent, .. } in report.stages.iter().filter(|stage| stage.unsent > 0) {
        let unsent = count(*unsent);
        page.text(format!("{name}: {unsent} visits were due, but never begun, because no connection was free."));
    }
}

type StageRequest<'a> = (&'a StageReport, &'a RequestReport);

fn by_request<'a>(requests: &[StageRequest<'a>]) -> Table<StageRequest<'a>> {
    Table::of(requests.iter().copied()).text("stage", |(stage, _)| stage.label()).text("request", |(_, it)| it.request)
}

fn has(intervals: &[LoadInterval], kind: RequestKind) -> bool {
    intervals.iter().any(|interval| interval.stats.of(kind).sent() > 0)
}

/// Aggregates intervals, so that there are few enough to draw.
fn points(intervals: &[LoadInterval]) -> Vec<LoadInterval> {
    let per_point = intervals.len().div_ceil(POINTS_MAX).max(1);
    let aggregate = |chunk: &[LoadInterval]| {
        let mut point = chunk[0].clone();
        chunk[1..].iter().for_each(|interval| point.stats.merge(&interval.stats));
        point
    };
    let plotted: Vec<_> =
        intervals.iter().filter(|interval| interval.stats.measured >= INTERVAL_MIN).cloned().collect();
    plotted.chunks(per_point).map(aggregate).collect()
}

fn annotations(plan: &LoadPlan) -> Vec<Annotation> {
    let mut begin = Duration::ZERO;
    let annotation = |stage: &workload::load::Stage| {
        let annotation = Annotation { x: begin.as_secs_f64(), label: stage.name.clone() };
        begin += stage.length;
        annotation
    };
    plan.stages.iter().map(annotation).collect()
}

fn in_ms(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64() * 1e3
}

fn middle(interval: &LoadInterval) -> f64 {
    (interval.begin + interval.stats.measured / 2).as_secs_f64()
}

fn time_axis(plan: &LoadPlan) -> Axis {
    Axis { range: Some(0.0..plan.length().as_secs_f64()), ..Axis::new("seconds", Scale::Linear) }
}

fn latency_plot(kind: RequestKind, plan: &LoadPlan, intervals: &[LoadInterval]) -> Plot {
    let points = points(intervals);
    let series = [("max", 1.0), ("p99", 0.99), ("p90", 0.9), ("p50", 0.5)].map(|(name, quantile)| {
        let waited =
            points.iter().map(|interval| (interval, &interval.stats.of(kind).waited)).filter(|(_, it)| it.count() > 0);
        let at = |histogram: &Histogram<u64>| in_ms(histogram.value_at_quantile(quantile));
        Series::line(name, waited.map(|(interval, it)| (middle(interval), at(it.histogram()))).collect())
    });
    Plot {
        title: format!("Latency, {kind}"),
        x: time_axis(plan),
        y: Axis::new("milliseconds", Scale::Log),
        series: series.to_vec(),
        annotations: annotations(plan),
    }
}

fn rate_plot(plan: &LoadPlan, intervals: &[LoadInterval]) -> Plot {
    let points = points(intervals);
    let rate = |count: &dyn Fn(&LoadInterval) -> u64| {
        points.iter().map(|interval| (middle(interval), interval.stats.per_second(count(interval)))).collect()
    };
    let done = RequestKind::OF_A_VISIT
        .into_iter()
        .filter(|kind| has(intervals, *kind))
        .map(|kind| Series::line(format!("{kind}: done"), rate(&|interval| interval.stats.of(kind).done.count())));
    let failed = Series::line("failed", rate(&|interval| interval.stats.all().failed()));
    let wanted =
        points.iter().filter_map(|interval| Some((middle(interval), interval.wanted_per_s?))).collect::<Vec<_>>();
    let wanted = (!wanted.is_empty()).then(|| Series::line("visits wanted", wanted));
    Plot {
        title: "Requests per second".into(),
        x: time_axis(plan),
        y: Axis::new("per second", Scale::Linear),
        series: done.chain([failed]).chain(wanted).collect(),
        annotations: annotations(plan),
    }
}

/// The x axis counts nines: 0 is none of the requests, 1 is 90 % of them, 2 is 99 %.
fn distribution_plot(report: &LoadReport) -> Plot {
    let kinds = RequestKind::OF_A_VISIT.into_iter().filter(|kind| report.stats.of(*kind).waited.count() > 0);
    let series = kinds.flat_map(|kind| {
        let waited = &report.stats.of(kind).waited;
        let since_due = Series::line(format!("{kind}"), nines(waited.histogram()));
        let since_sent = Series::line(format!("{kind}, from when it was sent"), nines(waited.histogram_since_sent()));
        [since_due, since_sent]
    });
    Plot {
        title: "Latency by percentile".into(),
        x: Axis { format_tick: percentile, ..Axis::new("percent of the requests", Scale::Linear) },
        y: Axis::new("milliseconds", Scale::Log),
        series: series.collect(),
        annotations: Vec::new(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^53")]
fn nines(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let most = (histogram.len() as f64).log10();
    let steps = (0..=100).map(|step| most * f64::from(step) / 100.0);
    steps.map(|nines| (nines, in_ms(histogram.value_at_quantile(1.0 - 10_f64.powf(-nines))))).collect()
}

fn percentile(nines: f64) -> String {
    if nines.fract() > 1e-9 {
        return String::new();
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a handful of nines")]
    match nines as usize {
        0 => "0".into(),
        1 => "90".into(),
        2 => "99".into(),
        more => format!("99.{}", "9".repeat(more - 2)),
    }
}

fn how(page: &mut Document, report: &LoadReport) {
    let plan = &report.plan;
    page.table(
        Table::of(&plan.stages)
            .text("stage", |it| it.name.clone())
            .number("seconds", |it| it.length.as_secs_f64())
            .text("load", |it| load(it.model))
            .text("counts", |it| if it.counted { "yes" } else { "no" }),
    );
    let visit = match plan.visit {
        Visit::ReadThenOrder { purchase_probability } => {
            format!("a product read and, with probability {purchase_probability}, an order for the product")
        }
        Visit::OneRequest { order_share } => {
            format!("one request: with probability {order_share} an order, otherwise a product read")
        }
    };
    let connections = if plan.keep_alive { "kept open" } else { "one request each" };
    let targets = plan.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    page.text(format!(
        "A visit is {visit}. {} products, popularity {}. {} connections to {targets}, {connections}. Request timeout: {} ms. Seed {}.",
        plan.products.len(), plan.popularity, plan.connections, plan.request_timeout.as_millis(), report.seed
    ));
    if let Some(cores) = report.generator_cores {
        page.text(format!("The load test itself used {} cores.", number(cores)));
    }
}

fn load(model: LoadModel) -> String {
    match model {
        LoadModel::Closed { shoppers } => format!("{shoppers} shoppers, each waiting for its response"),
        LoadModel::Open { from_per_s, to_per_s } if from_per_s.total_cmp(&to_per_s).is_eq() => {
            format!("{from_per_s} visits/s")
        }
        LoadModel::Open { from_per_s, to_per_s } => format!("{from_per_s} to {to_per_s} visits/s"),
    }
}
