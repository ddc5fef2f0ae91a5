//! The report as a page with plots.

use std::time::Duration;

use hdrhistogram::Histogram;
use report::{Axis, Document, Look, Mark, Plot, Scale, Series};

use super::Report;
use super::report::{Quantiles, RequestReport, StageReport, in_ms};
use crate::load::{Kind, Pace, Plan, Second, Visit};

/// Points of a line over time; more are put together.
const POINTS_MAX: usize = 300;

/// What is shorter is no second.
const WHOLE: Duration = Duration::from_millis(500);

/// Everything on one page.
pub(super) fn document(report: &Report, plan: &Plan, seconds: &[Second]) -> Document {
    let mut page = Document::new(format!("Load test of {}", plan.targets[0]));
    page.verdict(report.exit_code() == service::lifecycle::ExitCode::Ok, sentence(report.verdict()));
    let thresholds = report.thresholds.iter().map(|judged| {
        let measured = judged.measured.map_or("nothing".into(), |measured| format!("{measured:.3}"));
        [judged.threshold.to_string(), measured, if judged.kept { "kept".into() } else { "MISSED".into() }]
    });
    if !report.thresholds.is_empty() {
        page.table(["threshold", "measured (ms, %, /s)", ""], thresholds);
    }
    if let Some(reckoning) = &report.reckoning {
        page.verdict(!reckoning.is_broken() && reckoning.is_complete(), sentence(&reckoning.to_string()));
    }
    page.heading("Latency and requests by stage");
    page.text(
        "Milliseconds from when a request was due: the wait for a free connection is part of it. Requests that were not answered count with the \
         time for which they were waited for. Stages in parentheses do not count.",
    );
    stages(&mut page, report);
    page.heading("Over time");
    for kind in Kind::ALL.into_iter().filter(|kind| has(seconds, *kind)) {
        let description =
            format!("{kind}: what half, 90 % and 99 % of the requests of each second waited at most, and the longest.");
        page.figure(&format!("{kind}-latency"), description, latency_plot(kind, plan, seconds));
    }
    page.figure(
        "rate",
        "What was done and what failed in each second, and the visits that were wanted.",
        rate_plot(plan, seconds),
    );
    page.heading("Distribution");
    page.figure(
        "distribution",
        "How long the fastest so many percent took. To the right are the few that are slow; they are the ones that people remember.",
        distribution_plot(report),
    );
    page.heading("How it was measured");
    how(&mut page, report, plan);
    page
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn stages(page: &mut Document, report: &Report) {
    let several = report.stages.iter().filter(|stage| stage.counted).count() > 1;
    let all = report.stages.iter().chain(several.then_some(&report.counted));
    let rows = all.flat_map(|stage| stage.requests.iter().map(move |request| row(stage, request)));
    let head = ["stage", "request", "done", "done/s", "sold out", "failed", "p50", "p90", "p99", "p99.9", "max"];
    page.table(head, rows);
    for stage in &report.stages {
        let failures = stage.requests.iter().filter(|it| it.refused + it.other + it.silent + it.broken > 0);
        for RequestReport { request, refused, other, silent, broken, .. } in failures {
            page.text(format!(
                "{}: of the failed requests ({request}), {refused} were refused for now, {silent} not answered in time, {broken} broke with \
                 their connection, {other} got another status.",
                stage.name
            ));
        }
        if stage.unsent > 0 {
            page.text(format!(
                "{}: {} visits were due and never begun, for lack of a free connection.",
                stage.name, stage.unsent
            ));
        }
    }
}

fn row(stage: &StageReport, request: &RequestReport) -> [String; 11] {
    let name = if stage.counted { stage.name.clone() } else { format!("({})", stage.name) };
    let failed = request.refused + request.other + request.silent + request.broken;
    let Quantiles { p50_us, p90_us, p99_us, p999_us, max_us, .. } = request.latency;
    let [p50, p90, p99, p999, max] = [p50_us, p90_us, p99_us, p999_us, max_us].map(|us| format!("{:.2}", in_ms(us)));
    let done_per_s = format!("{:.1}", request.done_per_s);
    let counts = [request.done, request.sold_out, failed].map(|count| count.to_string());
    let [done, sold_out, failed] = counts;
    [name, request.request.to_string(), done, done_per_s, sold_out, failed, p50, p90, p99, p999, max]
}

fn has(seconds: &[Second], kind: Kind) -> bool {
    seconds.iter().any(|second| second.outcome.of(kind).sent() > 0)
}

/// Seconds, put together so that there are few enough to draw.
fn points(seconds: &[Second]) -> Vec<Second> {
    let together = seconds.len().div_ceil(POINTS_MAX).max(1);
    let one = |chunk: &[Second]| {
        let mut one = chunk[0].clone();
        chunk[1..].iter().for_each(|second| one.outcome.absorb(&second.outcome));
        one
    };
    // A part of a second at the end has no rate to speak of.
    let whole: Vec<_> = seconds.iter().filter(|second| second.outcome.measured >= WHOLE).cloned().collect();
    whole.chunks(together).map(one).collect()
}

fn marks(plan: &Plan) -> Vec<Mark> {
    let mut begin = Duration::ZERO;
    let mark = |stage: &crate::load::Stage| {
        let mark = Mark { x: begin.as_secs_f64(), label: stage.name.clone() };
        begin += stage.length;
        mark
    };
    plan.stages.iter().map(mark).collect()
}

fn middle(second: &Second) -> f64 {
    (second.begin + second.outcome.measured / 2).as_secs_f64()
}

fn time_axis(plan: &Plan) -> Axis {
    Axis { range: Some(0.0..plan.length().as_secs_f64()), ..Axis::new("seconds", Scale::Linear) }
}

fn latency_plot(kind: Kind, plan: &Plan, seconds: &[Second]) -> String {
    let points = points(seconds);
    let series = [("max", 1.0), ("p99", 0.99), ("p90", 0.9), ("p50", 0.5)].map(|(name, quantile)| {
        let waited =
            points.iter().map(|second| (second, &second.outcome.of(kind).waited)).filter(|(_, it)| it.count() > 0);
        let at = |histogram: &Histogram<u64>| in_ms(histogram.value_at_quantile(quantile));
        Series::line(name, waited.map(|(second, it)| (middle(second), at(it.histogram()))).collect())
    });
    Plot {
        title: format!("Latency, {kind}"),
        x: time_axis(plan),
        y: Axis::new("milliseconds", Scale::Log),
        series: series.to_vec(),
        marks: marks(plan),
    }
    .svg()
}

fn rate_plot(plan: &Plan, seconds: &[Second]) -> String {
    let points = points(seconds);
    let rate = |count: fn(&Second) -> u64| {
        points.iter().map(|second| (middle(second), second.outcome.per_second(count(second)))).collect::<Vec<_>>()
    };
    let done = Kind::ALL.into_iter().filter(|kind| has(seconds, *kind)).map(|kind| {
        let count: fn(&Second) -> u64 = match kind {
            Kind::Query => |second| second.outcome.queries.done.count(),
            Kind::Order => |second| second.outcome.orders.done.count(),
        };
        Series::line(format!("{kind}: done"), rate(count))
    });
    let failed =
        Series::line("failed", rate(|second| second.outcome.queries.failed() + second.outcome.orders.failed()));
    let wanted = points.iter().filter_map(|second| Some((middle(second), second.wanted_per_s?))).collect::<Vec<_>>();
    let wanted = (!wanted.is_empty()).then(|| Series::line("visits wanted", wanted));
    Plot {
        title: "Requests per second".into(),
        x: time_axis(plan),
        y: Axis::new("per second", Scale::Linear),
        series: done.chain([failed]).chain(wanted).collect(),
        marks: marks(plan),
    }
    .svg()
}

/// Nines: 0 is none of the requests, 1 is 90 % of them, 2 is 99 %.
fn distribution_plot(report: &Report) -> String {
    let kinds = Kind::ALL.into_iter().filter(|kind| report.outcome.of(*kind).waited.count() > 0);
    let series = kinds.flat_map(|kind| {
        let waited = &report.outcome.of(kind).waited;
        let since_due = Series::line(format!("{kind}"), nines(waited.histogram()));
        let since_sent = Series {
            look: Look::Line,
            ..Series::line(format!("{kind}, from when it was sent"), nines(waited.histogram_since_sent()))
        };
        [since_due, since_sent]
    });
    Plot {
        title: "Latency by percentile".into(),
        x: Axis { tick: percentile, ..Axis::new("percent of the requests", Scale::Linear) },
        y: Axis::new("milliseconds", Scale::Log),
        series: series.collect(),
        marks: Vec::new(),
    }
    .svg()
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

fn how(document: &mut Document, report: &Report, plan: &Plan) {
    let stages = plan.stages.iter().map(|stage| {
        let pace = match stage.pace {
            Pace::Closed { shoppers } => format!("{shoppers} shoppers, each waiting for its answer"),
            Pace::Open { from_per_s, to_per_s } if from_per_s.total_cmp(&to_per_s).is_eq() => {
                format!("{from_per_s} visits/s")
            }
            Pace::Open { from_per_s, to_per_s } => format!("{from_per_s} to {to_per_s} visits/s"),
        };
        [
            stage.name.clone(),
            format!("{}", stage.length.as_secs_f64()),
            pace,
            if stage.counted { "yes".into() } else { "no".into() },
        ]
    });
    document.table(["stage", "seconds", "pace", "counts"], stages);
    let visit = match plan.visit {
        Visit::LookThenBuy { purchase_probability } => {
            format!("a look at a product, and with probability {purchase_probability} an order for it")
        }
        Visit::OneRequest { order_share } => {
            format!("one request, with probability {order_share} an order, else a look at a product")
        }
    };
    let connections = if plan.keep_alive { "kept open" } else { "one request each" };
    let targets = plan.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    document.text(format!(
        "A visit is {visit}. {} products, popularity {}. {} connections to {targets}, {connections}. Time for an answer: {} ms. Seed {}.",
        plan.products.len(), plan.popularity, plan.connections, plan.answer_timeout.as_millis(), report.seed
    ));
    if let Some(cores) = report.generator_cores {
        document.text(format!("The load test itself used {cores:.2} cores."));
    }
}
