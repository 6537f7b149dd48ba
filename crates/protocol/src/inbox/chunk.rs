//! A piece of memory and the part of it that holds unread bytes: [`Chunk`], and where the memory comes
//! from: [`Blocks`].

use std::fmt;

use millrun_loop::{Block, BlockPool, BlockSize, LARGE_BLOCK, SMALL_BLOCK};

/// Lends memory to an inbox and takes it back. The loop's pool is one; a test brings its own.
///
/// Nothing may call back into the inbox from here.
pub trait Blocks {
    /// Initialised memory of [`SMALL_BLOCK`] or [`LARGE_BLOCK`] bytes.
    fn take(&self, size: BlockSize) -> Box<[u8]>;

    /// Memory that is no longer used: one of the two sizes, or of any other.
    fn give(&self, memory: Box<[u8]>);
}

impl Blocks for BlockPool {
    fn take(&self, size: BlockSize) -> Box<[u8]> {
        BlockPool::take(self, size).into()
    }

    fn give(&self, memory: Box<[u8]>) {
        if let Ok(block) = Block::try_from(memory) {
            BlockPool::give(self, block);
        }
    }
}

/// Memory, of which `start..end` holds bytes that were received and not read. 32 bytes; owns no memory
/// when empty by default.
#[derive(Default)]
pub struct Chunk {
    memory: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Chunk {
    /// No bytes in this memory.
    pub fn new(memory: Box<[u8]>) -> Chunk {
        Chunk { memory, start: 0, end: 0 }
    }

    /// The memory behind the bytes, for receiving into.
    pub fn tail(&mut self) -> &mut [u8] {
        &mut self.memory[self.end..]
    }

    /// `n` bytes were written to the start of the tail (at most all of it).
    pub fn filled(&mut self, n: usize) {
        self.end = (self.end + n).min(self.memory.len());
    }

    /// Copies as much of `data` as the tail takes; says how much.
    pub fn append(&mut self, data: &[u8]) -> usize {
        let n = data.len().min(self.tail_len());
        self.memory[self.end..self.end + n].copy_from_slice(&data[..n]);
        self.end += n;
        n
    }

    /// The first `n` bytes (at most all of them) are read.
    pub fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }

    /// Moves the bytes to the front of the memory, so that the tail is as long as it can be.
    pub fn compact(&mut self) {
        if self.start > 0 {
            self.memory.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }

    /// Takes the memory out; the bytes are gone.
    pub fn release(&mut self, blocks: &impl Blocks) {
        let memory = std::mem::take(self).memory;
        if !memory.is_empty() {
            blocks.give(memory);
        }
    }

    /// More memory, with the bytes at its front: a block of the next size, then an allocation of the
    /// chunk's own that doubles up to `want` bytes.
    pub fn grow(&mut self, want: usize, blocks: &impl Blocks) {
        if self.capacity() < LARGE_BLOCK {
            let small = want <= SMALL_BLOCK && self.capacity() < SMALL_BLOCK;
            let size = if small { BlockSize::Small } else { BlockSize::Large };
            self.replace(blocks.take(size), blocks);
        } else {
            let doubled = self.capacity().saturating_mul(2);
            self.grow_to(doubled.min(want).max(self.capacity() + 1), blocks);
        }
    }

    /// Memory of the chunk's own of this size, with the bytes at its front.
    pub fn grow_to(&mut self, capacity: usize, blocks: &impl Blocks) {
        if matches!(self.capacity(), 0 | SMALL_BLOCK | LARGE_BLOCK) {
            return self.replace(vec![0; capacity].into_boxed_slice(), blocks);
        }
        // No block: realloc moves pages where it can, and does not copy them.
        self.compact();
        let mut memory = std::mem::take(&mut self.memory).into_vec();
        memory.reserve_exact(capacity.saturating_sub(memory.len()));
        memory.resize(capacity.max(memory.len()), 0);
        self.memory = memory.into_boxed_slice();
    }

    /// Gives an allocation of the chunk's own back, when `want` bytes don't need it and the few that
    /// are left fit into a block: one big read must not make a connection big for ever.
    pub fn shrink(&mut self, want: usize, blocks: &impl Blocks) {
        if self.capacity() > LARGE_BLOCK && want <= LARGE_BLOCK && self.len() <= LARGE_BLOCK / 2 {
            self.replace(blocks.take(BlockSize::Large), blocks);
        }
    }

    fn replace(&mut self, memory: Box<[u8]>, blocks: &impl Blocks) {
        let mut larger = Chunk::new(memory);
        larger.append(self.bytes());
        self.release(blocks);
        *self = larger;
    }

    /// The unread bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// The last `n` bytes that were consumed (at most all that the memory still holds).
    pub fn consumed(&self, n: usize) -> &[u8] {
        &self.memory[self.start.saturating_sub(n)..self.start]
    }

    /// How many bytes are unread.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// No byte is unread.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How much memory there is.
    pub fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// How much of it lies behind the bytes.
    pub fn tail_len(&self) -> usize {
        self.memory.len() - self.end
    }

    /// How much of it lies before the bytes: read already.
    pub fn head_len(&self) -> usize {
        self.start
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({}..{} of {})", self.start, self.end, self.memory.len())
    }
}
