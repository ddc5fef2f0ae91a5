//! Random numbers. All randomness of a simulation comes from its seed.

use std::ops::RangeInclusive;

/// A sequence of numbers that is determined by its seed.
///
/// `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014) instead of a library's generator, whose
/// sequence may change with its version: tests keep seeds that have failed for years.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        // Most seeds are small, and their first numbers should not be similar.
        let mut random = Self(seed ^ 0x5eed_5eed_5eed_5eed);
        random.next();
        random
    }

    /// An independent sequence: draws from it do not affect this one.
    pub(crate) fn fork(&mut self) -> Self {
        Self::new(self.next())
    }

    /// 64 random bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number from 0 to `bound` − 1. The slight bias of the modulo does not matter here.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "the bound is positive");
        usize::try_from(self.next() % bound as u64).expect("less than a usize")
    }

    /// A number in a range.
    pub(crate) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        low + self.next() % (high - low + 1)
    }

    /// True `times` times in a thousand.
    pub(crate) fn per_mille(&mut self, times: u64) -> bool {
        self.next() % 1000 < times
    }

    /// One of the items.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Shuffles the items (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_a_sequence_and_a_fork_is_independent() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            let mut fork = random.fork();
            [random.next(), random.next(), fork.next(), fork.next()]
        };
        assert_eq!(draw(1), draw(1));
        let mut all: Vec<_> = (0..100).flat_map(draw).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 400);
    }

    #[test]
    fn draws_stay_within_their_bounds_and_reach_them() {
        let mut random = Random::new(7);
        let drawn: std::collections::BTreeSet<_> = (0..200).map(|_| random.within(3..=6)).collect();
        assert_eq!(drawn, (3..=6).collect());
        let mut items = [1, 2, 3, 4, 5];
        random.shuffle(&mut items);
        items.sort_unstable();
        assert_eq!(items, [1, 2, 3, 4, 5]);
        assert!((0..100).all(|_| random.per_mille(1000) && !random.per_mille(0)));
    }
}
