// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Medians and how sure one can be of them.

/// The quantile `q` (0 to 1) of some numbers, by the nearest rank; NaN of none.
pub(crate) fn quantile(numbers: &[f64], q: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let at = (q * last as f64).round() as usize;
    sorted.get(at.min(last)).copied().unwrap_or(f64::NAN)
}

/// The median.
pub(crate) fn median(numbers: &[f64]) -> f64 {
    quantile(numbers, 0.5)
}

/// The 95 % confidence interval of the median, by bootstrap: what the median of as many
/// numbers drawn from these, with replacement, is in 95 of 100 draws. The draws are the same in
/// each run.
pub(crate) fn interval(numbers: &[f64]) -> (f64, f64) {
    const DRAWS: usize = 1000;
    if numbers.len() < 3 {
        return (f64::NAN, f64::NAN);
    }
    let mut dice = Dice(1);
    let medians: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let draw = || numbers[dice.below(numbers.len())];
            median(
                &std::iter::repeat_with(draw)
                    .take(numbers.len())
                    .collect::<Vec<_>>(),
            )
        })
        .collect();
    (quantile(&medians, 0.025), quantile(&medians, 0.975))
}

/// Numbers that look random and are the same in each run (SplitMix64, Steele et al. 2014).
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below this one, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 1.0), 3.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn an_interval_lies_around_the_median_and_shrinks_with_more_numbers() {
        let mut dice = Dice(7);
        let mut numbers = |count| -> Vec<f64> {
            std::iter::repeat_with(|| dice.below(1000) as f64)
                .take(count)
                .collect()
        };
        let (few, many) = (numbers(9), numbers(900));
        let width = |numbers: &[f64]| {
            let (low, high) = interval(numbers);
            assert!(low <= median(numbers) && median(numbers) <= high);
            high - low
        };
        assert!(width(&many) < width(&few));
    }
}
