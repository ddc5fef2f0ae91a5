//! What a load test came to, for people and as JSON.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use api::Address;
use hdrhistogram::Histogram;
use serde::Serialize;
use service::lifecycle::ExitCode;

use super::{Config, Judged};
use crate::load::reckoning::Reckoning;
use crate::load::{Kind, KindOutcome, Loaded, Outcome, Plan};

/// What a load test came to. `Display` is the report for people.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Seconds since 1970.
    pub begun_s: u64,
    /// Whom it loaded.
    pub targets: Vec<Address>,
    /// The seed of what was looked at and ordered.
    pub seed: u64,
    /// Whether somebody stopped it before its end.
    pub stopped: bool,
    /// Stage by stage.
    pub stages: Vec<StageReport>,
    /// All stages that count.
    pub counted: StageReport,
    /// Each threshold.
    pub thresholds: Vec<Judged>,
    /// How much of the processors the load test itself used, in cores.
    pub generator_cores: Option<f64>,
    /// Whether the store kept its word; `None` if that was not looked at.
    pub reckoning: Option<Reckoning>,
    /// With histograms.
    #[serde(skip)]
    pub(super) outcome: Outcome,
}

/// One stage, or several together.
#[derive(Clone, Debug, Serialize)]
pub struct StageReport {
    /// Its name.
    pub name: String,
    /// Whether it counts.
    pub counted: bool,
    /// How long it was.
    pub seconds: f64,
    /// Visits that were due and never begun.
    pub unsent: u64,
    /// Per kind of request that there was.
    pub requests: Vec<RequestReport>,
}

/// One kind of request in a stage.
#[derive(Clone, Debug, Serialize)]
pub struct RequestReport {
    /// Which kind.
    pub request: Kind,
    /// Done: 200, or "sold out".
    pub done: u64,
    /// The same per second.
    pub done_per_s: f64,
    /// Those of the done that were told so.
    pub sold_out: u64,
    /// 503, 507 or 429.
    pub refused: u64,
    /// Any other status.
    pub other: u64,
    /// Without an answer in time.
    pub silent: u64,
    /// Without a connection, or with one that broke.
    pub broken: u64,
    /// From when it was due, of the done and the silent.
    pub latency: Quantiles,
    /// The same from when it was sent: what a generator would see that forgets about waiting.
    pub latency_since_sent: Quantiles,
}

/// In microseconds: the mean, what half, 90 %, 99 % and 99.9 % took at most, and the longest.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs, reason = "the line above tells all")]
#[expect(clippy::struct_field_names, reason = "JSON has no units but those in names")]
pub struct Quantiles {
    pub mean_us: f64,
    pub p50_us: u64,
    pub p90_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    pub max_us: u64,
}

impl Quantiles {
    pub(super) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            mean_us: histogram.mean(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: histogram.max(),
        }
    }
}

impl StageReport {
    fn new(name: &str, counted: bool, outcome: &Outcome) -> Self {
        let request = |kind| {
            let of_kind: &KindOutcome = outcome.of(kind);
            let KindOutcome { done, sold_out, refused, other, silent, broken, waited, .. } = of_kind;
            (of_kind.sent() > 0).then(|| RequestReport {
                request: kind,
                done: done.count(),
                done_per_s: outcome.per_second(done.count()),
                sold_out: *sold_out,
                refused: refused.count(),
                other: *other,
                silent: *silent,
                broken: *broken,
                latency: Quantiles::of(waited.histogram()),
                latency_since_sent: Quantiles::of(waited.histogram_since_sent()),
            })
        };
        Self {
            name: name.into(),
            counted,
            seconds: outcome.measured.as_secs_f64(),
            unsent: outcome.unsent,
            requests: Kind::ALL.into_iter().filter_map(request).collect(),
        }
    }
}

impl Report {
    pub(super) fn new(
        config: &Config,
        plan: &Plan,
        loaded: &Loaded,
        begun: Duration,
        lasted: Duration,
        cpu: Option<Duration>,
    ) -> Self {
        let outcome = loaded.counted();
        let stages = loaded.stages.iter().map(|(stage, outcome)| StageReport::new(&stage.name, stage.counted, outcome));
        Self {
            begun_s: begun.as_secs(),
            targets: plan.targets.clone(),
            seed: plan.seed,
            stopped: false,
            stages: stages.collect(),
            counted: StageReport::new("all that counts", true, &outcome),
            thresholds: config.scenario.thresholds.iter().map(|threshold| threshold.judge(&outcome)).collect(),
            generator_cores: cpu.map(|cpu| cpu.as_secs_f64() / lasted.as_secs_f64().max(f64::MIN_POSITIVE)),
            reckoning: None,
            outcome,
        }
    }

    /// Whether the store broke its word.
    pub fn is_broken(&self) -> bool {
        self.reckoning.as_ref().is_some_and(Reckoning::is_broken)
    }

    /// Whether every threshold was kept.
    pub fn is_kept(&self) -> bool {
        self.thresholds.iter().all(|judged| judged.kept)
    }

    /// What the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        if self.is_broken() {
            ExitCode::Software
        } else if self.stopped {
            ExitCode::Failure
        } else if self.is_kept() {
            ExitCode::Ok
        } else {
            ExitCode::Missed
        }
    }

    /// The verdict in a sentence.
    pub fn verdict(&self) -> &'static str {
        match self.exit_code() {
            ExitCode::Software => "THE STORE BROKE ITS WORD",
            ExitCode::Failure => "it was stopped before its end",
            ExitCode::Missed => "a threshold was missed",
            _ if self.thresholds.is_empty() => "no threshold was set",
            _ => "every threshold was kept",
        }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let columns = ["p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"];
        write!(f, "{:<16}{:<8}{:>10}{:>10}{:>8}", "stage", "request", "done", "done/s", "failed")?;
        columns.iter().try_for_each(|column| write!(f, "{column:>10}"))?;
        writeln!(f)?;
        let several = self.stages.iter().filter(|stage| stage.counted).count() > 1;
        for stage in self.stages.iter().chain(several.then_some(&self.counted)) {
            write!(f, "{stage}")?;
        }
        if let Some(cores) = self.generator_cores {
            writeln!(f, "\nthe load test itself used {cores:.2} cores")?;
        }
        self.reckoning.as_ref().map_or(Ok(()), |reckoning| writeln!(f, "\n{reckoning}"))?;
        if !self.thresholds.is_empty() {
            writeln!(f)?;
        }
        self.thresholds.iter().try_for_each(|judged| writeln!(f, "{judged}"))?;
        write!(f, "\n{}", self.verdict())
    }
}

impl Display for StageReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { name, counted, unsent, requests, .. } = self;
        let name = if *counted { name.clone() } else { format!("({name})") };
        for request in requests {
            let RequestReport { request, done, done_per_s, refused, other, silent, broken, latency, .. } = request;
            let failed = refused + other + silent + broken;
            write!(f, "{name:<16}{request:<8}{done:>10}{done_per_s:>10.1}{failed:>8}")?;
            let Quantiles { p50_us, p90_us, p99_us, p999_us, max_us, .. } = latency;
            for us in [p50_us, p90_us, p99_us, p999_us, max_us] {
                write!(f, "{:>10.2}", in_ms(*us))?;
            }
            writeln!(f)?;
            if failed > 0 {
                writeln!(f, "{:<24}failed: {refused} refused, {silent} silent, {broken} broken, {other} other", "")?;
            }
        }
        if *unsent > 0 { writeln!(f, "{name:<16}{unsent} visits were due and never begun") } else { Ok(()) }
    }
}

pub(super) fn in_ms(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64() * 1e3
}
