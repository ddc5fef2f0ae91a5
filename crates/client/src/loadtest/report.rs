//! The results of a load test. The names of the JSON fields are stable.

use std::time::Duration;

use api::Address;
use hdrhistogram::Histogram;
use report::{CheckResult, Checks};
use serde::Serialize;
use service::lifecycle::ExitCode;
use workload::load::{LoadInterval, LoadPlan, LoadResult};
use workload::verification::Verification;
use workload::{LoadStats, RequestKind, RequestStats};

use super::config::Config;
use super::threshold::ThresholdResult;

/// The results of a load test. `Display` is its report for a terminal.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    /// When the load began, in seconds since 1970.
    pub begun_s: u64,
    /// The addresses that the load was sent to.
    pub targets: Vec<Address>,
    /// The seed of the choice of products.
    pub seed: u64,
    /// Whether the test was stopped before its end.
    pub stopped: bool,
    /// The stages.
    pub stages: Vec<StageReport>,
    /// All stages that count, together.
    pub counted: StageReport,
    /// The thresholds.
    pub thresholds: Vec<ThresholdResult>,
    /// The longest time without an acknowledged order, from the start of the load to its end;
    /// `None` if no order was sent, or if there were too many to record all of them.
    pub longest_ack_gap_ms: Option<u64>,
    /// The average number of CPU cores that the load test itself used.
    pub generator_cores: Option<f64>,
    /// Whether the store kept its promises; `None` if that was not checked.
    pub verification: Option<Verification>,
    /// What is broken, and what could not be checked. Missed thresholds are in `thresholds`.
    #[serde(skip)]
    pub checks: Checks,
    /// Why the files of the report could not be written, if they could not.
    #[serde(skip)]
    pub unwritten: Option<String>,
    /// The statistics with histograms.
    #[serde(skip)]
    pub(super) stats: LoadStats,
    /// What was planned.
    #[serde(skip)]
    pub(super) plan: LoadPlan,
    /// Each second.
    #[serde(skip)]
    pub(super) intervals: Vec<LoadInterval>,
}

/// One stage, or several together.
#[derive(Clone, Debug, Serialize)]
pub struct StageReport {
    /// Its name.
    pub name: String,
    /// Whether it counts.
    pub counted: bool,
    /// Its length.
    pub seconds: f64,
    /// Visits that were due, but never begun.
    pub unsent: u64,
    /// The requests, by kind.
    pub requests: Vec<RequestReport>,
}

/// One kind of request in a stage.
#[derive(Clone, Debug, Serialize)]
pub struct RequestReport {
    /// The kind.
    pub request: RequestKind,
    /// Served: status 200, or 409 "out of stock".
    pub done: u64,
    /// The same per second.
    pub done_per_s: f64,
    /// The served requests that were answered with 409 "out of stock".
    pub sold_out: u64,
    /// 503, 507 or 429.
    pub refused: u64,
    /// Any other status.
    pub other: u64,
    /// No response in time.
    pub timed_out: u64,
    /// The connection could not be opened, or was lost.
    pub connection_errors: u64,
    /// From when a request was due, for the requests that were served or timed out.
    pub latency: Quantiles,
    /// The same from when a request was sent: what a load generator measures that leaves out the
    /// wait for a free connection.
    pub latency_since_sent: Quantiles,
}

/// Latencies in microseconds: the mean, some percentiles, and the maximum.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs, reason = "the fields' names say it")]
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

    /// The names of [`values_us`](Self::values_us).
    pub(super) const NAMES: [&str; 5] = ["p50", "p90", "p99", "p99.9", "max"];

    /// All values but the mean.
    pub(super) fn values_us(self) -> [u64; 5] {
        [self.p50_us, self.p90_us, self.p99_us, self.p999_us, self.max_us]
    }
}

impl RequestReport {
    /// Requests that were not served.
    pub(super) fn failed(&self) -> u64 {
        self.refused + self.other + self.timed_out + self.connection_errors
    }
}

impl StageReport {
    fn new(name: &str, counted: bool, stats: &LoadStats) -> Self {
        let request = |kind| {
            let request_stats: &RequestStats = stats.of(kind);
            let RequestStats { done, sold_out, refused, other, timed_out, connection_errors, waited, .. } =
                request_stats;
            (request_stats.sent() > 0).then(|| RequestReport {
                request: kind,
                done: done.count(),
                done_per_s: stats.per_second(done.count()),
                sold_out: *sold_out,
                refused: refused.count(),
                other: *other,
                timed_out: *timed_out,
                connection_errors: *connection_errors,
                latency: Quantiles::of(waited.histogram()),
                latency_since_sent: Quantiles::of(waited.histogram_since_sent()),
            })
        };
        Self {
            name: name.into(),
            counted,
            seconds: stats.measured.as_secs_f64(),
            unsent: stats.unsent,
            requests: RequestKind::OF_A_VISIT.into_iter().filter_map(request).collect(),
        }
    }

    /// Its name, in parentheses if it does not count.
    pub(super) fn label(&self) -> String {
        if self.counted { self.name.clone() } else { format!("({})", self.name) }
    }
}

impl LoadReport {
    pub(super) fn new(
        config: &Config,
        plan: LoadPlan,
        result: &LoadResult,
        intervals: Vec<LoadInterval>,
        begun: Duration,
        cpu: Option<Duration>,
    ) -> Self {
        let lasted = intervals.iter().map(|interval| interval.stats.measured).sum::<Duration>();
        let stats = result.counted();
        let stages = result.stages.iter().map(|(stage, stats)| StageReport::new(&stage.name, stage.counted, stats));
        Self {
            begun_s: begun.as_secs(),
            targets: plan.targets.clone(),
            seed: plan.seed,
            stopped: false,
            stages: stages.collect(),
            counted: StageReport::new("all that counts", true, &stats),
            thresholds: config.scenario.thresholds.iter().map(|threshold| threshold.evaluate(&stats)).collect(),
            longest_ack_gap_ms: result.longest_ack_gap().map(|gap| u64::try_from(gap.as_millis()).unwrap_or(u64::MAX)),
            generator_cores: cpu.map(|cpu| cpu.as_secs_f64() / lasted.as_secs_f64().max(f64::MIN_POSITIVE)),
            verification: None,
            checks: Checks::default(),
            unwritten: None,
            stats,
            plan,
            intervals,
        }
    }

    /// Fills [`checks`](Self::checks). `gone` says which of the targets do not answer at the end.
    pub(super) fn conclude(&mut self, gone: Vec<String>) {
        let verified = self.verification.as_ref().map(Verification::checks);
        self.checks = verified.unwrap_or_default();
        for target in gone {
            self.checks.not_checked(target);
        }
        for StageReport { name, unsent, requests, .. } in self.stages.iter().filter(|stage| stage.counted) {
            for request in requests.iter().filter(|request| request.done == 0) {
                let sent = request.failed();
                self.checks.not_checked(format!("{name}: 0 of {sent} requests ({}) were served", request.request));
            }
            if requests.is_empty() {
                self.checks.counted(0, *unsent, &format!("visits were begun ({name})"));
            }
        }
        for result in self.thresholds.iter().filter(|result| result.met.is_none()) {
            self.checks.not_checked(format!("threshold {}: there were no requests", result.threshold));
        }
    }

    /// The result of the whole test: promises and thresholds.
    pub fn check_result(&self) -> CheckResult {
        let unfinished = if self.stopped { CheckResult::NotChecked } else { CheckResult::Passed };
        self.checks.result().and(unfinished).and(CheckResult::of(!self.is_threshold_missed()))
    }

    /// Whether a threshold was missed.
    pub fn is_threshold_missed(&self) -> bool {
        self.thresholds.iter().any(|result| result.met == Some(false))
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> ExitCode {
        match self.checks.result().exit_code(self.unwritten.is_none()) {
            ExitCode::Ok if self.stopped => ExitCode::Failure,
            ExitCode::Ok if self.is_threshold_missed() => ExitCode::Missed,
            code => code,
        }
    }

    /// The verdict, in one sentence.
    pub fn verdict(&self) -> String {
        self.checks.verdict(match self.exit_code() {
            ExitCode::Io => "the report could not be written",
            ExitCode::Failure => "the test was stopped before its end",
            ExitCode::Missed => "a threshold was missed",
            _ if self.thresholds.is_empty() => "no threshold was set",
            _ => "every threshold was met",
        })
    }
}
