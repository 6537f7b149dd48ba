//! The bytes of one direction: each can be told from its place, so every byte that arrives is checked.

use millrun_sim::Rng;

#[derive(Clone, Copy)]
pub(crate) struct Pattern(pub(crate) u64);

impl Pattern {
    fn word(self, number: u64) -> [u8; 8] {
        Rng::new(self.0 ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d)).next_u64().to_le_bytes()
    }

    /// `len` bytes from a place on.
    pub(crate) fn piece(self, from: u64, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 16);
        let skip = (from % 8) as usize;
        let mut word = from / 8;
        while bytes.len() < skip + len {
            bytes.extend_from_slice(&self.word(word));
            word += 1;
        }
        bytes.drain(..skip);
        bytes.truncate(len);
        bytes
    }

    /// These are the bytes from that place on.
    pub(crate) fn is_at(self, from: u64, bytes: &[u8]) -> bool {
        bytes == self.piece(from, bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_told_from_its_place() {
        let pattern = Pattern(7);
        let whole = pattern.piece(0, 100);
        for from in 0..50 {
            assert!(pattern.is_at(from, &whole[from as usize..80]));
            assert!(!pattern.is_at(from + 1, &whole[from as usize..80]));
        }
        assert_ne!(whole, Pattern(8).piece(0, 100));
    }
}
