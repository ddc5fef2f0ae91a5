//! Limits that a store must meet: `p99<50ms`, `order p99.9<=1s`, `errors<0.1%`, `rate>900`.

use std::fmt;
use std::str::FromStr;

use report::number;
use serde::{Serialize, Serializer};
use workload::{LoadStats, RequestKind, RequestStats};

/// A limit for a value that is measured in the stages that count.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// `None`: both kinds together.
    kind: Option<RequestKind>,
    measure: Measure,
    comparison: Comparison,
    limit: f64,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Measure {
    /// The latency in milliseconds from when a request was due, at this quantile (0 to 1).
    Quantile(f64),
    MeanMs,
    MaxMs,
    /// The percentage of the due requests that were not served.
    ErrorsPercent,
    /// Served requests per second.
    Rate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// The longer operators first, so that `<=` is not parsed as `<`.
const COMPARISONS: [(&str, Comparison); 4] =
    [("<=", Comparison::AtMost), (">=", Comparison::AtLeast), ("<", Comparison::Below), (">", Comparison::Above)];

/// A threshold, and the measured value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ThresholdResult {
    /// The threshold, serialized as it was written.
    #[serde(serialize_with = "as_text")]
    pub threshold: Threshold,
    /// The measured value, in milliseconds, percent, or per second; `None` if there were no
    /// requests.
    pub measured: Option<f64>,
    /// Whether the threshold was met; `None` if there were no requests that could show it.
    pub met: Option<bool>,
}

fn as_text<S: Serializer>(threshold: &Threshold, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(threshold)
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl ThresholdResult {
    /// The result in one or two words.
    pub(super) fn word(&self) -> &'static str {
        match self.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "NOT CHECKED",
        }
    }

    /// The measured value with its unit.
    pub(super) fn value(&self) -> String {
        let unit = match self.threshold.measure {
            Measure::Quantile(_) | Measure::MeanMs | Measure::MaxMs => " ms",
            Measure::ErrorsPercent => " %",
            Measure::Rate => "/s",
        };
        self.measured.map_or_else(|| "no requests".into(), |measured| number(measured) + unit)
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let wrong = |why: &str| {
            format!("{text:?} is not a threshold: {why} (examples: p99<50ms, order p99.9<=1s, errors<0.1%, rate>900)")
        };
        let found = COMPARISONS.iter().find_map(|(sign, comparison)| Some((text.split_once(sign)?, *comparison)));
        let ((what, limit), comparison) = found.ok_or_else(|| wrong("it has no comparison"))?;
        let (kind, measure) = match what.trim().split_once(' ') {
            None => (None, what.trim()),
            Some((kind, measure)) => {
                let known = RequestKind::OF_A_VISIT.into_iter().find(|known| known.as_str() == kind);
                (Some(known.ok_or_else(|| wrong("the kind of request must be query or order"))?), measure.trim())
            }
        };
        let measure = Measure::parse(measure)
            .ok_or_else(|| wrong("the measure must be p50, p99.9 …, mean, max, errors or rate"))?;
        let limit = measure.parse_limit(limit.trim()).ok_or_else(|| wrong(measure.limits()))?;
        Ok(Self { kind, measure, comparison, limit, text: text.to_owned() })
    }
}

impl Measure {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "mean" => Some(Self::MeanMs),
            "max" => Some(Self::MaxMs),
            "errors" => Some(Self::ErrorsPercent),
            "rate" => Some(Self::Rate),
            _ => {
                let percent = text.strip_prefix('p')?.parse::<f64>().ok()?;
                (0.0..=100.0).contains(&percent).then_some(Self::Quantile(percent / 100.0))
            }
        }
    }

    fn limits(self) -> &'static str {
        match self {
            Self::Quantile(_) | Self::MeanMs | Self::MaxMs => "the limit must be a time in us, ms or s",
            Self::ErrorsPercent => "the limit must be a percentage with %",
            Self::Rate => "the limit must be a number per second",
        }
    }

    fn parse_limit(self, text: &str) -> Option<f64> {
        let units: &[(&str, f64)] = match self {
            Self::Quantile(_) | Self::MeanMs | Self::MaxMs => &[("us", 0.001), ("ms", 1.0), ("s", 1000.0)],
            Self::ErrorsPercent => &[("%", 1.0)],
            Self::Rate => &[("/s", 1.0), ("", 1.0)],
        };
        let (number, factor) = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
        let number = number.trim().parse::<f64>().ok()?;
        (number.is_finite() && number >= 0.0).then_some(number * factor)
    }
}

impl Threshold {
    /// Compares the measured value with the limit.
    pub fn evaluate(&self, stats: &LoadStats) -> ThresholdResult {
        let measured = match self.kind {
            Some(kind) => self.measure(stats, stats.of(kind), 0),
            None => self.measure(stats, &stats.all(), stats.unsent),
        };
        let met = measured.map(|measured| match self.comparison {
            Comparison::Below => measured < self.limit,
            Comparison::AtMost => measured <= self.limit,
            Comparison::Above => measured > self.limit,
            Comparison::AtLeast => measured >= self.limit,
        });
        ThresholdResult { threshold: self.clone(), measured, met }
    }

    #[expect(clippy::cast_precision_loss, reason = "microseconds and counts are far below 2^53")]
    fn measure(&self, stats: &LoadStats, request_stats: &RequestStats, unsent: u64) -> Option<f64> {
        let waited = request_stats.waited.histogram();
        let in_ms = |us: u64| us as f64 / 1000.0;
        let due = request_stats.sent() + unsent;
        match self.measure {
            Measure::Quantile(_) | Measure::MeanMs | Measure::MaxMs if waited.is_empty() => None,
            Measure::Quantile(quantile) => Some(in_ms(waited.value_at_quantile(quantile))),
            Measure::MeanMs => Some(waited.mean() / 1000.0),
            Measure::MaxMs => Some(in_ms(waited.max())),
            Measure::ErrorsPercent => (due > 0).then(|| 100.0 * (request_stats.failed() + unsent) as f64 / due as f64),
            Measure::Rate => Some(stats.per_second(request_stats.done.count())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::loadtest::testing::stats;

    fn result(threshold: &str) -> ThresholdResult {
        // 90 queries of 10 ms, 9 of 100 ms, and one that timed out after 1 s; no orders; 2 visits
        // that were never begun; within 10 s.
        let ms = Duration::from_millis;
        let stats = stats(RequestKind::Query, &[(90, ms(10)), (9, ms(100))], &[(1, ms(1000))], 2, ms(10_000));
        threshold.parse::<Threshold>().unwrap().evaluate(&stats)
    }

    #[test]
    fn thresholds_are_met_or_missed() {
        for met in
            ["p50<11ms", "query p90<=10.1ms", "p99<0.2s", "max>=999ms", "mean<40000us", "errors<3%", "rate>9.8/s"]
        {
            assert_eq!(result(met).met, Some(true), "{:?}", result(met));
        }
        // A request that timed out counts with its timeout.
        for missed in ["p99.9<500ms", "errors<2.9%", "query errors<1%", "rate>=10", "order rate>0"] {
            assert_eq!(result(missed).met, Some(false), "{:?}", result(missed));
        }
        for unknown in ["order p50<1s", "order errors<1%"] {
            assert_eq!(result(unknown).met, None, "{:?}", result(unknown));
        }
        assert_eq!(result("query errors<=1%").measured, Some(1.0));
        for (threshold, word, value) in [
            ("order p50<1s", "NOT CHECKED", "no requests"),
            ("query p50<1us", "MISSED", "10.0 ms"),
            ("rate>9.8/s", "met", "9.90/s"),
        ] {
            assert_eq!((result(threshold).word(), &*result(threshold).value()), (word, value));
        }
    }

    #[test]
    fn the_error_says_why_a_threshold_is_invalid() {
        for (bad, why) in [
            ("p99", "no comparison"),
            ("p101<1ms", "the measure must be"),
            ("p99<50", "a time"),
            ("errors<0.1", "a percentage"),
            ("sale p99<1ms", "query or order"),
            ("rate>fast", "number per second"),
        ] {
            let error = bad.parse::<Threshold>().unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
