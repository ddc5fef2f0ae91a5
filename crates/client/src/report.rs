//! What a run came to, for people and as JSON.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use service::lifecycle::ExitCode;

use crate::{Checked, FirstFew, Mismatch, RequestSummary, RunType};

/// What a run came to. `Display` is the report for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// What shoppers did.
    pub run_type: RunType,
    /// The seed that their wishes came from; the same one gives the same wishes.
    pub seed: u64,
    /// How many shopped at the same time.
    pub shoppers: u32,
    /// Sessions of all of them that should have been.
    pub sessions_planned: u64,
    /// Sessions that were; fewer if the run was stopped or the store was dead.
    pub sessions_done: u64,
    /// From the first session to the last.
    #[serde(rename = "shopping_ms", serialize_with = "as_ms")]
    pub shopping: Duration,
    /// Per kind of request that there was.
    pub requests: Vec<RequestSummary>,
    /// Orders that the store has promised to keep.
    pub acknowledged: u64,
    /// Orders that came too late: the query before had still shown enough.
    pub sold_out: u64,
    /// Where the acknowledged orders are recorded, if any could be.
    pub orders_file: Option<PathBuf>,
    /// Requests that failed for good.
    pub failures: FirstFew<String>,
    /// The reckoning; without one (`query`, `session`) only numbers given twice are looked for.
    pub checked: Option<Checked>,
    /// Numbers that were given to two orders.
    pub numbered_twice: FirstFew<Mismatch>,
}

impl Summary {
    /// Promises that the store broke, counted.
    pub fn mismatches(&self) -> u64 {
        self.numbered_twice.total + self.checked.as_ref().map_or(0, |checked| checked.mismatches.total)
    }

    /// Whether everything was done, answered and right.
    pub fn is_flawless(&self) -> bool {
        self.mismatches() == 0
            && self.failures.total == 0
            && self.sessions_done == self.sessions_planned
            && self.checked.as_ref().is_none_or(|checked| checked.unverified == 0)
    }

    /// Success only if it [is flawless](Self::is_flawless).
    pub fn exit_code(&self) -> ExitCode {
        if self.is_flawless() { ExitCode::Ok } else { ExitCode::Failure }
    }
}

fn as_ms<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

impl Display for Summary {
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
        list(f, "MISMATCH", &self.numbered_twice)?;
        if let Some(checked) = &self.checked {
            list(f, "MISMATCH", &checked.mismatches)?;
        }
        self.verdict(f)
    }
}

impl Summary {
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
        writeln!(f, "orders: {acknowledged} acknowledged (in {}), {sold_out} sold out meanwhile", file.display())?;
        if let Some(Checked { matching, unverified, mismatches }) = &self.checked {
            let wrong = mismatches.total;
            writeln!(f, "check:  {matching} match, {wrong} mismatches, {unverified} could not be checked")?;
        }
        Ok(())
    }

    fn verdict(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let verdict = if self.mismatches() > 0 {
            "THE STORE BROKE ITS WORD"
        } else if !self.is_flawless() {
            "not everything was done or answered"
        } else if self.checked.is_some() {
            "all orders match"
        } else {
            "everything was answered"
        };
        writeln!(f, "{verdict}")
    }
}

fn list<T: Display>(f: &mut Formatter<'_>, what: &str, few: &FirstFew<T>) -> fmt::Result {
    few.listed.iter().try_for_each(|one| writeln!(f, "{what}: {one}"))?;
    match few.total.saturating_sub(few.listed.len() as u64) {
        0 => Ok(()),
        more => writeln!(f, "{what}: … and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use api::public::Order;
    use api::{OrderId, OrderNumber, ProductName, Quantity};
    use uuid::Uuid;

    use super::*;
    use crate::{Acknowledged, Latency, RequestKind};

    fn flawless() -> Summary {
        let request = |kind, answered, retries, per_second, p50_us| {
            let latency = Latency { p50_us, p90_us: 2 * p50_us, p99_us: 9 * p50_us, max_us: 4_004_321 };
            RequestSummary { kind, answered, retries, failed: 0, per_second, latency }
        };
        Summary {
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
            failures: FirstFew::default(),
            checked: Some(Checked { matching: 248, unverified: 0, mismatches: FirstFew::default() }),
            numbered_twice: FirstFew::default(),
        }
    }

    fn different() -> Mismatch {
        let (number, name) = (OrderNumber::new(7).unwrap(), ProductName::new("Tux").unwrap());
        let order_id = OrderId(Uuid::from_u128(1));
        let acknowledged = Acknowledged { number, name: name.clone(), quantity: Quantity::ONE, order_id };
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

orders: 248 acknowledged (in data/client_orders.csv), 3 sold out meanwhile
check:  248 match, 0 mismatches, 0 could not be checked
all orders match
";
        assert_eq!(flawless().to_string(), expected);
        assert_eq!(flawless().exit_code(), ExitCode::Ok);
    }

    #[test]
    fn a_broken_word_is_shown_and_counts() {
        let mut summary = flawless();
        let mut mismatches = FirstFew::default();
        (0..22).for_each(|_| mismatches.push(different));
        summary.checked = Some(Checked { matching: 226, unverified: 0, mismatches });
        let report = summary.to_string();
        let line = "MISMATCH: order 7 (00000000-0000-0000-0000-000000000001) was acknowledged as 1 × Tux, and is order 7, 2 × Tux\n";
        assert_eq!(report.matches(line).count(), 20, "{report}");
        assert!(report.contains("MISMATCH: … and 2 more\n"), "{report}");
        assert!(report.contains("check:  226 match, 22 mismatches, 0 could not be checked\n"), "{report}");
        assert!(report.ends_with("THE STORE BROKE ITS WORD\n"), "{report}");
        assert_eq!(summary.exit_code(), ExitCode::Failure);
    }

    #[test]
    fn whatever_is_missing_is_no_success() {
        let flaws: [fn(&mut Summary); 4] = [
            |summary| summary.sessions_done -= 1,
            |summary| summary.failures.push(|| "query: no answer within 6000 ms".into()),
            |summary| summary.checked.as_mut().unwrap().unverified += 1,
            |summary| summary.numbered_twice.push(different),
        ];
        for (index, flaw) in flaws.iter().enumerate() {
            let mut summary = flawless();
            flaw(&mut summary);
            assert_eq!(summary.exit_code(), ExitCode::Failure, "flaw {index}");
            assert!(!summary.to_string().contains("all orders match"), "{summary}");
        }
    }

    #[test]
    fn a_run_of_queries_tells_nothing_of_orders() {
        let summary = Summary {
            run_type: RunType::Query,
            requests: vec![flawless().requests[0]],
            acknowledged: 0,
            sold_out: 0,
            orders_file: None,
            checked: None,
            ..flawless()
        };
        let report = summary.to_string();
        assert!(report.ends_with("2.79   4004.32\n\neverything was answered\n"), "{report}");
        assert_eq!(summary.exit_code(), ExitCode::Ok);
    }

    #[test]
    fn json_names_its_units() {
        let json = serde_json::to_value(flawless()).unwrap();
        assert_eq!(json["shopping_ms"], 2310);
        assert_eq!(json["requests"][1]["kind"], "order");
        assert_eq!(json["requests"][1]["latency"]["p50_us"], 3456);
        assert_eq!(json["checked"]["mismatches"]["total"], 0);
    }
}
