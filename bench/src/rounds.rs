//! Repeated measurements.

use report::{Spread, Table};
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

    /// Adds the columns that every table of rounds has. `rate` is the head of the rate.
    pub(crate) fn columns<T>(table: Table<T>, rate: &str, rounds: impl Fn(&T) -> &Self) -> Table<T> {
        table
            .number(rate, |it| Spread::of(rounds(it).0.iter().map(|measured| measured.per_s)))
            .number("p50 ms", |it| rounds(it).median().p50_us / 1e3)
            .number("p99 ms", |it| rounds(it).median().p99_us / 1e3)
            .number("generator's cores", |it| rounds(it).median().generator_cores)
    }

    fn median_of(&self, figure: fn(&Measurement) -> f64) -> f64 {
        median(self.0.iter().map(figure))
    }
}

/// The median.
///
/// # Panics
/// If there are no figures.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    Spread::of(figures).expect("there is at least one measurement").median
}

#[cfg(test)]
mod tests {
    use report::Document;

    use super::*;

    #[test]
    fn a_disturbed_round_does_not_change_the_median() {
        let measured = |per_s, p50_us| Measurement { per_s, p50_us, p99_us: 2.0 * p50_us, generator_cores: 0.5 };
        let mut rounds = Rounds::default();
        for (per_s, p50_us) in [(100.0, 5.0), (3.0, 900.0), (104.0, 4.0)] {
            rounds.add(measured(per_s, p50_us));
        }
        assert_eq!(rounds.median(), measured(100.0, 5.0));
        let mut page = Document::new("Rounds");
        page.table(Rounds::columns(Table::of([&rounds]), "GET/s", |it| it));
        let text = page.to_string();
        assert!(text.ends_with("100 (3 – 104)   0.005   0.010              0.500"), "{text}");
    }
}
