//! How the visits are distributed over the products.

use std::fmt;
use std::str::FromStr;

use rand::Rng;
use rand::distr::weighted::WeightedIndex;
use rand::distr::{Distribution, Uniform};

/// The steepest distribution: with 10, the first of a thousand products has 99.9 % of the visits.
const EXPONENT_MAX: f64 = 10.0;

/// How the visits are distributed over the products.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Popularity {
    /// Each product is equally popular.
    #[default]
    Uniform,
    /// The popularity of product *k*, in the order of the list, is proportional to 1/*k*^exponent:
    /// a few products get most visits. Shops and web pages show exponents around 1 (Breslau et al.,
    /// "Web caching and Zipf-like distributions", 1999: 0.64 to 0.83).
    Zipf {
        /// 0 (uniform) to 10.
        exponent: f64,
    },
}

impl FromStr for Popularity {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "it must be uniform, or zipf with an exponent from 0 to 10, such as zipf:1";
        match text.split_once(':') {
            None if text == "uniform" => Ok(Self::Uniform),
            None if text == "zipf" => Ok(Self::Zipf { exponent: 1.0 }),
            Some(("zipf", exponent)) => match exponent.parse::<f64>() {
                Ok(exponent) if (0.0..=EXPONENT_MAX).contains(&exponent) => Ok(Self::Zipf { exponent }),
                _ => Err(wrong),
            },
            _ => Err(wrong),
        }
    }
}

impl fmt::Display for Popularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::Zipf { exponent } => write!(f, "zipf:{exponent}"),
        }
    }
}

/// Draws products at random.
#[derive(Clone, Debug)]
pub(super) enum ProductSampler {
    Uniform(Uniform<usize>),
    Zipf(WeightedIndex<f64>),
}

impl ProductSampler {
    /// For that number of products, 1 or more.
    #[expect(clippy::cast_precision_loss, reason = "a catalog has far fewer than 2^53 products")]
    pub(super) fn new(popularity: Popularity, products: usize) -> Self {
        match popularity {
            Popularity::Uniform => Self::Uniform(Uniform::new(0, products).expect("there is a product")),
            Popularity::Zipf { exponent } => {
                let weights = (1..=products).map(|rank| (rank as f64).powf(-exponent));
                Self::Zipf(WeightedIndex::new(weights).expect("the first product's weight is 1"))
            }
        }
    }

    pub(super) fn next(&self, random: &mut impl Rng) -> usize {
        match self {
            Self::Uniform(uniform) => uniform.sample(random),
            Self::Zipf(zipf) => zipf.sample(random),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    use super::*;

    fn drawn(popularity: Popularity) -> [u32; 4] {
        let draw = ProductSampler::new(popularity, 4);
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        (0..12_000).fold([0; 4], |mut counts, _| {
            counts[draw.next(&mut random)] += 1;
            counts
        })
    }

    #[test]
    fn uniform_is_even_and_zipf_is_not() {
        assert!(drawn(Popularity::Uniform).iter().all(|count| (2800..3200).contains(count)));
        // 1 + 1/2 + 1/3 + 1/4 = 25/12: the shares are 12, 6, 4 and 3 of 25.
        let [first, second, third, fourth] = drawn(Popularity::Zipf { exponent: 1.0 });
        assert!((5600..5920).contains(&first), "{first}");
        assert!(second > third && third > fourth && (1300..1580).contains(&fourth), "{second} {third} {fourth}");
    }

    #[test]
    fn a_popularity_is_displayed_as_it_is_parsed() {
        for text in ["uniform", "zipf:0.8"] {
            assert_eq!(text.parse::<Popularity>().unwrap().to_string(), text);
        }
        for bad in ["", "zipf:", "zipf:-1", "zipf:NaN", "zipf:11", "gauss"] {
            assert!(bad.parse::<Popularity>().is_err(), "{bad:?}");
        }
    }
}
