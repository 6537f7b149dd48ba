//! Where do received bytes land? In blocks that the loop lends, so that an idle connection owns none.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::{Deref, DerefMut, Range};

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
}

/// One of the two sizes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BlockSize {
    /// [`SMALL_BLOCK`] bytes.
    Small,
    /// [`LARGE_BLOCK`] bytes: earned by a read that filled a small one.
    Large,
}

/// A block of initialised bytes, owned by whoever holds it. Its content means nothing until it
/// is written to.
///
/// It is one pointer wide, also in an `Option`: an idle connection has room for several and owns none. So that a
/// half-read one needs no fields beside it, it carries a range for its holder: which of its bytes are in use.
pub struct Block(Box<Inner>);

struct Inner {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

/// What a pool did so far with blocks of one size.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct BlockCounts {
    /// Allocated, since none was kept.
    pub made: u64,
    /// Taken from those that were kept.
    pub reused: u64,
    /// Given back.
    pub given: u64,
    /// Of those given back, freed because enough were kept.
    pub freed: u64,
    /// Kept at present.
    pub kept: usize,
}

#[derive(Default)]
struct Shelf {
    blocks: RefCell<Vec<Block>>,
    made: Cell<u64>,
    reused: Cell<u64>,
    given: Cell<u64>,
    freed: Cell<u64>,
}

impl BlockPool {
    /// An empty pool. Allocates nothing.
    pub fn new() -> BlockPool {
        BlockPool::default()
    }

    /// A block, a kept one if there is any.
    pub fn take(&self, size: BlockSize) -> Block {
        let shelf = self.shelf(size);
        let kept = shelf.blocks.borrow_mut().pop();
        if let Some(mut block) = kept {
            bump(&shelf.reused);
            block.set_range(0..0);
            return block;
        }
        bump(&shelf.made);
        Block::of(size.bytes())
    }

    /// Takes a block back: keeps it for reuse, or frees it when enough are kept, or when it is of another size.
    pub fn give(&self, block: Block) {
        let Some(size) = block.size() else { return };
        let shelf = self.shelf(size);
        bump(&shelf.given);
        let mut blocks = shelf.blocks.borrow_mut();
        if blocks.len() < size.kept() {
            blocks.push(block);
        } else {
            bump(&shelf.freed);
        }
    }

    /// Frees what is kept.
    pub fn clear(&self) {
        self.small.blocks.take();
        self.large.blocks.take();
    }

    /// What happened so far to blocks of one size.
    pub fn counts(&self, size: BlockSize) -> BlockCounts {
        let shelf = self.shelf(size);
        BlockCounts {
            made: shelf.made.get(),
            reused: shelf.reused.get(),
            given: shelf.given.get(),
            freed: shelf.freed.get(),
            kept: shelf.blocks.borrow().len(),
        }
    }

    const fn shelf(&self, size: BlockSize) -> &Shelf {
        match size {
            BlockSize::Small => &self.small,
            BlockSize::Large => &self.large,
        }
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

impl Block {
    /// A block of any size, that no pool made and only [`SMALL_BLOCK`] or [`LARGE_BLOCK`] bytes let one keep.
    pub fn of(bytes: usize) -> Block {
        Block(Box::new(Inner { bytes: vec![0; bytes].into_boxed_slice(), start: 0, end: 0 }))
    }

    /// Makes it longer, in place where the allocator can. The bytes stay; the new ones are 0.
    pub fn grow(&mut self, bytes: usize) {
        let mut memory = std::mem::take(&mut self.0.bytes).into_vec();
        if bytes > memory.len() {
            memory.reserve_exact(bytes - memory.len());
            memory.resize(bytes, 0);
        }
        self.0.bytes = memory.into_boxed_slice();
    }

    /// Says which of its bytes are in use, cut down to those that there are.
    #[inline]
    pub fn set_range(&mut self, range: Range<usize>) {
        self.0.end = range.end.min(self.0.bytes.len());
        self.0.start = range.start.min(self.0.end);
    }

    /// Which of its bytes are in use: what its holder last said; none of a block fresh from the pool.
    #[inline]
    pub fn range(&self) -> Range<usize> {
        self.0.start..self.0.end
    }

    /// Which of a pool's sizes it has, if any.
    pub fn size(&self) -> Option<BlockSize> {
        match self.0.bytes.len() {
            SMALL_BLOCK => Some(BlockSize::Small),
            LARGE_BLOCK => Some(BlockSize::Large),
            _ => None,
        }
    }
}

impl Deref for Block {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl DerefMut for Block {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0.bytes
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// The size alone: the bytes are another's data.
impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({} bytes)", self.len())
    }
}

fn bump(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}
