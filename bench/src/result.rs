//! One result of a benchmark, and its goal.

use std::fmt;

use serde::Serialize;

use crate::benchmark::Benchmark;

/// The goal of a result.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// This value or more.
    AtLeast(f64),
    /// This value or less.
    AtMost(f64),
    /// No goal: the result is only stated.
    Stated,
}

/// One result of a benchmark. `Display` writes it as one line.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BenchResult {
    /// The benchmark.
    pub(crate) benchmark: Benchmark,
    /// Distinguishes it from the benchmark's other results: `@64`, `-p99`; empty for the main
    /// result.
    pub(crate) part: String,
    /// A description.
    pub(crate) what: String,
    /// Our figure, with its unit.
    pub(crate) ours: String,
    /// The figure that it is compared with, with its unit.
    pub(crate) reference: String,
    /// The unit of `value`; `ratio` if it is our figure divided by the reference.
    pub(crate) unit: &'static str,
    /// The value.
    pub(crate) value: f64,
    /// The goal.
    pub(crate) goal: Goal,
}

impl BenchResult {
    /// Our figure divided by the reference.
    pub(crate) fn ratio(
        benchmark: Benchmark,
        part: &str,
        what: &str,
        ours: Figure,
        reference: Figure,
        goal: Goal,
    ) -> Self {
        Self {
            benchmark,
            part: part.to_owned(),
            what: what.to_owned(),
            unit: "ratio",
            value: ours.value / reference.value,
            ours: ours.to_string(),
            reference: reference.to_string(),
            goal,
        }
    }

    /// A single figure; `reference` describes what to compare it with, or is empty.
    pub(crate) fn figure(
        benchmark: Benchmark,
        part: &str,
        what: &str,
        ours: Figure,
        reference: &str,
        goal: Goal,
    ) -> Self {
        Self {
            benchmark,
            part: part.to_owned(),
            what: what.to_owned(),
            unit: ours.unit,
            value: ours.value,
            ours: ours.to_string(),
            reference: reference.to_owned(),
            goal,
        }
    }

    /// `P3@64`.
    pub(crate) fn name(&self) -> String {
        format!("{}{}", self.benchmark, self.part)
    }

    /// `≥ 1.50`.
    pub(crate) fn wanted(&self) -> String {
        match self.goal {
            Goal::AtLeast(goal) => format!("≥ {}", Digits(goal)),
            Goal::AtMost(goal) => format!("≤ {}", Digits(goal)),
            Goal::Stated => String::new(),
        }
    }

    /// `met`, `missed` or `stated`.
    pub(crate) fn verdict(&self) -> &'static str {
        let met = match self.goal {
            Goal::AtLeast(goal) => self.value >= goal,
            Goal::AtMost(goal) => self.value <= goal,
            Goal::Stated => return "stated",
        };
        if met { "met" } else { "missed" }
    }
}

impl fmt::Display for BenchResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name(), self.unit, Digits(self.value))?;
        if let Goal::AtLeast(goal) | Goal::AtMost(goal) = self.goal {
            write!(f, " goal {}", Digits(goal))?;
        }
        write!(f, " {}", self.verdict())
    }
}

/// A number and its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
}

impl Figure {
    /// A value in that unit.
    pub(crate) fn new(value: f64, unit: &'static str) -> Self {
        Self { value, unit }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Digits(self.value), self.unit)
    }
}

/// Displays a number with its significant digits: `0.93`, `36.4`, `17,566`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digits(pub(crate) f64);

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = match self.0.abs() {
            small if small < 0.095 => 3,
            small if small < 9.995 => 2,
            medium if medium < 99.95 => 1,
            _ => 0,
        };
        let plain = format!("{:.decimals$}", self.0);
        let digits = plain.len();
        if decimals > 0 || digits <= 3 {
            return f.pad(&plain);
        }
        let mut grouped = String::with_capacity(digits + digits / 3);
        for (at, digit) in plain.char_indices() {
            if at > 0 && (digits - at).is_multiple_of(3) && !grouped.ends_with('-') {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        f.pad(&grouped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(part: &str, ours: f64, goal: Goal) -> BenchResult {
        let rate = |value| Figure::new(value, "orders/s");
        BenchResult::ratio(Benchmark::P3, part, "orders", rate(ours), rate(1000.0), goal)
    }

    #[test]
    fn a_result_is_one_line() {
        let lines = [
            (result("", 930.4, Goal::AtLeast(0.9)), "P3 ratio 0.93 goal 0.90 met"),
            (result("@64", 1499.0, Goal::AtLeast(1.5)), "P3@64 ratio 1.50 goal 1.50 missed"),
            (result("@16-p50", 1010.0, Goal::AtMost(1.0)), "P3@16-p50 ratio 1.01 goal 1.00 missed"),
            (result("", 62_500.0, Goal::Stated), "P3 ratio 62.5 stated"),
        ];
        for (result, line) in lines {
            assert_eq!(result.to_string(), line);
        }
    }

    #[test]
    fn significant_digits() {
        let numbers = [(0.0123, "0.012"), (0.93, "0.93"), (36.42, "36.4"), (99.96, "100"), (17_566.4, "17,566")];
        for (number, text) in numbers {
            assert_eq!(Digits(number).to_string(), text);
        }
        assert_eq!(Figure::new(1_234_567.0, "puts/s").to_string(), "1,234,567 puts/s");
        assert_eq!(Digits(-1234.0).to_string(), "-1,234");
    }
}
