//! Where does plaintext wait that has no taker yet? [`Spill`]: of one record at most, since no other is opened before it is gone; and while nothing waits it owns nothing.

/// Plaintext that waits.
#[derive(Default)]
pub(crate) struct Spill {
    bytes: Vec<u8>,
    /// So many of them are gone: what is left is not moved for each small read.
    taken: usize,
}

impl Spill {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// More, behind what waits.
    pub(crate) fn push(&mut self, plaintext: &[u8]) {
        self.bytes.extend_from_slice(plaintext);
    }

    /// Moves as much as fits to the start of this memory, and says how much.
    pub(crate) fn take_into(&mut self, memory: &mut [u8]) -> usize {
        let n = self.len().min(memory.len());
        memory[..n].copy_from_slice(&self.bytes[self.taken..self.taken + n]);
        self.taken += n;
        if self.is_empty() {
            // A connection that pauses here holds none of it.
            *self = Spill::default();
        }
        n
    }
}

#[cfg(test)]
mod tests {
    use super::Spill;

    #[test]
    fn it_is_taken_in_order_and_once_however_small_the_pieces() {
        let mut spill = Spill::default();
        let (mut memory, mut seen) = ([0; 7], Vec::new());
        assert_eq!((spill.take_into(&mut memory), spill.is_empty()), (0, true));
        spill.push(b"some bytes ");
        assert_eq!(spill.take_into(&mut memory[..3]), 3);
        assert_eq!((spill.taken, spill.bytes.len()), (3, 11), "what is left has not moved");
        seen.extend_from_slice(&memory[..3]);
        spill.push(b"and more");
        while !spill.is_empty() {
            let left = spill.len();
            let n = spill.take_into(&mut memory);
            assert_eq!(spill.len(), left - n);
            seen.extend_from_slice(&memory[..n]);
        }
        assert_eq!(seen, b"some bytes and more");
        assert_eq!((spill.taken, spill.bytes.capacity()), (0, 0), "nothing is kept");
    }
}
