//! The summary of a run, as text and as JSON.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::time::Duration;

use report::{CheckResult, Checks};
use serde::Serialize;
use service::lifecycle::ExitCode;

use crate::config::RunType;
use crate::mismatch::{Mismatch, OrderVerification};
use crate::shopping_stats::{CappedList, RequestSummary};

/// The summary of a run. `Display` writes it as text.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    /// Requests that failed.
    pub failures: CappedList<String>,
    /// The verification; without one (`query`, `session`), only duplicate numbers are looked for.
    pub verification: Option<OrderVerification>,
    /// Numbers that were assigned to two orders.
    pub duplicate_numbers: CappedList<Mismatch>,
    /// Why a file could not be written, if one could not.
    #[serde(skip)]
    pub unwritten: Option<String>,
}

impl ShoppingSummary {
    /// How many promises the store broke.
    pub fn mismatches(&self) -> u64 {
        self.duplicate_numbers.total
            + self.verification.as_ref().map_or(0, |verification| verification.mismatches.total)
    }

    /// Whether everything was done, answered, and correct.
    pub fn is_flawless(&self) -> bool {
        self.checks().result() == CheckResult::Passed
            && self.failures.total == 0
            && self.sessions_done == self.sessions_planned
            && self.unwritten.is_none()
    }

    /// What is broken, and what could not be checked.
    pub fn checks(&self) -> Checks {
        let mut checks = Checks::default();
        let Self { duplicate_numbers, .. } = self;
        checks.violations(&duplicate_numbers.listed, duplicate_numbers.total);
        if let Some(OrderVerification { unverified, unrepeated, mismatches, .. }) = &self.verification {
            checks.violations(&mismatches.listed, mismatches.total);
            let readable = self.acknowledged.saturating_sub(*unverified);
            checks.counted(readable, readable + unverified, "acknowledged orders could be read at the end");
            if *unrepeated > 0 {
                checks.not_checked(format!("{unrepeated} shoppers could not send their last order again"));
            }
        }
        checks
    }

    /// Whether the store kept its promises, as far as they were checked.
    pub fn check_result(&self) -> CheckResult {
        self.checks().result()
    }

    /// Success only if it [is flawless](Self::is_flawless).
    pub fn exit_code(&self) -> ExitCode {
        match self.check_result().exit_code(self.unwritten.is_none()) {
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
        let Self { shoppers, sessions_done, sessions_planned, seed, .. } = self;
        let seconds = self.shopping.as_secs_f64();
        writeln!(
            f,
            "{shoppers} shoppers, {sessions_done} of {sessions_planned} sessions in {seconds:.2} s, seed {seed}"
        )?;
        writeln!(f)?;
        self.table(f)?;
        writeln!(f)?;
        self.orders(f)?;
        list(f, "FAILED", &self.failures)?;
        write!(f, "{}", self.checks())?;
        if let Some(why) = &self.unwritten {
            writeln!(f, "NOT WRITTEN: {why}")?;
        }
        writeln!(f, "{}", self.verdict())
    }
}

impl ShoppingSummary {
    fn table(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let columns = ["p50 ms", "p90 ms", "p99 ms", "max ms"];
        write!(f, "{:<8}{:>10}{:>9}{:>8}{:>12}", "request", "answered", "retries", "failed", "per second")?;
        columns.iter().try_for_each(|column| write!(f, "{column:>10}"))?;
        writeln!(f)?;
        for RequestSummary { kind, answered, retries, failed, per_second, latency } in &self.requests {
            write!(f, "{kind:<8}{answered:>10}{retries:>9}{failed:>8}{per_second:>12.1}")?;
            for us in [latency.p50_us, latency.p90_us, latency.p99_us, latency.max_us] {
                write!(f, "{:>10.2}", Duration::from_micros(us).as_secs_f64() * 1000.0)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn orders(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(file) = &self.orders_file else {
            return Ok(());
        };
        let Self { acknowledged, sold_out, .. } = self;
        writeln!(f, "orders: {acknowledged} acknowledged (in {}), {sold_out} out of stock", file.display())?;
        if let Some(OrderVerification { matching, unverified, mismatches, .. }) = &self.verification {
            let wrong = mismatches.total;
            writeln!(f, "check:  {matching} match, {wrong} mismatches, {unverified} not checked")?;
        }
        Ok(())
    }

    /// The verdict, in one sentence.
    pub fn verdict(&self) -> String {
        self.checks().verdict(match self.exit_code() {
            ExitCode::Io => "a file could not be written",
            ExitCode::Failure => "not every session was run, or a request failed",
            _ if self.verification.is_some() && self.acknowledged > 0 => "all orders match",
            _ => "every request was answered",
        })
    }
}

fn list<T: Display>(f: &mut Formatter<'_>, what: &str, capped: &CappedList<T>) -> fmt::Result {
    capped.listed.iter().try_for_each(|one| writeln!(f, "{what}: {one}"))?;
    match capped.total.saturating_sub(capped.listed.len() as u64) {
        0 => Ok(()),
        more => writeln!(f, "{what}: … and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use api::public::Order;
    use api::{OrderId, OrderNumber, ProductName, Quantity};
    use uuid::Uuid;
    use workload::{Latency, RequestKind};

    use super::*;
    use crate::orders_file::AcknowledgedOrder;

    fn flawless() -> ShoppingSummary {
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
            failures: CappedList::default(),
            verification: Some(OrderVerification { matching: 248, ..OrderVerification::default() }),
            duplicate_numbers: CappedList::default(),
            unwritten: None,
        }
    }

    fn different() -> Mismatch {
        let (number, name) = (OrderNumber::new(7).unwrap(), ProductName::new("Tux").unwrap());
        let order_id = OrderId(Uuid::from_u128(1));
        let acknowledged = AcknowledgedOrder { number, name: name.clone(), quantity: Quantity::ONE, order_id };
        Mismatch::Different { acknowledged, found: Order { number, name, quantity: Quantity::new(2).unwrap() } }
    }

    #[test]
    fn a_flawless_run() {
        let expected = "\
5 shoppers, 500 of 500 sessions in 2.31 s, seed 42

request   answered  retries  failed  per second    p50 ms    p90 ms    p99 ms    max ms
query          500        0       0       216.4      0.31      0.62      2.79   4004.32
order          251        2       0       108.7      3.46      6.91     31.10   4004.32
check          248        0       0     12345.6      0.29      0.58      2.61   4004.32

orders: 248 acknowledged (in data/client_orders.csv), 3 out of stock
check:  248 match, 0 mismatches, 0 not checked
all orders match
";
        assert_eq!(flawless().to_string(), expected);
        assert_eq!(flawless().exit_code(), ExitCode::Ok);
    }

    #[test]
    fn mismatches_are_listed_and_set_the_exit_code() {
        let mut summary = flawless();
        let mut mismatches = CappedList::default();
        (0..22).for_each(|_| mismatches.push(different));
        summary.verification = Some(OrderVerification { matching: 226, mismatches, ..OrderVerification::default() });
        let report = summary.to_string();
        let line = "BROKEN: order 7 (00000000-0000-0000-0000-000000000001) was acknowledged as 1 × Tux, but is order 7, 2 × Tux\n";
        assert_eq!(report.matches(line).count(), 20, "{report}");
        assert!(report.contains("BROKEN: … and 2 more violations\n"), "{report}");
        assert!(report.contains("check:  226 match, 22 mismatches, 0 not checked\n"), "{report}");
        assert!(report.ends_with("THE STORE BROKE ITS PROMISES\n"), "{report}");
        assert_eq!(summary.exit_code(), ExitCode::Software);
    }

    #[test]
    fn a_run_that_lacks_something_is_not_a_success() {
        type Flaw = fn(&mut ShoppingSummary);
        let flaws: [(ExitCode, Flaw); 6] = [
            (ExitCode::Failure, |summary| summary.sessions_done -= 1),
            (ExitCode::Failure, |summary| summary.failures.push(|| "query: no response within 6000 ms".into())),
            (ExitCode::Unverified, |summary| summary.verification.as_mut().unwrap().unverified += 1),
            (ExitCode::Unverified, |summary| summary.verification.as_mut().unwrap().unrepeated += 1),
            (ExitCode::Software, |summary| summary.duplicate_numbers.push(different)),
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
        assert!(report.ends_with("2.79   4004.32\n\nevery request was answered\n"), "{report}");
        assert_eq!(summary.exit_code(), ExitCode::Ok);
    }

    #[test]
    fn json_names_its_units() {
        let json = serde_json::to_value(flawless()).unwrap();
        assert_eq!(json["shopping_ms"], 2310);
        assert_eq!(json["requests"][1]["kind"], "order");
        assert_eq!(json["requests"][1]["latency"]["p50_us"], 3456);
        assert_eq!(json["verification"]["mismatches"]["total"], 0);
    }
}
