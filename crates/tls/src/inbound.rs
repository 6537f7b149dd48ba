//! Where does ciphertext land, and what of it is left? [`Inbound`]: one block of the loop's pool, while there is anything in it.

use std::fmt;

use millrun_loop::{Block, BlockPool, BlockSize, LARGE_BLOCK, SMALL_BLOCK};

/// Received and not yet worked off, at most, unless whoever is below brings more at once: a handshake message (64 KiB) has to lie here whole, with the headers of the records that
/// it came in and the record behind it. Records alone fit into a large block of the pool several times.
pub(crate) const MOST_CIPHERTEXT: usize = 2 * LARGE_BLOCK;

/// A read is worth this much room: less is first made larger by moving what is left to the front.
const LEAST_ROOM: usize = 2048;

/// Ciphertext on its way to be opened. An idle connection's is empty, and owns nothing.
#[derive(Default)]
pub(crate) struct Inbound {
    /// There only while it holds something, or is lent to be received into.
    block: Option<Block>,
    start: usize,
    end: usize,
    /// A receive filled what it got, and none since then that began anew brought less than a small block holds: large blocks are
    /// earned. (What comes behind a part of a record is the rest of something large, however little it is.)
    busy: bool,
}

impl Inbound {
    /// What has come, in order.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        let (start, end) = (self.start, self.end);
        self.block.as_mut().map_or(&mut [], |block| &mut block[start..end])
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// As much has come as is asked for at most.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= MOST_CIPHERTEXT
    }

    /// Memory behind what has come. `None` when as much has come as is held at most.
    pub(crate) fn room(&mut self, pool: &BlockPool) -> Option<&mut [u8]> {
        self.make_room(LEAST_ROOM, pool);
        let end = self.end;
        self.block.as_mut().map(|block| &mut block[end..]).filter(|room| !room.is_empty())
    }

    /// So many bytes were received into the room.
    pub(crate) fn received(&mut self, n: usize, pool: &BlockPool) {
        let capacity = self.block.as_ref().map_or(0, |block| block.len());
        let begins = self.is_empty();
        self.end = (self.end + n).min(capacity);
        if n > 0 && self.end == capacity {
            self.busy = true;
        } else if begins && (1..SMALL_BLOCK).contains(&n) {
            self.busy = false;
        }
        self.release_if_empty(pool);
    }

    /// Bytes that lie elsewhere, all of them: they have come, and nobody else has them.
    pub(crate) fn append(&mut self, data: &[u8], pool: &BlockPool) {
        if data.is_empty() {
            return;
        }
        self.make_room(data.len(), pool);
        let room = self.block.as_ref().map_or(0, |block| block.len() - self.end);
        if room < data.len() {
            // Doubled, so that many pieces are moved a few times.
            let needed = self.len() + data.len();
            self.grow(needed.max(2 * self.len()), pool);
        }
        let end = self.end;
        if let Some(block) = &mut self.block {
            block[end..end + data.len()].copy_from_slice(data);
            self.end = end + data.len();
        }
    }

    /// The first `n` bytes are worked off.
    pub(crate) fn discard(&mut self, n: usize, pool: &BlockPool) {
        self.start = (self.start + n).min(self.end);
        self.release_if_empty(pool);
    }

    /// Memory owned, in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.block.as_ref().map_or(0, |block| block.len())
    }

    fn release_if_empty(&mut self, pool: &BlockPool) {
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
            if let Some(block) = self.block.take() {
                pool.give(block);
            }
        }
    }

    /// At least so much room, unless that is more than may be held.
    fn make_room(&mut self, wanted: usize, pool: &BlockPool) {
        let needed = self.len() + wanted;
        let Some(block) = &mut self.block else {
            let large = self.busy || needed > SMALL_BLOCK;
            self.block = Some(pool.take(if large { BlockSize::Large } else { BlockSize::Small }));
            if needed > LARGE_BLOCK {
                self.grow(MOST_CIPHERTEXT, pool);
            }
            return;
        };
        if block.len() - self.end >= wanted {
            return;
        }
        if needed <= block.len() && !(self.busy && block.len() == SMALL_BLOCK) {
            block.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        } else if block.len() < MOST_CIPHERTEXT {
            self.grow(if needed > LARGE_BLOCK { MOST_CIPHERTEXT } else { LARGE_BLOCK }, pool);
        } else {
            block.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
    }

    fn grow(&mut self, bytes: usize, pool: &BlockPool) {
        let mut larger =
            if bytes == LARGE_BLOCK { pool.take(BlockSize::Large) } else { Block::of(bytes) };
        let held = self.len();
        larger[..held].copy_from_slice(self.bytes());
        (self.start, self.end) = (0, held);
        if let Some(smaller) = self.block.replace(larger) {
            pool.give(smaller);
        }
    }
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inbound({} bytes, {} of memory)", self.len(), self.capacity())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_owns_nothing() {
        let (pool, mut inbound) = (BlockPool::new(), Inbound::default());
        assert_eq!(inbound.room(&pool).unwrap().len(), SMALL_BLOCK);
        inbound.received(0, &pool);
        assert_eq!(inbound.capacity(), 0);
        inbound.append(b"abc", &pool);
        inbound.discard(2, &pool);
        assert_eq!((inbound.bytes().to_vec(), inbound.capacity()), (b"c".to_vec(), SMALL_BLOCK));
        inbound.discard(1, &pool);
        assert_eq!(inbound.capacity(), 0);
    }

    #[test]
    fn bytes_stay_in_order_while_it_moves_and_grows() {
        let (pool, mut inbound) = (BlockPool::new(), Inbound::default());
        let (mut sent, mut seen) = (0u32, 0u32);
        for round in 0..400usize {
            let room = inbound.room(&pool).map_or(0, |room| {
                let n = room.len().min(round * 37 % 9000);
                room[..n].iter_mut().for_each(|byte| {
                    *byte = sent as u8;
                    sent += 1;
                });
                n
            });
            inbound.received(room, &pool);
            let n = inbound.len().min(round * 53 % 7000);
            for byte in &inbound.bytes()[..n] {
                assert_eq!(*byte, seen as u8, "byte {seen}");
                seen += 1;
            }
            inbound.discard(n, &pool);
        }
        assert_eq!((sent - seen) as usize, inbound.len());
    }

    /// What a small block would have held: it is asked for again when there is no more.
    #[test]
    fn a_large_block_is_earned_by_what_comes_and_kept_for_a_messages_rest() {
        let (pool, mut inbound) = (BlockPool::new(), Inbound::default());
        let mut receive = |n: usize, discard: usize| {
            let room = inbound.room(&pool).unwrap().len();
            inbound.received(n.min(room), &pool);
            inbound.discard(discard, &pool);
            room
        };
        assert_eq!(receive(100, 100), SMALL_BLOCK);
        assert_eq!(receive(usize::MAX, 0), SMALL_BLOCK);
        assert_eq!(receive(usize::MAX, 50_000), LARGE_BLOCK - SMALL_BLOCK);
        assert_eq!(receive(88, usize::MAX), 50_000, "the rest of it");
        assert_eq!(receive(20_000, 20_000), LARGE_BLOCK);
        assert_eq!(receive(100, 100), LARGE_BLOCK, "that was little");
        assert_eq!(receive(100, 100), SMALL_BLOCK);
    }

    #[test]
    fn no_room_is_given_for_more_than_the_most_and_what_comes_nevertheless_is_held() {
        let (pool, mut inbound) = (BlockPool::new(), Inbound::default());
        inbound.append(&vec![7; MOST_CIPHERTEXT], &pool);
        assert!(inbound.is_full() && inbound.room(&pool).is_none(), "{inbound:?}");
        inbound.append(&[8; 3], &pool);
        inbound.append(&vec![9; 5 * MOST_CIPHERTEXT], &pool);
        assert_eq!(inbound.len(), 6 * MOST_CIPHERTEXT + 3);
        inbound.discard(MOST_CIPHERTEXT, &pool);
        assert_eq!(inbound.bytes()[..4], [8, 8, 8, 9]);
        inbound.discard(5 * MOST_CIPHERTEXT + 2, &pool);
        assert_eq!(inbound.bytes(), [9]);
        assert!(inbound.room(&pool).is_some());
        inbound.received(0, &pool);
        inbound.discard(1, &pool);
        assert_eq!(inbound.capacity(), 0, "and given back");
    }
}
