//! A piece of memory and the part of it that holds unread bytes: [`Chunk`], and where the memory comes
//! from: [`Blocks`].

use std::fmt;

use millrun_loop::{Block, BlockPool, BlockSize, LARGE_BLOCK, SMALL_BLOCK};

/// Lends memory to an inbox and takes it back. The loop's pool is one; a test may bring its own.
///
/// Nothing may call back into the inbox from here.
pub trait Blocks {
    /// A block of this size, with no range set.
    fn take(&self, size: BlockSize) -> Block;

    /// A block that is no longer used: of one of the two sizes, or of any other.
    fn give(&self, block: Block);

    /// Bytes of this block are lent to a reader, who may write them on: see [`BlockPool::lend`].
    fn lend(&self, block: &Block) {
        let _ = block;
    }

    /// This block is to be written to: see [`BlockPool::end_lend`].
    fn end_lend(&self, block: &Block) {
        let _ = block;
    }
}

impl Blocks for BlockPool {
    #[inline]
    fn take(&self, size: BlockSize) -> Block {
        BlockPool::take(self, size)
    }

    #[inline]
    fn give(&self, block: Block) {
        BlockPool::give(self, block);
    }

    #[inline]
    fn lend(&self, block: &Block) {
        BlockPool::lend(self, block);
    }

    fn end_lend(&self, block: &Block) {
        BlockPool::end_lend(self, block);
    }
}

/// A block whose range are the bytes that were received and not read; or no memory at all. One pointer wide.
#[derive(Default)]
pub struct Chunk(Option<Block>);

impl Chunk {
    /// No bytes in this block.
    pub const fn new(block: Block) -> Chunk {
        Chunk(Some(block))
    }

    /// The memory, if there is any.
    #[inline]
    pub(crate) fn into_block(self) -> Option<Block> {
        self.0
    }

    /// There is no memory.
    #[inline]
    pub const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Its bytes are about to be lent to a reader.
    #[inline]
    pub fn lend(&self, blocks: &impl Blocks) {
        if let Some(block) = &self.0 {
            blocks.lend(block);
        }
    }

    /// Before it is written to: nobody else may hold it. Somebody does, if what was read of it and written on has not
    /// left yet; then the unread bytes move.
    #[inline]
    pub fn make_own(&mut self, blocks: &impl Blocks) {
        if self.0.as_ref().is_some_and(Block::is_shared) {
            self.end_sharing(blocks);
        }
    }

    #[inline(never)]
    fn end_sharing(&mut self, blocks: &impl Blocks) {
        let Some(block) = &self.0 else { return };
        blocks.end_lend(block);
        if block.is_shared() {
            let own = match block.size() {
                Some(size) => blocks.take(size),
                None => Block::of(block.len()),
            };
            self.replace(own, blocks);
        }
    }

    /// The memory behind the bytes, for receiving into.
    #[inline]
    pub fn tail(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Some(block) => {
                let end = block.range().end;
                &mut block[end..]
            }
            None => &mut [],
        }
    }

    /// All of the memory, if nobody else holds it: of a chunk without bytes it is the tail.
    #[inline]
    pub(crate) fn own_bytes(&mut self) -> Option<&mut [u8]> {
        self.0.as_mut()?.own_bytes()
    }

    /// `n` bytes were written to the start of the tail (at most all of it).
    #[inline]
    pub fn filled(&mut self, n: usize) {
        if let Some(block) = &self.0 {
            block.extend(n);
        }
    }

    /// It has memory, in which no byte was in use yet.
    #[inline]
    pub(crate) fn is_fresh(&self) -> bool {
        self.0.as_ref().is_some_and(|block| block.range().end == 0)
    }

    /// `n` bytes were written to the start of the memory (at most all of it), and they are all that there is.
    #[inline]
    pub(crate) fn start_with(&self, n: usize) {
        if let Some(block) = &self.0 {
            block.set_range(0..n);
        }
    }

    /// Copies as much of `data` as the tail takes; says how much.
    pub fn append(&mut self, data: &[u8]) -> usize {
        let tail = self.tail();
        let n = data.len().min(tail.len());
        tail[..n].copy_from_slice(&data[..n]);
        self.filled(n);
        n
    }

    /// The first `n` bytes (at most all of them) are read.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        if let Some(block) = &self.0 {
            block.advance(n);
        }
    }

    /// Moves the bytes to the front of the memory, so that the tail is as long as it can be.
    pub fn compact(&mut self) {
        if let Some(block) = &mut self.0 {
            let range = block.range();
            if range.start > 0 {
                block.copy_within(range.clone(), 0);
                block.set_range(0..range.len());
            }
        }
    }

    /// Takes the memory out; the bytes are gone.
    #[inline]
    pub fn release(&mut self, blocks: &impl Blocks) {
        if let Some(block) = self.0.take() {
            blocks.give(block);
        }
    }

    /// Lets go of the memory, if somebody else holds it too: then it need not be given back. True if there is none now.
    #[inline]
    pub(crate) fn let_go(&mut self) -> bool {
        let is_shared = self.0.as_ref().is_none_or(Block::is_shared);
        if is_shared {
            self.0 = None;
        }
        is_shared
    }

    /// More memory, with the bytes at its front: a block of the next size, then an allocation of the
    /// chunk's own that doubles up to `want` bytes.
    pub fn grow(&mut self, want: usize, blocks: &impl Blocks) {
        let capacity = self.capacity();
        if capacity < LARGE_BLOCK {
            let small = want <= SMALL_BLOCK && capacity < SMALL_BLOCK;
            let size = if small { BlockSize::Small } else { BlockSize::Large };
            self.replace(blocks.take(size), blocks);
        } else {
            self.grow_to(capacity.saturating_mul(2).min(want).max(capacity + 1), blocks);
        }
    }

    /// Memory of the chunk's own of this size, with the bytes at its front.
    pub fn grow_to(&mut self, capacity: usize, blocks: &impl Blocks) {
        self.compact();
        match &mut self.0 {
            // Not a pool's: realloc moves pages where it can, and does not copy them.
            Some(block) if block.size().is_none() => block.grow(capacity),
            _ => self.replace(Block::of(capacity), blocks),
        }
    }

    /// Gives an allocation of the chunk's own back, when `want` bytes don't need it and the few that
    /// are left fit into a block: one big read must not make a connection big for ever.
    pub fn shrink(&mut self, want: usize, blocks: &impl Blocks) {
        if self.capacity() > LARGE_BLOCK && want <= LARGE_BLOCK && self.len() <= LARGE_BLOCK / 2 {
            self.replace(blocks.take(BlockSize::Large), blocks);
        }
    }

    fn replace(&mut self, block: Block, blocks: &impl Blocks) {
        let mut larger = Chunk::new(block);
        larger.append(self.bytes());
        self.release(blocks);
        *self = larger;
    }

    /// The unread bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |block| &block[block.range()])
    }

    /// The last `n` bytes that were consumed (at most all that the memory still holds).
    #[inline]
    pub fn consumed(&self, n: usize) -> &[u8] {
        self.0.as_ref().map_or(&[], |block| {
            let start = block.range().start;
            &block[start.saturating_sub(n)..start]
        })
    }

    /// How many bytes are unread.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, Block::used)
    }

    /// No byte is unread.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How much memory there is.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.0.as_ref().map_or(0, |block| block.len())
    }

    /// How much of it lies behind the bytes.
    #[inline]
    pub fn tail_len(&self) -> usize {
        self.0.as_ref().map_or(0, |block| block.len() - block.range().end)
    }

    /// How much of it lies before the bytes: read already.
    #[inline]
    pub fn head_len(&self) -> usize {
        self.0.as_ref().map_or(0, |block| block.range().start)
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, len) = (self.head_len(), self.len());
        write!(f, "Chunk({start}..{} of {})", start + len, self.capacity())
    }
}
