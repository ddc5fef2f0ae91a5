//! One figure that decides, and what it is to be.

use std::fmt;

use serde::Serialize;

use crate::benchmark::Benchmark;

/// What a figure is to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// So much or more.
    AtLeast(f64),
    /// So much or less.
    AtMost(f64),
    /// Whatever it is: it is told, and that is all.
    Stated,
}

/// One figure that decides. `Display` is the line that says so.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// Whose.
    pub(crate) benchmark: Benchmark,
    /// Tells it from the others of its benchmark: `@64`, `-p99`; nothing for the main one.
    pub(crate) part: String,
    /// In words.
    pub(crate) what: String,
    /// Our figure, with its unit.
    pub(crate) ours: String,
    /// The one beside it, with its unit.
    pub(crate) beside: String,
    /// In which `value` is; `ratio` if it is ours divided by the one beside it.
    pub(crate) unit: &'static str,
    /// The figure.
    pub(crate) value: f64,
    /// What it is to be.
    pub(crate) goal: Goal,
}

impl Finding {
    /// Ours divided by theirs.
    pub(crate) fn ratio(
        benchmark: Benchmark,
        part: &str,
        what: &str,
        ours: Figure,
        beside: Figure,
        goal: Goal,
    ) -> Self {
        Self {
            benchmark,
            part: part.to_owned(),
            what: what.to_owned(),
            unit: "ratio",
            value: ours.value / beside.value,
            ours: ours.to_string(),
            beside: beside.to_string(),
            goal,
        }
    }

    /// A figure that is compared with nothing, or with what `beside` says.
    pub(crate) fn figure(benchmark: Benchmark, part: &str, what: &str, ours: Figure, beside: &str, goal: Goal) -> Self {
        Self {
            benchmark,
            part: part.to_owned(),
            what: what.to_owned(),
            unit: ours.unit,
            value: ours.value,
            ours: ours.to_string(),
            beside: beside.to_owned(),
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

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name(), self.unit, Digits(self.value))?;
        if let Goal::AtLeast(goal) | Goal::AtMost(goal) = self.goal {
            write!(f, " goal {}", Digits(goal))?;
        }
        write!(f, " {}", self.verdict())
    }
}

/// A number and what it counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
}

impl Figure {
    /// So many of these.
    pub(crate) fn new(value: f64, unit: &'static str) -> Self {
        Self { value, unit }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Digits(self.value), self.unit)
    }
}

/// With as many digits as mean something: `0.93`, `36.4`, `17,566`.
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

    fn finding(part: &str, ours: f64, goal: Goal) -> Finding {
        let rate = |value| Figure::new(value, "orders/s");
        Finding::ratio(Benchmark::P3, part, "orders", rate(ours), rate(1000.0), goal)
    }

    #[test]
    fn one_line_says_it() {
        let lines = [
            (finding("", 930.4, Goal::AtLeast(0.9)), "P3 ratio 0.93 goal 0.90 met"),
            (finding("@64", 1499.0, Goal::AtLeast(1.5)), "P3@64 ratio 1.50 goal 1.50 missed"),
            (finding("@16-p50", 1010.0, Goal::AtMost(1.0)), "P3@16-p50 ratio 1.01 goal 1.00 missed"),
            (finding("", 62_500.0, Goal::Stated), "P3 ratio 62.5 stated"),
        ];
        for (finding, line) in lines {
            assert_eq!(finding.to_string(), line);
        }
    }

    #[test]
    fn digits_that_mean_something() {
        let numbers = [(0.0123, "0.012"), (0.93, "0.93"), (36.42, "36.4"), (99.96, "100"), (17_566.4, "17,566")];
        for (number, text) in numbers {
            assert_eq!(Digits(number).to_string(), text);
        }
        assert_eq!(Figure::new(1_234_567.0, "puts/s").to_string(), "1,234,567 puts/s");
        assert_eq!(Digits(-1234.0).to_string(), "-1,234");
    }
}
