//! Repeated measurements.

use serde::Serialize;

/// One measurement of requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Measurement {
    /// Responses per second.
    pub(crate) per_s: f64,
    /// The median latency in microseconds.
    pub(crate) p50_us: f64,
    /// The 99th percentile of the latency in microseconds.
    pub(crate) p99_us: f64,
    /// The average number of CPU cores that the load generator used.
    pub(crate) generator_cores: f64,
}

/// The rounds of one measurement.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Rounds(Vec<Measurement>);

impl Rounds {
    /// Adds a round.
    pub(crate) fn add(&mut self, measured: Measurement) {
        self.0.push(measured);
    }

    /// The median of each figure separately.
    ///
    /// # Panics
    /// If nothing was measured.
    pub(crate) fn median(&self) -> Measurement {
        Measurement {
            per_s: self.median_of(|measured| measured.per_s),
            p50_us: self.median_of(|measured| measured.p50_us),
            p99_us: self.median_of(|measured| measured.p99_us),
            generator_cores: self.median_of(|measured| measured.generator_cores),
        }
    }

    /// The lowest and the highest rate.
    pub(crate) fn range_per_s(&self) -> (f64, f64) {
        let rates = || self.0.iter().map(|measured| measured.per_s);
        (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max))
    }

    fn median_of(&self, figure: fn(&Measurement) -> f64) -> f64 {
        median(self.0.iter().map(figure).collect())
    }
}

/// The median; for an even number of figures, the mean of the middle two.
///
/// # Panics
/// If there are no figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    assert!(!figures.is_empty(), "there is at least one measurement");
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 { figures[middle] } else { f64::midpoint(figures[middle - 1], figures[middle]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disturbed_round_does_not_change_the_median() {
        let measured = |per_s, p50_us| Measurement { per_s, p50_us, p99_us: 2.0 * p50_us, generator_cores: 0.5 };
        let mut rounds = Rounds::default();
        for (per_s, p50_us) in [(100.0, 5.0), (3.0, 900.0), (104.0, 4.0)] {
            rounds.add(measured(per_s, p50_us));
        }
        assert_eq!(rounds.median(), measured(100.0, 5.0));
        assert_eq!(rounds.range_per_s(), (3.0, 104.0));
    }

    #[test]
    fn the_median_of_an_even_number() {
        assert!((median(vec![4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < f64::EPSILON);
    }
}
