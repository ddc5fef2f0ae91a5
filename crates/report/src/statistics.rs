//! Statistics of repeated measurements.

use std::fmt;

use crate::number::{decimals, with_decimals};

/// Median and range of the repetitions of one measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle value, or the mean of the two middle values.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

impl Spread {
    /// `None` if there are no values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Some(Self { median, min, max })
    }
}

/// `36.4 (35.0 – 40.1)`: all three with the decimals of the median, which stands alone if the
/// values are the same.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, min, max] =
            [self.median, self.min, self.max].map(|value| with_decimals(value, decimals(self.median)));
        if self.min < self.max { write!(f, "{median} ({min} – {max})") } else { f.write_str(&median) }
    }
}

/// A percentile by nearest rank: the smallest of the sorted values that at least `percent` % of
/// them do not exceed. `None` if there are no values.
pub fn nearest_rank<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        let of = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0]), Some(Spread { median: 3.0, min: 3.0, max: 3.0 }));
        assert_eq!(of(&[9.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 9.0 }));
        assert_eq!(of(&[4.0, 1.0, 2.0, 9.0]), Some(Spread { median: 3.0, min: 1.0, max: 9.0 }));
        assert_eq!(of(&[0.1234, 0.1, 1.0]).unwrap().to_string(), "0.123 (0.100 – 1.000)");
        assert_eq!(of(&[43.21, 5.0, 123.4]).unwrap().to_string(), "43.2 (5.0 – 123.4)");
        assert_eq!(of(&[1234.6]).unwrap().to_string(), "1,235");
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values: Vec<_> = (1..=50).collect();
        assert_eq!([0, 50, 99, 100].map(|percent| nearest_rank(&values, percent)), [1, 25, 50, 50].map(Some));
        assert_eq!(nearest_rank::<u64>(&[], 50), None);
    }
}
