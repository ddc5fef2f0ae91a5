//! What a store must keep to: `p99<50ms`, `order p99.9<=1s`, `errors<0.1%`, `rate>900`.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::load::{Kind, KindOutcome, Outcome};

/// A bound on what is measured in the stages that count.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// `None`: both kinds together.
    kind: Option<Kind>,
    measure: Measure,
    comparison: Comparison,
    limit: f64,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Measure {
    /// Milliseconds from when a request was due; 0 to 1.
    Quantile(f64),
    MeanMs,
    MaxMs,
    /// Percent of what was due that was not done.
    ErrorsPercent,
    /// Done per second.
    Rate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// From the longest to the shortest, that `<=` is not read as `<`.
const COMPARISONS: [(&str, Comparison); 4] =
    [("<=", Comparison::AtMost), (">=", Comparison::AtLeast), ("<", Comparison::Below), (">", Comparison::Above)];

/// A threshold, and what was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// The threshold as it was written.
    #[serde(serialize_with = "as_text")]
    pub threshold: Threshold,
    /// What was measured, in milliseconds, percent, or per second; `None` if there was nothing to measure.
    pub measured: Option<f64>,
    /// Whether it was kept. A threshold on what never happened is not.
    pub kept: bool,
}

fn as_text<S: Serializer>(threshold: &Threshold, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(threshold)
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.kept { "kept" } else { "MISSED" };
        write!(f, "{:<20} {word:<6} ", self.threshold)?;
        let unit = match self.threshold.measure {
            Measure::Quantile(_) | Measure::MeanMs | Measure::MaxMs => " ms",
            Measure::ErrorsPercent => " %",
            Measure::Rate => "/s",
        };
        match self.measured {
            Some(measured) => write!(f, "{measured:.3}{unit}"),
            None => f.write_str("nothing to measure"),
        }
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let wrong = |why: &str| {
            format!(
                "{text:?} is no threshold ({why}); one is such as p99<50ms, order p99.9<=1s, errors<0.1% or rate>900"
            )
        };
        let found = COMPARISONS.iter().find_map(|(sign, comparison)| Some((text.split_once(sign)?, *comparison)));
        let ((what, limit), comparison) = found.ok_or_else(|| wrong("it compares nothing"))?;
        let (kind, measure) = match what.trim().split_once(' ') {
            None => (None, what.trim()),
            Some((kind, measure)) => {
                let known = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
                (Some(known.ok_or_else(|| wrong("it begins with query or order, or with neither"))?), measure.trim())
            }
        };
        let measure =
            Measure::parse(measure).ok_or_else(|| wrong("it measures p50, p99.9 …, mean, max, errors or rate"))?;
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
            Self::Quantile(_) | Self::MeanMs | Self::MaxMs => "the limit is a time, with us, ms or s",
            Self::ErrorsPercent => "the limit is a percentage, with %",
            Self::Rate => "the limit is a number per second",
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
    /// Looks whether it was kept.
    pub fn judge(&self, outcome: &Outcome) -> Judged {
        let measured = match self.kind {
            Some(kind) => self.measure(outcome, outcome.of(kind), 0),
            None => self.measure(outcome, &outcome.both(), outcome.unsent),
        };
        let kept = measured.is_some_and(|measured| match self.comparison {
            Comparison::Below => measured < self.limit,
            Comparison::AtMost => measured <= self.limit,
            Comparison::Above => measured > self.limit,
            Comparison::AtLeast => measured >= self.limit,
        });
        Judged { threshold: self.clone(), measured, kept }
    }

    #[expect(clippy::cast_precision_loss, reason = "microseconds and counts are far below 2^53")]
    fn measure(&self, outcome: &Outcome, of_kind: &KindOutcome, unsent: u64) -> Option<f64> {
        let waited = of_kind.waited.histogram();
        let in_ms = |us: u64| us as f64 / 1000.0;
        let due = of_kind.sent() + unsent;
        match self.measure {
            Measure::Quantile(_) | Measure::MeanMs | Measure::MaxMs if waited.is_empty() => None,
            Measure::Quantile(quantile) => Some(in_ms(waited.value_at_quantile(quantile))),
            Measure::MeanMs => Some(waited.mean() / 1000.0),
            Measure::MaxMs => Some(in_ms(waited.max())),
            Measure::ErrorsPercent => (due > 0).then(|| 100.0 * (of_kind.failed() + unsent) as f64 / due as f64),
            Measure::Rate => Some(outcome.per_second(of_kind.done.count())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::testing::outcome;

    fn judged(threshold: &str) -> Judged {
        // 90 queries of 10 ms and 9 of 100 ms, one without an answer for 1 s; no orders; 2 visits that nobody came to; over 10 s.
        let ms = Duration::from_millis;
        let outcome = outcome(Kind::Query, &[(90, ms(10)), (9, ms(100))], &[(1, ms(1000))], 2, ms(10_000));
        threshold.parse::<Threshold>().unwrap().judge(&outcome)
    }

    #[test]
    fn what_is_kept_and_what_is_missed() {
        for kept in
            ["p50<11ms", "query p90<=10.1ms", "p99<0.2s", "max>=999ms", "mean<40000us", "errors<3%", "rate>9.8/s"]
        {
            assert!(judged(kept).kept, "{}", judged(kept));
        }
        // An answer that never came is as slow as the patience was long.
        for missed in ["p99.9<500ms", "errors<2.9%", "query errors<1%", "rate>=10", "order p50<1s", "order errors<1%"] {
            assert!(!judged(missed).kept, "{}", judged(missed));
        }
        assert_eq!(judged("query errors<=1%").measured, Some(1.0));
        assert_eq!(judged("order p50<1s").to_string(), "order p50<1s         MISSED nothing to measure");
    }

    #[test]
    fn what_is_no_threshold_says_why() {
        for (bad, why) in [
            ("p99", "compares nothing"),
            ("p101<1ms", "measures"),
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
