//! Axes of plots.

use std::ops::Range;

/// How an axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Evenly, from 0 on.
    Linear,
    /// By factors of ten. What is not above 0 is not drawn.
    Log,
}

/// One axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it shows, with the unit.
    pub label: String,
    /// How it counts.
    pub scale: Scale,
    /// From where to where; from the data if there is none.
    pub range: Option<Range<f64>>,
    /// A number on it, as text.
    pub tick: fn(f64) -> String,
}

impl Axis {
    /// An axis that shows all data, with plain numbers.
    pub fn new(label: &str, scale: Scale) -> Self {
        Self { label: label.into(), scale, range: None, tick: plain }
    }

    /// What it goes over: its own range, or one around all of `values`.
    pub(crate) fn over(&self, values: impl Iterator<Item = f64>) -> Range<f64> {
        if let Some(range) = &self.range {
            return range.clone();
        }
        let values = values.filter(|value| value.is_finite() && (self.scale == Scale::Linear || *value > 0.0));
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        match self.scale {
            _ if low > high => 0.1..1.0,
            Scale::Linear => 0.0..if high > 0.0 { high * 1.05 } else { 1.0 },
            // Whole decades: else an axis may have one number on it, or none.
            Scale::Log => 10_f64.powf(low.log10().floor())..10_f64.powf((high * 1.05).log10().ceil()),
        }
    }
}

/// As many digits as are of use.
pub(crate) fn plain(value: f64) -> String {
    let digits = match value.abs() {
        small if small < 0.995 => 2,
        small if small < 9.95 => 1,
        large if large >= 10_000.0 => return format!("{}k", (value / 100.0).round() / 10.0),
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    if digits == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.0, 0.05, 0.15, 0.1 + 0.2, 0.5, 1.5, 2.0, 10.0, 12.34, 999.0, 12_345.0].map(plain),
            ["0", "0.05", "0.15", "0.3", "0.5", "1.5", "2", "10", "12", "999", "12.3k"]
        );
    }
}
