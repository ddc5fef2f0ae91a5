//! What was measured several times.

use serde::Serialize;

/// One measurement of requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Measured {
    /// Answers per second.
    pub(crate) per_s: f64,
    /// Half of them came within this, in microseconds …
    pub(crate) p50_us: f64,
    /// … and 99 % within this.
    pub(crate) p99_us: f64,
    /// Processors that the asker used on average.
    pub(crate) asker_cores: f64,
}

/// The same measurement, several times.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Rounds(Vec<Measured>);

impl Rounds {
    /// One more.
    pub(crate) fn add(&mut self, measured: Measured) {
        self.0.push(measured);
    }

    /// The median of each figure, by itself.
    ///
    /// # Panics
    /// If nothing was measured.
    pub(crate) fn median(&self) -> Measured {
        Measured {
            per_s: self.median_of(|measured| measured.per_s),
            p50_us: self.median_of(|measured| measured.p50_us),
            p99_us: self.median_of(|measured| measured.p99_us),
            asker_cores: self.median_of(|measured| measured.asker_cores),
        }
    }

    /// The lowest and the highest rate.
    pub(crate) fn range_per_s(&self) -> (f64, f64) {
        let rates = || self.0.iter().map(|measured| measured.per_s);
        (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max))
    }

    fn median_of(&self, figure: fn(&Measured) -> f64) -> f64 {
        median(self.0.iter().map(figure).collect())
    }
}

/// The middle one; of an even number, the mean of the middle two.
///
/// # Panics
/// If there is none.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    assert!(!figures.is_empty(), "something was measured");
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 { figures[middle] } else { f64::midpoint(figures[middle - 1], figures[middle]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disturbed_round_is_outvoted() {
        let measured = |per_s, p50_us| Measured { per_s, p50_us, p99_us: 2.0 * p50_us, asker_cores: 0.5 };
        let mut rounds = Rounds::default();
        for (per_s, p50_us) in [(100.0, 5.0), (3.0, 900.0), (104.0, 4.0)] {
            rounds.add(measured(per_s, p50_us));
        }
        assert_eq!(rounds.median(), measured(100.0, 5.0));
        assert_eq!(rounds.range_per_s(), (3.0, 104.0));
    }

    #[test]
    fn an_even_number_has_two_in_the_middle() {
        assert!((median(vec![4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < f64::EPSILON);
    }
}
