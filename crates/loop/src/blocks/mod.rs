//! Where do received bytes land? In blocks that the loop lends, so that an idle connection owns none.
//!
//! Most of what a server writes it has just read: an echo, a relay, a line that is passed on. So the pool
//! remembers the block that was [lent](BlockPool::lend) last, and whoever is given bytes of it to keep for a
//! moment can [share](BlockPool::share) the block in place of copying them.

mod block;

use std::cell::Cell;
use std::fmt;

pub use block::Block;

/// Bytes in a small block: most messages fit, and it is one page.
pub const SMALL_BLOCK: usize = 4096;

/// Bytes in a large block: with small ones only, messages of 64 KiB cost about four times as much.
pub const LARGE_BLOCK: usize = 65536;

/// Small blocks kept for reuse, 1 MiB in all: what one turn of the loop can lend before any comes
/// back, since it runs at most 256 callbacks before it looks for I/O again.
pub const SMALL_KEPT: usize = 256;

/// Large blocks kept for reuse, 2 MiB in all: only connections in the middle of a transfer earn one,
/// and 32 of them keep one core busy.
pub const LARGE_KEPT: usize = 32;

/// A pool of blocks in two sizes, of which it keeps a limited number.
///
/// A block is zeroed once, when it is made; a reused one holds what was last read into it. A block
/// that is dropped and not given back is freed, and nothing else happens.
#[derive(Default)]
pub struct BlockPool {
    small: Shelf,
    large: Shelf,
    /// The block that was lent last, of one of the two sizes. Also the first to be taken again, once nobody
    /// else holds it: it is in the cache.
    lent: Cell<Option<Block>>,
}

/// One of the two sizes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BlockSize {
    /// [`SMALL_BLOCK`] bytes.
    Small,
    /// [`LARGE_BLOCK`] bytes: earned by a read that filled a small one.
    Large,
}

/// What a pool did so far with blocks of one size.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct BlockCounts {
    /// Allocated, since none was kept.
    pub made: u64,
    /// Taken from those that were kept.
    pub reused: u64,
    /// Given back, for good: a block that was lent and is taken again at once counts as one use.
    pub given: u64,
    /// Of those given back, freed because enough were kept.
    pub freed: u64,
    /// Kept at present.
    pub kept: usize,
}

/// The blocks of one size that are kept: a list through the blocks themselves, so that it needs no memory of its own and
/// neither borrows nor grows.
#[derive(Default)]
struct Shelf {
    first: Cell<Option<Block>>,
    kept: Cell<usize>,
    made: Cell<u64>,
    reused: Cell<u64>,
    freed: Cell<u64>,
    /// Given back and kept, and gone when the pool was [cleared](BlockPool::clear).
    cleared: Cell<u64>,
}

impl BlockPool {
    /// An empty pool. Allocates nothing.
    pub fn new() -> BlockPool {
        BlockPool::default()
    }

    /// A block, a kept one if there is any.
    #[inline]
    pub fn take(&self, size: BlockSize) -> Block {
        match self.take_kept(size) {
            Some(block) => block,
            None => self.make(size),
        }
    }

    /// A kept block, if there is any.
    #[inline]
    pub fn take_kept(&self, size: BlockSize) -> Option<Block> {
        match size {
            BlockSize::Small => self.take_from(&self.small, SMALL_BLOCK),
            BlockSize::Large => self.take_large(),
        }
    }

    #[inline(never)]
    fn take_large(&self) -> Option<Block> {
        self.take_from(&self.large, LARGE_BLOCK)
    }

    #[inline(always)]
    fn take_from(&self, shelf: &Shelf, bytes: usize) -> Option<Block> {
        let block = match self.lent.take() {
            None => shelf.take()?,
            Some(block) if !block.is_shared() && block.len() == bytes => block,
            lent => {
                self.put_lent(lent);
                shelf.take()?
            }
        };
        block.set_range(0..0);
        Some(block)
    }

    #[inline(never)]
    fn make(&self, size: BlockSize) -> Block {
        bump(&self.shelf(size).made);
        Block::of(size.bytes())
    }

    /// Takes a block back: keeps it for reuse, or frees it when enough are kept, or when it is of another size. One
    /// that is shared is taken back from the last who gives it.
    #[inline]
    pub fn give(&self, block: Block) {
        if block.is_shared() {
            drop(block);
        } else {
            self.shelve(block);
        }
    }

    /// The same, for who mostly gives a small one that nobody else holds.
    #[inline(always)]
    fn give_small(&self, block: Block) {
        let is_kept = !block.is_shared() && block.len() == SMALL_BLOCK;
        if is_kept && self.small.has_room(SMALL_KEPT) {
            self.small.put(block);
        } else {
            self.give(block);
        }
    }

    /// Remembers that bytes of this block are lent to user code: what it passes on need not be copied. Not of one that is
    /// larger than a large block: it is not worth holding on to.
    #[inline]
    pub fn lend(&self, block: &Block) {
        if block.len() > LARGE_BLOCK {
            return;
        }
        if let Some(before) = self.lent.replace(Some(block.another())) {
            self.give_small(before);
        }
    }

    /// Forgets what was lent, if it is this block, which is to be written to: then it is not shared with the pool.
    pub fn end_lend(&self, block: &Block) {
        match self.lent.take() {
            Some(lent) if lent.is(block) => {}
            lent => self.put_lent(lent),
        }
    }

    /// The block that was lent last, and the place of `data` in it, if that is where `data` lies. What is shared
    /// should be given back soon: a block is held for it.
    #[inline]
    pub fn share(&self, data: &[u8]) -> Option<(Block, usize)> {
        let lent = self.lent.take()?;
        let found = lent.place_of(data).map(|place| (lent.another(), place));
        self.put_lent(Some(lent));
        found
    }

    /// Puts back what was there, or nothing: the cell is empty.
    #[inline]
    fn put_lent(&self, lent: Option<Block>) {
        std::mem::forget(self.lent.replace(lent));
    }

    #[inline(never)]
    fn shelve(&self, block: Block) {
        let Some(size) = block.size() else { return };
        let shelf = self.shelf(size);
        if shelf.has_room(size.kept()) {
            shelf.put(block);
        } else {
            bump(&shelf.freed);
        }
    }

    /// Frees what is kept.
    pub fn clear(&self) {
        self.lent.take();
        self.small.clear();
        self.large.clear();
    }

    /// What happened so far to blocks of one size.
    pub fn counts(&self, size: BlockSize) -> BlockCounts {
        let shelf = self.shelf(size);
        let lent = self.lent.take();
        let is_home = lent.as_ref().is_some_and(|b| !b.is_shared() && b.size() == Some(size));
        self.put_lent(lent);
        BlockCounts {
            made: shelf.made.get(),
            reused: shelf.reused.get(),
            given: shelf.given() + u64::from(is_home),
            freed: shelf.freed.get(),
            kept: shelf.kept.get() + usize::from(is_home),
        }
    }

    const fn shelf(&self, size: BlockSize) -> &Shelf {
        match size {
            BlockSize::Small => &self.small,
            BlockSize::Large => &self.large,
        }
    }
}

impl Shelf {
    #[inline]
    fn take(&self) -> Option<Block> {
        let block = self.first.take()?;
        std::mem::forget(self.first.replace(block.take_next())); // there is none now
        self.kept.set(self.kept.get() - 1);
        bump(&self.reused);
        Some(block)
    }

    #[inline]
    fn has_room(&self, most: usize) -> bool {
        self.kept.get() < most
    }

    #[inline]
    fn put(&self, block: Block) {
        self.kept.set(self.kept.get() + 1);
        block.put_next(self.first.take());
        std::mem::forget(self.first.replace(Some(block))); // it was taken
    }

    /// So many were given back for good.
    fn given(&self) -> u64 {
        let (kept, cleared) = (self.kept.get() as u64, self.cleared.get());
        kept + self.reused.get() + self.freed.get() + cleared
    }

    /// One after the other: each has the next one, whose drop would be inside its own.
    fn clear(&self) {
        self.cleared.set(self.cleared.get() + self.kept.take() as u64);
        let mut next = self.first.take();
        while let Some(block) = next {
            next = block.take_next();
        }
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for BlockPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockPool")
            .field("small", &self.counts(BlockSize::Small))
            .field("large", &self.counts(BlockSize::Large))
            .finish()
    }
}

impl BlockSize {
    /// Bytes in a block of this size.
    pub const fn bytes(self) -> usize {
        match self {
            BlockSize::Small => SMALL_BLOCK,
            BlockSize::Large => LARGE_BLOCK,
        }
    }

    const fn kept(self) -> usize {
        match self {
            BlockSize::Small => SMALL_KEPT,
            BlockSize::Large => LARGE_KEPT,
        }
    }
}

#[inline]
fn bump(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}
