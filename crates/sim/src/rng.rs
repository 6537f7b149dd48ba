//! One small source of chance: [`Rng`].

use std::ops::Range;

/// splitmix64: 64 bits of state, one addition and two multiplications a number.
///
/// It is here, and not a dependency, so that a seed means the same run with every version of every
/// crate, on every machine. Its period is 2^64 and any seed is a good one. Not for secrets.
///
/// Each number is `mix(state += 0x9e3779b97f4a7c15)`, where `mix` is the finaliser with the shifts 30, 27, 31
/// and the factors `0xbf58476d1ce4e5b9`, `0x94d049bb133111eb`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator of a seed. Equal seeds give equal numbers.
    pub const fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of the range; its start when the range is empty. The bias of the remainder is below
    /// 2^-32 for ranges below 2^32, which no test of ours can see.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        let width = range.end.saturating_sub(range.start);
        if width == 0 {
            return range.start;
        }
        range.start + self.next_u64() % width
    }

    /// True with this probability. Draws nothing when the answer is sure (0 or less, 1 or more), so
    /// that faults which are off don't move the others.
    pub fn chance(&mut self, probability: f64) -> bool {
        if probability <= 0.0 {
            return false;
        }
        if probability >= 1.0 {
            return true;
        }
        // 53 bits are what an f64 holds exactly.
        ((self.next_u64() >> 11) as f64) * (1.0 / (1u64 << 53) as f64) < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_first_numbers_of_splitmix64() {
        let mut rng = Rng::new(1_234_567);
        let got: Vec<u64> = (0..3).map(|_| rng.next_u64()).collect();
        assert_eq!(
            got,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn chances_come_true_as_often_as_they_say() {
        let mut rng = Rng::new(3);
        let hits = (0..100_000).filter(|_| rng.chance(0.3)).count();
        assert!((29_000..31_000).contains(&hits), "{hits}");
        let before = rng;
        assert!(!rng.chance(0.0) && rng.chance(1.0));
        assert_eq!(rng, before, "a sure answer draws nothing");
        assert_eq!(rng.within(5..5), 5);
    }
}
