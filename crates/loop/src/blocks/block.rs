//! Memory that several may hold, of which one may write: [`Block`].

use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::rc::Rc;

use super::{BlockSize, LARGE_BLOCK, SMALL_BLOCK};

/// A block of initialised bytes. Its content means nothing until it is written to.
///
/// It is one pointer wide, also in an `Option`: an idle connection has room for several and owns none. So that a
/// half-read one needs no fields beside it, it carries a range for its holder: which of its bytes are in use.
///
/// It can be [shared](super::BlockPool::share) with others, who read it: bytes that somebody else may see never change,
/// since a holder that writes to a shared block gets a copy of it first.
pub struct Block(Rc<Inner>);

struct Inner {
    bytes: Box<[u8]>,
    /// Of the holder that took the block: those who share it keep their own.
    start: Cell<usize>,
    end: Cell<usize>,
    /// Behind this one on a pool's shelf; none anywhere else.
    next: Cell<Option<Block>>,
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
        self.0.start.set(self.0.start.get() + n.min(self.used()));
    }

    /// The bytes in use begin here, which is at most where they end: as [`advance`](Block::advance), for who knows that.
    #[inline]
    pub fn begin_at(&self, start: usize) {
        debug_assert!(start <= self.0.end.get(), "expected a start before the end, got {start}");
        self.0.start.set(start);
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

    /// It is the same memory.
    pub(super) fn is(&self, other: &Block) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// The block behind it on a shelf, which it no longer is.
    #[inline]
    pub(super) fn take_next(&self) -> Option<Block> {
        self.0.next.take()
    }

    /// It is on a shelf, before this one.
    #[inline]
    pub(super) fn put_next(&self, next: Option<Block>) {
        std::mem::forget(self.0.next.replace(next)); // there was none
    }

    /// Holds it, too.
    #[inline]
    pub(super) fn another(&self) -> Block {
        Block(Rc::clone(&self.0))
    }
}

impl Inner {
    fn new(bytes: Box<[u8]>) -> Inner {
        Inner { bytes, start: Cell::new(0), end: Cell::new(0), next: Cell::new(None) }
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
