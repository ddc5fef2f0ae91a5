//! Axes of plots.

use std::ops::Range;

use crate::number::tick;

/// How values are mapped to positions on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Linear, starting at 0.
    Linear,
    /// Logarithmic, in powers of ten. Values that are not above 0 are not drawn.
    Log,
}

/// One axis of a plot.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What the axis shows, with the unit.
    pub label: String,
    /// The scale.
    pub scale: Scale,
    /// The range of values; `None` derives it from the data.
    pub range: Option<Range<f64>>,
    /// Formats the number at a tick.
    pub format_tick: fn(f64) -> String,
}

impl Axis {
    /// An axis that shows all data, with plain numbers at its ticks.
    pub fn new(label: &str, scale: Scale) -> Self {
        Self { label: label.into(), scale, range: None, format_tick: tick }
    }

    /// The range of the axis: the configured one, or one that contains all of `values`.
    pub(crate) fn range_over(&self, values: impl Iterator<Item = f64>) -> Range<f64> {
        if let Some(range) = &self.range {
            return range.clone();
        }
        let values = values.filter(|value| value.is_finite() && (self.scale == Scale::Linear || *value > 0.0));
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        match self.scale {
            _ if low > high => 0.1..1.0,
            Scale::Linear => 0.0..if high > 0.0 { high * 1.05 } else { 1.0 },
            // Whole decades: otherwise an axis may have one tick, or none.
            Scale::Log => 10_f64.powf(low.log10().floor())..10_f64.powf((high * 1.05).log10().ceil()),
        }
    }
}
