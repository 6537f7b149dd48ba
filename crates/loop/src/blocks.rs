//! Where do received bytes land? In blocks that the loop lends, so that an idle connection owns none.
//!
//! Most of what a server writes it has just read: an echo, a relay, a line that is passed on. So the pool
//! remembers the block that was [lent](BlockPool::lend) last, and whoever is given bytes of it to keep for a
//! moment can [share](BlockPool::share) the block in place of copying them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::rc::Rc;

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

/// A block of initialised bytes. Its content means nothing until it is written to.
///
/// It is one pointer wide, also in an `Option`: an idle connection has room for several and owns none. So that a
/// half-read one needs no fields beside it, it carries a range for its holder: which of its bytes are in use.
///
/// It can be [shared](BlockPool::share) with others, who read it: bytes that somebody else may see never change,
/// since a holder that writes to a shared block gets a copy of it first.
pub struct Block(Rc<Inner>);

struct Inner {
    bytes: Box<[u8]>,
    /// Of the holder that took the block: those who share it keep their own.
    start: Cell<usize>,
    end: Cell<usize>,
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
        let block = match self.lent.take() {
            Some(block) if !block.is_shared() && block.len() == size.bytes() => block,
            lent => {
                self.put_lent(lent);
                self.shelf(size).take()?
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

    /// Remembers that bytes of this block are lent to user code: what it passes on need not be copied. Not of one that is
    /// larger than a large block: it is not worth holding on to.
    #[inline]
    pub fn lend(&self, block: &Block) {
        if block.len() > LARGE_BLOCK {
            return;
        }
        if let Some(before) = self.lent.replace(Some(block.another())) {
            self.give(before);
        }
    }

    /// Forgets what was lent, if it is this block, which is to be written to: then it is not shared with the pool.
    pub fn end_lend(&self, block: &Block) {
        match self.lent.take() {
            Some(lent) if Rc::ptr_eq(&lent.0, &block.0) => {}
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
        if let Some(size) = block.size() {
            self.shelf(size).give(block, size.kept());
        }
    }

    /// Frees what is kept.
    pub fn clear(&self) {
        self.lent.take();
        self.small.blocks.take();
        self.large.blocks.take();
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
            given: shelf.given.get() + u64::from(is_home),
            freed: shelf.freed.get(),
            kept: shelf.blocks.borrow().len() + usize::from(is_home),
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
        let block = self.blocks.borrow_mut().pop()?;
        bump(&self.reused);
        Some(block)
    }

    #[inline]
    fn give(&self, block: Block, most: usize) {
        bump(&self.given);
        let mut blocks = self.blocks.borrow_mut();
        if blocks.len() < blocks.capacity() {
            blocks.push(block);
        } else {
            drop(blocks);
            self.give_rarely(block, most);
        }
    }

    /// There is no place for it, or none yet.
    #[inline(never)]
    fn give_rarely(&self, block: Block, most: usize) {
        let mut blocks = self.blocks.borrow_mut();
        if blocks.is_empty() {
            // For all that will ever be kept, so that it need be asked only whether it is full.
            blocks.reserve_exact(most);
            blocks.push(block);
        } else {
            bump(&self.freed);
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
        Block(Rc::new(Inner::new(vec![0; bytes].into_boxed_slice())))
    }

    /// Makes it longer, in place where the allocator can. The bytes stay; the new ones are 0.
    pub fn grow(&mut self, bytes: usize) {
        if self.is_shared() {
            self.copy();
        }
        let Some(inner) = Rc::get_mut(&mut self.0) else { return };
        let mut memory = std::mem::take(&mut inner.bytes).into_vec();
        if bytes > memory.len() {
            memory.reserve_exact(bytes - memory.len());
            memory.resize(bytes, 0);
        }
        inner.bytes = memory.into_boxed_slice();
    }

    /// Says which of its bytes are in use, cut down to those that there are.
    #[inline]
    pub fn set_range(&self, range: Range<usize>) {
        let end = range.end.min(self.0.bytes.len());
        self.0.end.set(end);
        self.0.start.set(range.start.min(end));
    }

    /// Which of its bytes are in use: what its holder last said; none of a block fresh from the pool.
    #[inline]
    pub fn range(&self) -> Range<usize> {
        self.0.start.get()..self.0.end.get()
    }

    /// How many of its bytes are in use.
    #[inline]
    pub fn used(&self) -> usize {
        self.0.end.get() - self.0.start.get()
    }

    /// `n` more of its bytes are in use, behind those that are.
    #[inline]
    pub fn extend(&self, n: usize) {
        let end = self.0.end.get().saturating_add(n);
        self.0.end.set(end.min(self.0.bytes.len()));
    }

    /// The first `n` of its bytes are no longer in use.
    #[inline]
    pub fn advance(&self, n: usize) {
        let start = self.0.start.get().saturating_add(n);
        self.0.start.set(start.min(self.0.end.get()));
    }

    /// Which of a pool's sizes it has, if any.
    #[inline]
    pub fn size(&self) -> Option<BlockSize> {
        match self.0.bytes.len() {
            SMALL_BLOCK => Some(BlockSize::Small),
            LARGE_BLOCK => Some(BlockSize::Large),
            _ => None,
        }
    }

    /// Its bytes, to be written to, if nobody else holds it.
    #[inline]
    pub fn own_bytes(&mut self) -> Option<&mut [u8]> {
        Rc::get_mut(&mut self.0).map(|inner| &mut *inner.bytes)
    }

    /// Somebody else holds it too, if only the pool that remembers it: writing to it would copy it first.
    #[inline]
    pub fn is_shared(&self) -> bool {
        Rc::strong_count(&self.0) != 1
    }

    /// Where in it `data` lies, if it does. (No other allocation has an address inside this one.)
    #[inline]
    pub fn place_of(&self, data: &[u8]) -> Option<usize> {
        let place = data.as_ptr().addr().wrapping_sub(self.0.bytes.as_ptr().addr());
        (place < self.0.bytes.len() && !data.is_empty()).then_some(place)
    }

    /// For a holder who writes to it, though others hold it.
    #[cold]
    fn copy(&mut self) {
        let copy = Inner::new(self.0.bytes.clone());
        copy.start.set(self.0.start.get());
        copy.end.set(self.0.end.get());
        self.0 = Rc::new(copy);
    }

    #[inline]
    fn another(&self) -> Block {
        Block(Rc::clone(&self.0))
    }
}

impl Inner {
    fn new(bytes: Box<[u8]>) -> Inner {
        Inner { bytes, start: Cell::new(0), end: Cell::new(0) }
    }
}

impl Deref for Block {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// A block that is shared is copied first.
impl DerefMut for Block {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        if Rc::get_mut(&mut self.0).is_none() {
            self.copy();
        }
        // It is the only one now.
        Rc::get_mut(&mut self.0).map_or(&mut [], |inner| &mut inner.bytes)
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

#[inline]
fn bump(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}
