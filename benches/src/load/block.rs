//! The bytes that are sent, made once: what a connection sends is a walk over them, so that a message costs no copy and a reply is
//! checked by one comparison.
//!
//! A connection's stream is the block over and over, from a place of its own. Its period is no multiple of a message, and messages
//! at different places differ: bytes that were lost, doubled, swapped or sent to another connection don't match.

/// The period of bytes: a prime, and small enough to stay in the first cache.
const BYTES: usize = 16_381;

/// The period of lines: a prime.
const LINES: usize = 251;

#[derive(Debug)]
pub(super) struct Block {
    bytes: Vec<u8>,
    period: usize,
    /// From one connection's beginning to the next one's.
    step: usize,
}

impl Block {
    /// Of any bytes, for slices of up to `longest`.
    pub(super) fn of_bytes(longest: usize) -> Self {
        let period: Vec<u8> = Random::default().take(BYTES).collect();
        // No other connection of the first 16,381 begins at the same place.
        Self::new(&period, 4_099, longest)
    }

    /// Of lines with `size` bytes, the line feed among them.
    pub(super) fn of_lines(size: usize, longest: usize) -> Self {
        let mut period: Vec<u8> =
            Random::default().map(|byte| b'a' + byte % 26).take(LINES * size).collect();
        for line in period.chunks_mut(size) {
            line[size - 1] = b'\n';
        }
        Self::new(&period, 37 * size, longest)
    }

    fn new(period: &[u8], step: usize, longest: usize) -> Self {
        let bytes = period.iter().copied().cycle().take(period.len() + longest).collect();
        Self { bytes, period: period.len(), step }
    }

    /// So many bytes from `position` of the stream of that connection.
    pub(super) fn at(&self, connection: usize, position: u64, length: usize) -> &[u8] {
        let from = ((connection * self.step) as u64 + position) % self.period as u64;
        &self.bytes[from as usize..][..length]
    }
}

/// Bytes that look random, the same ones each time.
struct Random(u32);

impl Default for Random {
    fn default() -> Self {
        Self(0x9e37_79b9)
    }
}

impl Iterator for Random {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        Some((self.0 >> 11) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_a_connection_and_of_its_neighbours_differ() {
        for (block, size) in [(Block::of_bytes(1024), 64), (Block::of_lines(100, 1024), 100)] {
            let mut seen = std::collections::HashSet::new();
            for message in 0..LINES {
                assert!(seen.insert(block.at(0, (message * size) as u64, size).to_vec()));
            }
            for connection in 1..LINES {
                assert_ne!(block.at(0, 0, size), block.at(connection, 0, size));
            }
        }
    }

    #[test]
    fn a_slice_goes_over_the_periods_end() {
        let block = Block::of_bytes(100);
        let whole = [block.at(0, 16_361, 20), block.at(0, 0, 80)].concat();
        assert_eq!(block.at(0, 16_361, 100), whole);
        assert_eq!(block.at(0, u64::from(u32::MAX) * 16_381, 9), block.at(0, 0, 9));
    }

    #[test]
    fn each_line_ends_once() {
        let block = Block::of_lines(10, 100);
        for line in block.at(3, 0, 100).chunks(10) {
            assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(9));
        }
    }
}
