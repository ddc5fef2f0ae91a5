//! One result of a benchmark, and its goal.

use std::fmt;

use report::number;
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

impl Benchmark {
    /// The result that is our figure divided by the reference.
    pub(crate) fn ratio(self, part: &str, what: &str, ours: Figure, reference: Figure, goal: Goal) -> BenchResult {
        let value = ours.value / reference.value;
        BenchResult { unit: "ratio", value, ..self.figure(part, what, ours, &reference.to_string(), goal) }
    }

    /// The result that is a single figure; `reference` describes what to compare it with, or is
    /// empty.
    pub(crate) fn figure(self, part: &str, what: &str, ours: Figure, reference: &str, goal: Goal) -> BenchResult {
        BenchResult {
            benchmark: self,
            part: part.to_owned(),
            what: what.to_owned(),
            unit: ours.unit,
            value: ours.value,
            ours: ours.to_string(),
            reference: reference.to_owned(),
            goal,
        }
    }
}

impl BenchResult {
    /// `P3@64`.
    pub(crate) fn name(&self) -> String {
        format!("{}{}", self.benchmark, self.part)
    }

    /// `≥ 1.50`.
    pub(crate) fn wanted(&self) -> String {
        match self.goal {
            Goal::AtLeast(goal) => format!("≥ {}", number(goal)),
            Goal::AtMost(goal) => format!("≤ {}", number(goal)),
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
        write!(f, "{} {} {}", self.name(), self.unit, number(self.value))?;
        if let Goal::AtLeast(goal) | Goal::AtMost(goal) = self.goal {
            write!(f, " goal {}", number(goal))?;
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
        write!(f, "{} {}", number(self.value), self.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(part: &str, ours: f64, goal: Goal) -> BenchResult {
        let rate = |value| Figure::new(value, "orders/s");
        Benchmark::P3.ratio(part, "orders", rate(ours), rate(1000.0), goal)
    }

    #[test]
    fn a_result_is_one_line() {
        let lines = [
            (result("", 930.4, Goal::AtLeast(0.9)), "P3 ratio 0.930 goal 0.900 met"),
            (result("@64", 1499.0, Goal::AtLeast(1.5)), "P3@64 ratio 1.50 goal 1.50 missed"),
            (result("@16-p50", 1010.0, Goal::AtMost(1.0)), "P3@16-p50 ratio 1.01 goal 1.00 missed"),
            (result("", 62_500.0, Goal::Stated), "P3 ratio 62.5 stated"),
        ];
        for (result, line) in lines {
            assert_eq!(result.to_string(), line);
        }
    }
}
