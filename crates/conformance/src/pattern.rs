//! Bytes of which each tells its place, so that loss, doubling and disorder all show.

use std::sync::OnceLock;

use crate::Invariant;
use crate::report::{Step, ensure};

/// 251 is prime: no buffer's size is a multiple of it, and the whole repeats after 251 * 256 bytes.
const LINE: usize = 251;
const PERIOD: usize = LINE * 256;

/// So many of these bytes, beginning at this place.
pub(crate) fn pattern(from: usize, n: usize) -> Vec<u8> {
    static PERIODIC: OnceLock<Vec<u8>> = OnceLock::new();
    let period =
        PERIODIC.get_or_init(|| (0..PERIOD).map(|i| (i % LINE) as u8 ^ (i / LINE) as u8).collect());
    let mut bytes = Vec::with_capacity(n);
    while bytes.len() < n {
        let at = (from + bytes.len()) % PERIOD;
        let most = (n - bytes.len()).min(PERIOD - at);
        bytes.extend_from_slice(&period[at..at + most]);
    }
    bytes
}

/// The bytes that came are these from the start.
pub(crate) fn is_pattern(got: &[u8], n: usize, invariant: Invariant) -> Step {
    let right = pattern(0, n);
    if got == right {
        return Ok(());
    }
    let same = got.iter().zip(&right).take_while(|(a, b)| a == b).count();
    let what = format_args!("{} bytes, of which the first {same} are right", got.len());
    ensure(false, invariant, format_args!("{n} bytes as they were sent"), what)
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn a_part_of_the_pattern_is_the_pattern_of_that_part() {
        let whole = pattern(0, 200_000);
        for (from, n) in [(0, 1), (250, 3), (64_255, 2), (100_000, 70_000)] {
            assert_eq!(pattern(from, n), whole[from..from + n]);
        }
        assert_ne!(whole[..1000], whole[251..1251]);
    }
}
