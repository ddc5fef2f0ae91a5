//! Subset sums: which totals some of many quantities can have.

use std::collections::BTreeMap;

/// The sums of all subsets of a multiset of quantities, up to a bound. One bit per sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    bits: Vec<u64>,
}

impl Sums {
    /// The sums for `counts` (how often each quantity occurs), up to `max`.
    pub(crate) fn new(counts: &BTreeMap<u64, u64>, max: u64) -> Self {
        let total =
            counts.iter().fold(0_u64, |total, (quantity, count)| total.saturating_add(quantity.saturating_mul(*count)));
        let largest = usize::try_from(total.min(max)).expect("stock fits memory");
        let mut sums = Self { bits: vec![0; largest / 64 + 1] };
        sums.bits[0] = 1;
        for (quantity, count) in counts {
            // Multiples of 1, 2, 4, … and the rest: their sums are all multiples from 0 to `count`.
            let (mut rest, mut some) = (*count, 1);
            while rest > 0 {
                let these = some.min(rest);
                sums.add(quantity.saturating_mul(these));
                rest -= these;
                some *= 2;
            }
        }
        sums
    }

    /// Whether `sum` is the sum of a subset.
    pub(crate) fn contains(&self, sum: u64) -> bool {
        let Ok(sum) = usize::try_from(sum) else { return false };
        self.bits.get(sum / 64).is_some_and(|word| word >> (sum % 64) & 1 == 1)
    }

    /// The largest sum that is at most `bound`. It exists: the empty subset has the sum 0.
    pub(crate) fn largest_within(&self, bound: u64) -> u64 {
        let last = usize::try_from(bound).map_or(usize::MAX, |bound| bound);
        let mut word = (last / 64).min(self.bits.len() - 1);
        let mut mask = if last / 64 == word { u64::MAX >> (63 - last % 64) } else { u64::MAX };
        loop {
            let bits = self.bits[word] & mask;
            if bits != 0 {
                return (word * 64 + 63 - bits.leading_zeros() as usize) as u64;
            }
            (word, mask) = (word - 1, u64::MAX);
        }
    }

    /// Adds one element: every sum so far, with or without `quantity`.
    fn add(&mut self, quantity: u64) {
        let Ok(shift) = usize::try_from(quantity) else { return };
        let (words, bits) = (shift / 64, shift % 64);
        for word in (words..self.bits.len()).rev() {
            let low = self.bits[word - words] << bits;
            let high = if bits > 0 && word > words { self.bits[word - words - 1] >> (64 - bits) } else { 0 };
            self.bits[word] |= low | high;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_the_sums_of_all_subsets(quantities in prop::collection::vec(1_u64..90, 0..10), max in 0_u64..300) {
            let mut counts = BTreeMap::new();
            for quantity in &quantities {
                *counts.entry(*quantity).or_insert(0) += 1;
            }
            let sums = Sums::new(&counts, max);
            let subset = |n: u32| quantities.iter().enumerate().filter(|(i, _)| n >> i & 1 == 1).map(|(_, q)| q).sum::<u64>();
            let all: std::collections::BTreeSet<_> = (0..1 << quantities.len()).map(subset).collect();
            for sum in 0..=max {
                prop_assert_eq!(sums.contains(sum), all.contains(&sum), "{}", sum);
                prop_assert_eq!(Some(&sums.largest_within(sum)), all.range(..=sum).next_back());
            }
        }
    }
}
