//! The summary of a run, as text and as JSON.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::time::Duration;

use report::{CheckResult, Checks, Document, Table, count, number};
use serde::Serialize;
use service::lifecycle::ExitCode;
use workload::verification::Verification;
use workload::{Latency, RequestKind, RequestStats};

use crate::config::RunType;

/// One kind of request over a run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RequestSummary {
    /// The kind.
    pub kind: RequestKind,
    /// Requests that got a response.
    pub answered: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Requests that failed after all attempts.
    pub failed: u64,
    /// Responses per second of the phase, for all shoppers together.
    pub per_second: f64,
    /// From the first attempt to the response.
    pub latency: Latency,
}

impl RequestSummary {
    /// The summary over a phase of length `elapsed`.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub(crate) fn new(kind: RequestKind, stats: &RequestStats, elapsed: Duration) -> Self {
        let answered = stats.done.count();
        let per_second = if elapsed.is_zero() { 0.0 } else { answered as f64 / elapsed.as_secs_f64() };
        let (retries, failed, latency) = (stats.retries, stats.failed(), stats.done.since_due());
        Self { kind, answered, retries, failed, per_second, latency }
    }

    /// Whether there was such a request.
    pub(crate) fn is_any(&self) -> bool {
        self.answered + self.failed > 0
    }
}

/// The summary of a run. `Display` is its report for a terminal.
#[derive(Clone, Debug, Serialize)]
pub struct ShoppingSummary {
    /// What the shoppers did.
    pub run_type: RunType,
    /// The seed of the workload; the same seed gives the same workload.
    pub seed: u64,
    /// Concurrent shoppers.
    pub shoppers: u32,
    /// Planned sessions of all shoppers together.
    pub sessions_planned: u64,
    /// Sessions that were run; fewer than planned if the run was stopped or the store was dead.
    pub sessions_done: u64,
    /// From the start of the first session to the end of the last.
    #[serde(rename = "shopping_ms", serialize_with = "as_ms")]
    pub shopping: Duration,
    /// The requests, by their kind.
    pub requests: Vec<RequestSummary>,
    /// Orders that the store acknowledged.
    pub acknowledged: u64,
    /// Orders refused as out of stock, although the read before had still shown enough.
    pub sold_out: u64,
    /// The file of the acknowledged orders, if the run could place any.
    pub orders_file: Option<PathBuf>,
    /// The errors of the first 20 requests that failed.
    pub failures: Vec<String>,
    /// The verification; without one (`query`, `session`), only the answers to the orders are
    /// compared with each other.
    pub verification: Option<Verification>,
    /// What is broken, and what could not be checked.
    #[serde(skip)]
    pub checks: Checks,
    /// Why a file could not be written, if one could not.
    #[serde(skip)]
    pub unwritten: Option<String>,
}

impl ShoppingSummary {
    /// Requests that failed.
    pub fn failed(&self) -> u64 {
        self.requests.iter().map(|request| request.failed).sum()
    }

    /// Whether everything was done, answered, and correct.
    pub fn is_flawless(&self) -> bool {
        self.checks.result() == CheckResult::Passed
            && self.failed() == 0
            && self.sessions_done == self.sessions_planned
            && self.unwritten.is_none()
    }

    /// Success only if it [is flawless](Self::is_flawless).
    pub fn exit_code(&self) -> ExitCode {
        match self.checks.result().exit_code(self.unwritten.is_none()) {
            ExitCode::Ok if !self.is_flawless() => ExitCode::Failure,
            code => code,
        }
    }
}

fn as_ms<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

impl Display for ShoppingSummary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.document().fmt(f)
    }
}

impl ShoppingSummary {
    fn document(&self) -> Document {
        let mut page = Document::new(self.title());
        page.conclude(self.checks.result(), self.verdict(), &self.checks);
        let requests = Table::of(&self.requests).text("request", |it| it.kind).number("answered", |it| it.answered);
        let requests = requests.number("retries", |it| it.retries).number("failed", |it| it.failed);
        page.table(requests.number("per second", |it| it.per_second).ms(Latency::NAMES, |it| it.latency.values_us()));
        page.facts("", self.orders());
        let more = self.failed().saturating_sub(self.failures.len() as u64);
        let more = (more > 0).then(|| format!("FAILED: … and {more} more"));
        let failures = self.failures.iter().map(|failure| format!("FAILED: {failure}")).chain(more);
        let unwritten = self.unwritten.iter().map(|why| format!("NOT WRITTEN: {why}"));
        page.code(failures.chain(unwritten).collect::<Vec<_>>().join("\n"));
        page
    }

    fn title(&self) -> String {
        if self.run_type == RunType::Check {
            return "Orders of an earlier run".to_owned();
        }
        let Self { shoppers, sessions_done, sessions_planned, seed, .. } = self;
        let (done, planned) = (count(*sessions_done), count(*sessions_planned));
        let seconds = number(self.shopping.as_secs_f64());
        format!("{shoppers} shoppers, {done} of {planned} sessions in {seconds} s, seed {seed}")
    }

    /// What became of the orders, if the run could place any.
    fn orders(&self) -> impl Iterator<Item = (&'static str, String)> {
        let [acknowledged, sold_out] = [self.acknowledged, self.sold_out].map(count);
        let placed = self.orders_file.as_ref().map(|file| {
            ("orders", format!("{acknowledged} acknowledged (in {}), {sold_out} out of stock", file.display()))
        });
        let verification = self.verification.as_ref().filter(|_| placed.is_some());
        let checked = verification.map(|verification| ("check", verification.to_string()));
        placed.into_iter().chain(checked)
    }

    /// The verdict, in one sentence.
    pub fn verdict(&self) -> String {
        self.checks.verdict(match self.exit_code() {
            ExitCode::Io => "a file could not be written",
            ExitCode::Failure => "not every session was run, or a request failed",
            _ if self.verification.is_some() && self.acknowledged > 0 => "all orders match",
            _ => "every request was answered",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flawless() -> ShoppingSummary {
        let mut verification = Verification { read: 248, ..Verification::default() };
        verification.verdict.counts.acknowledged = 248;
        let request = |kind, answered, retries, per_second, p50_us| {
            let latency = Latency { p50_us, p90_us: 2 * p50_us, p99_us: 9 * p50_us, max_us: 4_004_321 };
            RequestSummary { kind, answered, retries, failed: 0, per_second, latency }
        };
        ShoppingSummary {
            run_type: RunType::SessionCheck,
            seed: 42,
            shoppers: 5,
            sessions_planned: 500,
            sessions_done: 500,
            shopping: Duration::from_millis(2310),
            requests: vec![
                request(RequestKind::Query, 500, 0, 216.45, 310),
                request(RequestKind::Order, 251, 2, 108.66, 3456),
                request(RequestKind::Check, 248, 0, 12345.6, 290),
            ],
            acknowledged: 248,
            sold_out: 3,
            orders_file: Some("data/client_orders.csv".into()),
            failures: Vec::new(),
            verification: Some(verification),
            checks: Checks::default(),
            unwritten: None,
        }
    }

    #[test]
    fn a_flawless_run() {
        let expected = "\
5 shoppers, 500 of 500 sessions in 2.31 s, seed 42

request  answered  retries  failed  per second  p50 ms  p90 ms  p99 ms  max ms
query         500        0       0         216   0.310   0.620    2.79   4,004
order         251        2       0         109    3.46    6.91    31.1   4,004
check         248        0       0      12,346   0.290   0.580    2.61   4,004

orders  248 acknowledged (in data/client_orders.csv), 3 out of stock
check   248 orders acknowledged, 248 read back: each exists once, as it was ordered

all orders match";
        assert_eq!(flawless().to_string(), expected);
        assert_eq!(flawless().exit_code(), ExitCode::Ok);
    }

    #[test]
    fn violations_are_listed_and_set_the_exit_code() {
        let mut summary = flawless();
        summary.checks.violations(&["I1: an order is lost"], 3);
        let report = summary.to_string();
        let end = "BROKEN: I1: an order is lost\nBROKEN: … and 2 more violations\nTHE STORE BROKE ITS PROMISES";
        assert!(report.ends_with(end), "{report}");
        assert_eq!(summary.exit_code(), ExitCode::Software);
    }

    #[test]
    fn a_run_that_lacks_something_is_not_a_success() {
        type Flaw = fn(&mut ShoppingSummary);
        let flaws: [(ExitCode, Flaw); 5] = [
            (ExitCode::Failure, |summary| summary.sessions_done -= 1),
            (ExitCode::Failure, |summary| summary.requests[0].failed += 1),
            (ExitCode::Unverified, |summary| summary.checks.not_checked("0 of 248 orders could be read back")),
            (ExitCode::Software, |summary| summary.checks.broken("I2: one order got two numbers")),
            (ExitCode::Io, |summary| summary.unwritten = Some("summary.json: no space".into())),
        ];
        for (index, (code, flaw)) in flaws.into_iter().enumerate() {
            let mut summary = flawless();
            flaw(&mut summary);
            assert_eq!(summary.exit_code(), code, "flaw {index}");
            assert!(!summary.to_string().contains("all orders match"), "{summary}");
        }
    }

    #[test]
    fn the_summary_of_a_query_run_does_not_mention_orders() {
        let summary = ShoppingSummary {
            run_type: RunType::Query,
            requests: vec![flawless().requests[0]],
            acknowledged: 0,
            sold_out: 0,
            orders_file: None,
            verification: None,
            ..flawless()
        };
        let report = summary.to_string();
        assert!(report.ends_with("2.79   4,004\n\nevery request was answered"), "{report}");
        assert_eq!(summary.exit_code(), ExitCode::Ok);
    }

    #[test]
    fn json_names_its_units() {
        let json = serde_json::to_value(flawless()).unwrap();
        assert_eq!(json["shopping_ms"], 2310);
        assert_eq!(json["requests"][1]["kind"], "order");
        assert_eq!(json["requests"][1]["latency"]["p50_us"], 3456);
        assert_eq!(json["verification"]["verdict"]["counts"]["acknowledged"], 248);
    }
}
