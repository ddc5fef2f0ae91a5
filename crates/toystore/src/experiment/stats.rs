//! Statistics of repeated measurements.

use std::fmt;

/// Median and range of the repetitions of one measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stats {
    /// The middle value, or the mean of the two middle values.
    pub(super) median: f64,
    /// The smallest value.
    pub(super) min: f64,
    /// The largest value.
    pub(super) max: f64,
}

impl Stats {
    /// `None` if there are no values.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Some(Self { median, min, max })
    }
}

/// Formatted with the given number of decimals, by default with three significant digits.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, min, max } = self;
        let useful = match *median {
            small if small < 0.9995 => 3,
            small if small < 9.995 => 2,
            large if large < 99.95 => 1,
            _ => 0,
        };
        let digits = f.precision().unwrap_or(useful);
        write!(f, "{median:.digits$} ({min:.digits$} – {max:.digits$})")
    }
}

/// The value, or a dash if there is none.
pub(super) fn or_dash<T: ToString>(measured: Option<T>) -> String {
    measured.map_or_else(|| "–".into(), |measured| measured.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        let of = |values: &[f64]| Stats::of(values.iter().copied());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0]), Some(Stats { median: 3.0, min: 3.0, max: 3.0 }));
        assert_eq!(of(&[9.0, 1.0, 2.0]), Some(Stats { median: 2.0, min: 1.0, max: 9.0 }));
        assert_eq!(of(&[4.0, 1.0, 2.0, 9.0]), Some(Stats { median: 3.0, min: 1.0, max: 9.0 }));
        assert_eq!(format!("{:.1}", of(&[1.0, 2.0, 4.0]).unwrap()), "2.0 (1.0 – 4.0)");
        assert_eq!(of(&[0.1234, 0.1, 1.0]).unwrap().to_string(), "0.123 (0.100 – 1.000)");
        assert_eq!(of(&[43.21, 5.0, 123.4]).unwrap().to_string(), "43.2 (5.0 – 123.4)");
        assert_eq!(of(&[1234.5]).unwrap().to_string(), "1234 (1234 – 1234)");
    }
}
