//! Bytes that are told apart by their place, and a digest of them.

/// So many bytes of a stream, from this place on.
pub(crate) fn bytes(seed: u64, from: u64, n: usize) -> Vec<u8> {
    (from..from + n as u64).map(|at| byte(seed, at)).collect()
}

fn byte(seed: u64, at: u64) -> u8 {
    let mixed = (seed ^ (at / 8)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (8 * (at % 8))) as u8
}

/// FNV-1a: enough to tell whether what came is what was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Digest(u64);

impl Digest {
    pub(crate) const fn new() -> Digest {
        Digest(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_however_it_is_cut() {
        let whole = bytes(7, 0, 1000);
        let cut = [bytes(7, 0, 13), bytes(7, 13, 900), bytes(7, 913, 87)].concat();
        assert_eq!(whole, cut);
        assert_ne!(whole, bytes(8, 0, 1000));
    }

    #[test]
    fn a_byte_that_is_changed_lost_or_moved_changes_the_digest() {
        let digest = |bytes: &[u8]| {
            let mut digest = Digest::new();
            digest.add(bytes);
            digest
        };
        let whole = bytes(7, 0, 100);
        let mut other = whole.clone();
        other[50] ^= 1;
        assert_ne!(digest(&whole), digest(&other));
        assert_ne!(digest(&whole), digest(&whole[1..]));
        let moved = [&whole[1..], &whole[..1]].concat();
        assert_ne!(digest(&whole), digest(&moved));
    }
}
