//! What was accepted and has not left yet? [`WriteBuffer`]: owned chunks, one counter.
//!
//! Small writes are copied together into one block (*gathered*), so that they leave in one send; large
//! ones are kept as the [`Bytes`] that they came in. What lies in the block that the loop has just lent (an
//! echo, a line that is passed on) is not copied either: the block is [shared](BlockPool::share). An empty
//! buffer owns nothing, and one that only gathers holds one block of the loop's pool: a connection
//! that answers small messages never allocates here.
//!
//! It does no I/O: its owner sends [`chunks`](WriteBuffer::chunks) and tells
//! [`consume`](WriteBuffer::consume) how much left.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use millrun_loop::{Block, BlockPool, BlockSize, LARGE_BLOCK, SMALL_BLOCK};

/// Bytes on their way out, in order.
///
/// ```
/// use millrun_loop::BlockPool;
/// use millrun_transport::buffer::WriteBuffer;
/// let pool = BlockPool::new();
/// let mut buffer = WriteBuffer::new();
/// buffer.gather(b"one, ", &pool);
/// buffer.gather(b"two", &pool);
/// assert_eq!(buffer.single(), Some(&b"one, two"[..])); // one piece, one send
/// buffer.consume(5, &pool);
/// assert_eq!((buffer.len(), buffer.single()), (3, Some(&b"two"[..])));
/// ```
#[derive(Default)]
pub struct WriteBuffer {
    /// What came before the tail.
    older: Option<Box<Older>>,
    /// The block that small writes are gathered in, or share; there only while it holds unsent bytes.
    tail: Option<Block>,
    /// The unsent bytes of the tail; equal when there is none.
    start: u32,
    end: u32,
}

/// Never without a chunk, and never holding an empty one. Boxed: ten thousand idle connections have none.
#[derive(Default)]
struct Older {
    chunks: VecDeque<Chunk>,
    /// The sum of all chunks. Only pushing and consuming change it.
    len: usize,
}

/// All of a buffer that is one piece in one block, taken out to be sent.
pub(crate) struct Piece {
    pub(crate) block: Block,
    start: u32,
    end: u32,
}

enum Chunk {
    /// A gather block that is full, or was overtaken by a large chunk.
    Gathered { block: Block, start: u32, end: u32 },
    /// Bytes as they were given.
    Given(Bytes),
}

impl WriteBuffer {
    /// An empty buffer. Allocates nothing.
    pub const fn new() -> WriteBuffer {
        WriteBuffer { older: None, tail: None, start: 0, end: 0 }
    }

    /// Puts bytes behind what is there, in one piece with it where that can be. They are copied into a block of the
    /// pool (the first 4 KiB take a small one, more take a large one), unless they lie where they can be shared: in
    /// the block that was lent last, or right behind what is shared already.
    #[inline(always)]
    pub fn gather(&mut self, data: &[u8], pool: &BlockPool) {
        if let Some(block) = &self.tail {
            if block.place_of(data) == Some(self.end as usize) {
                self.end += position(data.len());
                return;
            }
        } else if let Some(piece) = Piece::share(data, pool) {
            std::mem::forget(self.tail.replace(piece.block)); // there is none to be dropped
            (self.start, self.end) = (piece.start, piece.end);
            return;
        }
        self.copy(data, pool);
    }

    /// Puts `data` behind what is there by no more than counting it: if it lies right behind the only piece, which stays
    /// shorter than `limit`.
    #[inline(always)]
    pub(crate) fn extend_piece(&mut self, data: &[u8], limit: usize) -> bool {
        let Some(block) = self.tail.as_ref().filter(|_| self.older.is_none()) else { return false };
        let extends =
            block.place_of(data) == Some(self.end as usize) && self.tail_len() + data.len() < limit;
        if extends {
            self.end += position(data.len());
        }
        extends
    }

    /// As [`gather`](Self::gather), and always copied: for a buffer that has to wait, which would hold a whole block for
    /// however few bytes of it.
    #[inline(never)]
    pub(crate) fn copy(&mut self, mut data: &[u8], pool: &BlockPool) {
        if data.len() > LARGE_BLOCK {
            return self.push(Bytes::copy_from_slice(data), pool);
        }
        self.unshare(pool);
        while !data.is_empty() {
            let room = self.room_for(data.len(), pool);
            let (now, later) = data.split_at(data.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            self.end += position(now.len());
            data = later;
        }
    }

    /// Keeps bytes behind what is there, without a copy. The block that was gathered in before goes back
    /// to the pool if it is mostly empty, and what is in it gets memory of its size.
    pub fn push(&mut self, data: Bytes, pool: &BlockPool) {
        if data.is_empty() {
            return;
        }
        let mostly_empty =
            self.tail.as_ref().is_some_and(|block| self.tail_len() <= block.len() / 2);
        if mostly_empty {
            self.copy_tail(pool);
        } else {
            self.retire_tail();
        }
        self.older().push(Chunk::Given(data));
    }

    /// Takes all of another buffer behind what is there, without a copy.
    pub fn append(&mut self, mut newer: WriteBuffer) {
        if self.is_empty() {
            *self = newer;
            return;
        }
        newer.retire_tail();
        if let Some(mut newer) = newer.older {
            self.retire_tail();
            let older = self.older();
            older.len += newer.len;
            older.chunks.append(&mut newer.chunks);
        }
    }

    /// The first `n` bytes have left; emptied blocks go back to the pool. More than there are empties it.
    pub fn consume(&mut self, n: usize, pool: &BlockPool) {
        let mut n = n;
        if let Some(older) = &mut self.older {
            n -= older.consume(n, pool);
            if !older.chunks.is_empty() {
                return;
            }
            self.older = None;
        }
        self.start += position(n.min(self.tail_len()));
        if self.start == self.end {
            self.drop_tail(pool);
        }
    }

    /// Drops everything and says how many bytes that were.
    pub fn clear(&mut self, pool: &BlockPool) -> usize {
        let unsent = self.len();
        self.consume(unsent, pool);
        unsent
    }

    /// Moves what is left of a mostly empty large block, or of one that is shared, into memory of its size: for a
    /// buffer that has to wait, so that what it holds stays near what it counts.
    pub fn shrink(&mut self, pool: &BlockPool) {
        self.unshare(pool);
        let Some(block) = &self.tail else { return };
        let left = &block[self.start as usize..self.end as usize];
        if block.size() == Some(BlockSize::Small) || left.len() > LARGE_BLOCK / 2 {
            return;
        }
        if left.len() <= SMALL_BLOCK {
            let mut small = pool.take(BlockSize::Small);
            small[..left.len()].copy_from_slice(left);
            let end = position(left.len());
            self.drop_tail(pool);
            (self.tail, self.end) = (Some(small), end);
        } else {
            self.copy_tail(pool);
        }
    }

    /// As a piece, if it is one, in one block; else as it is.
    #[inline(always)]
    pub(crate) fn into_piece(self) -> Result<Piece, WriteBuffer> {
        // Each with an answer of its own: as one pattern both would be worked out.
        match self {
            WriteBuffer { older: Some(_), .. } => Err(self),
            WriteBuffer { tail: Some(block), start, end, .. } => Ok(Piece { block, start, end }),
            _ => Err(WriteBuffer::new()),
        }
    }

    /// Unsent bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.tail_len() + self.older.as_ref().map_or(0, |older| older.len)
    }

    /// Nothing is unsent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.tail.is_none() && self.older.is_none()
    }

    /// The pieces in order; none of them is empty.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let older = self.older.iter().flat_map(|older| older.chunks.iter());
        older.map(Chunk::as_slice).chain(self.tail())
    }

    /// How many pieces there are.
    pub fn pieces(&self) -> usize {
        self.older.as_ref().map_or(0, |older| older.chunks.len()) + usize::from(self.tail.is_some())
    }

    /// The only piece, if there is exactly one: no array of slices is needed to send it.
    pub fn single(&self) -> Option<&[u8]> {
        match &self.older {
            None => self.tail(),
            Some(older) if older.chunks.len() == 1 && self.tail.is_none() => {
                older.chunks.front().map(Chunk::as_slice)
            }
            Some(_) => None,
        }
    }

    /// Fills `slices` with the first pieces and says how many it filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slice, chunk) in slices.iter_mut().zip(self.chunks()) {
            *slice = IoSlice::new(chunk);
            filled += 1;
        }
        filled
    }

    fn tail(&self) -> Option<&[u8]> {
        self.tail.as_ref().map(|block| &block[self.start as usize..self.end as usize])
    }

    /// Free memory behind the tail, never empty.
    fn room_for(&mut self, wanted: usize, pool: &BlockPool) -> &mut [u8] {
        let used = self.end as usize;
        match &mut self.tail {
            Some(block) if used + wanted <= block.len() => {}
            Some(block) if block.size() == Some(BlockSize::Small) => {
                // A full small block earns a large one, in which all of it is one piece again.
                let mut large = pool.take(BlockSize::Large);
                large[..used].copy_from_slice(&block[..used]);
                pool.give(std::mem::replace(block, large));
            }
            Some(block) if used < block.len() => {}
            other => {
                let size = if wanted > SMALL_BLOCK { BlockSize::Large } else { BlockSize::Small };
                let full = other.replace(pool.take(size));
                let (start, end) = (self.start, self.end);
                (self.start, self.end) = (0, 0);
                if let Some(block) = full {
                    self.older().push(Chunk::Gathered { block, start, end });
                }
            }
        }
        let used = self.end as usize;
        self.tail.as_mut().map_or(&mut [], |block| &mut block[used..])
    }

    /// Moves the bytes of a shared block into one of our own, to which can be added.
    fn unshare(&mut self, pool: &BlockPool) {
        let Some(block) = self.tail.as_ref().filter(|block| block.is_shared()) else { return };
        let used = &block[self.start as usize..self.end as usize];
        let small = used.len() <= SMALL_BLOCK;
        let mut own = pool.take(if small { BlockSize::Small } else { BlockSize::Large });
        own[..used.len()].copy_from_slice(used);
        let end = position(used.len());
        self.drop_tail(pool);
        (self.tail, self.end) = (Some(own), end);
    }

    fn retire_tail(&mut self) {
        if let Some(block) = self.tail.take() {
            let chunk = Chunk::Gathered { block, start: self.start, end: self.end };
            (self.start, self.end) = (0, 0);
            self.older().push(chunk);
        }
    }

    /// Retires the tail into memory of its exact size.
    fn copy_tail(&mut self, pool: &BlockPool) {
        if let Some(exact) = self.tail().map(Bytes::copy_from_slice) {
            self.drop_tail(pool);
            self.older().push(Chunk::Given(exact));
        }
    }

    fn drop_tail(&mut self, pool: &BlockPool) {
        (self.start, self.end) = (0, 0);
        if let Some(block) = self.tail.take() {
            pool.give(block);
        }
    }

    #[inline]
    const fn tail_len(&self) -> usize {
        (self.end - self.start) as usize
    }

    fn older(&mut self) -> &mut Older {
        self.older.get_or_insert_default()
    }
}

impl Older {
    fn push(&mut self, chunk: Chunk) {
        self.len += chunk.as_slice().len();
        self.chunks.push_back(chunk);
    }

    /// The first `n` bytes, or all that are here, have left: so many.
    fn consume(&mut self, n: usize, pool: &BlockPool) -> usize {
        let n = n.min(self.len);
        self.len -= n;
        let mut left = n;
        while let Some(chunk) = self.chunks.front_mut() {
            let here = chunk.as_slice().len();
            if left < here {
                chunk.advance(left);
                break;
            }
            left -= here;
            if let Some(Chunk::Gathered { block, .. }) = self.chunks.pop_front() {
                pool.give(block);
            }
        }
        n
    }
}

impl fmt::Debug for WriteBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriteBuffer({} bytes in {} pieces)", self.len(), self.pieces())
    }
}

impl Piece {
    /// `data` where it lies, if that is in the block that was lent last.
    #[inline(always)]
    pub(crate) fn share(data: &[u8], pool: &BlockPool) -> Option<Piece> {
        let (block, place) = pool.share(data)?;
        let start = position(place);
        Some(Piece { block, start, end: start + position(data.len()) })
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.block[self.start as usize..self.end as usize]
    }
}

/// A piece that was taken out is a buffer again.
impl From<Piece> for WriteBuffer {
    fn from(Piece { block, start, end }: Piece) -> WriteBuffer {
        WriteBuffer { older: None, tail: Some(block), start, end }
    }
}

impl Chunk {
    fn as_slice(&self) -> &[u8] {
        match self {
            Chunk::Gathered { block, start, end } => &block[*start as usize..*end as usize],
            Chunk::Given(bytes) => bytes,
        }
    }

    fn advance(&mut self, n: usize) {
        match self {
            Chunk::Gathered { start, .. } => *start += position(n),
            Chunk::Given(bytes) => bytes.advance(n),
        }
    }
}

/// A place in a block, or a length: at most [`LARGE_BLOCK`], so it fits.
#[inline]
fn position(n: usize) -> u32 {
    debug_assert!(n <= LARGE_BLOCK, "expected a place in a block, got {n}");
    n as u32
}
