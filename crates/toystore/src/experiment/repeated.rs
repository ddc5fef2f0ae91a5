//! What is measured several times.

use std::fmt;

/// Where the repetitions of one measurement lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Repeated {
    /// As many lie below as above.
    pub(super) median: f64,
    /// The least.
    pub(super) least: f64,
    /// The most.
    pub(super) most: f64,
}

impl Repeated {
    /// `None` if nothing was measured.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Some(Self { median, least, most })
    }
}

/// With as many digits behind the point as is asked for; three that count, if nothing is.
impl fmt::Display for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, least, most } = self;
        let useful = match *median {
            small if small < 0.9995 => 3,
            small if small < 9.995 => 2,
            large if large < 99.95 => 1,
            _ => 0,
        };
        let digits = f.precision().unwrap_or(useful);
        write!(f, "{median:.digits$} ({least:.digits$} – {most:.digits$})")
    }
}

/// What was measured, or a dash.
pub(super) fn or_dash<T: ToString>(measured: Option<T>) -> String {
    measured.map_or_else(|| "–".into(), |measured| measured.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_the_middle() {
        let of = |values: &[f64]| Repeated::of(values.iter().copied());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0]), Some(Repeated { median: 3.0, least: 3.0, most: 3.0 }));
        assert_eq!(of(&[9.0, 1.0, 2.0]), Some(Repeated { median: 2.0, least: 1.0, most: 9.0 }));
        assert_eq!(of(&[4.0, 1.0, 2.0, 9.0]), Some(Repeated { median: 3.0, least: 1.0, most: 9.0 }));
        assert_eq!(format!("{:.1}", of(&[1.0, 2.0, 4.0]).unwrap()), "2.0 (1.0 – 4.0)");
        assert_eq!(of(&[0.1234, 0.1, 1.0]).unwrap().to_string(), "0.123 (0.100 – 1.000)");
        assert_eq!(of(&[43.21, 5.0, 123.4]).unwrap().to_string(), "43.2 (5.0 – 123.4)");
        assert_eq!(of(&[1234.5]).unwrap().to_string(), "1234 (1234 – 1234)");
    }
}
