//! Where bytes land: [`Intake`], the half of an inbox that the protocol owns.

use std::cell::Cell;
use std::fmt;

use millrun_loop::{BlockSize, LARGE_BLOCK, SMALL_BLOCK};

use super::{Blocks, Chunk, InvalidLimit};

/// The receiving half of an inbox: memory for what lands, and the rule for how much may land.
///
/// # The room
///
/// At most `bound` bytes are kept, where `bound` is the largest of
/// - twice the limit,
/// - what the pending read needs: the size of an exact read, or the limit plus the longest separator.
///
/// What the reading half holds, lent or not yet read, counts too. A receive is never offered more than
/// the room left (D-01), so memory is bounded by that number rounded up to blocks. Memory is taken
/// when bytes come and given back when they are read: an idle intake owns none.
///
/// Only what a pending read needs makes the memory larger than one large block: more than that
/// in advance brings nothing.
pub struct Intake {
    /// Taken out by [`with_chunk`](Intake::with_chunk) alone, and by whoever keeps it.
    chunk: Cell<Chunk>,
    /// What the pending read needs. `u32::MAX` stands for that much and anything more.
    want: Cell<u32>,
    /// What the reading half holds, lent or unread.
    held: Cell<u32>,
    limit: u32,
    /// The last receives filled a small block: begin with a large one.
    busy: Cell<bool>,
}

impl Intake {
    /// An intake with this limit, in bytes.
    ///
    /// # Errors
    /// A limit of 0, or one that does not fit into 32 bits (ST-001).
    pub fn new(limit: usize) -> Result<Intake, InvalidLimit> {
        match u32::try_from(limit) {
            Ok(limit) if limit > 0 => Ok(Intake {
                chunk: Cell::default(),
                want: Cell::new(0),
                held: Cell::new(0),
                limit,
                busy: Cell::new(false),
            }),
            _ => Err(InvalidLimit { limit }),
        }
    }

    /// What most landings need: a block of this size, all of which may be filled. `None`: it is another one, see
    /// [`landing`](Intake::landing).
    #[inline(always)]
    pub(crate) fn block_to_fill(&self) -> Option<BlockSize> {
        if !self.is_clear() {
            return None;
        }
        Some(if self.busy.get() { BlockSize::Large } else { BlockSize::Small })
    }

    /// What most landings come to: some bytes at the start of a block that stays mostly empty, nothing before them. Else the
    /// chunk comes back, for [`landed`](Intake::landed).
    #[inline(always)]
    pub(crate) fn fill(&self, chunk: Chunk, n: usize) -> Result<(), Chunk> {
        let is_part = n > 0 && n < SMALL_BLOCK && !self.busy.get();
        if !is_part || !chunk.is_fresh() || !self.is_clear() {
            return Err(chunk);
        }
        chunk.start_with(n);
        self.put(chunk);
        Ok(())
    }

    /// There is nothing, neither here nor in the reading half, and a whole block fits below the bound.
    #[inline(always)]
    fn is_clear(&self) -> bool {
        self.is_none() && self.held.get() == 0 && self.limit as usize >= LARGE_BLOCK / 2
    }

    /// Takes the chunk out for a receive into its tail: at most so many bytes. `None` = no room.
    ///
    /// Give it back with [`landed`](Intake::landed), used or not.
    pub fn landing(&self, blocks: &impl Blocks) -> Option<(Chunk, usize)> {
        if !self.is_none() {
            return self.landing_behind(blocks);
        }
        let room = self.room_beside(0);
        if room == 0 {
            return None;
        }
        let large = self.busy.get() && room > SMALL_BLOCK;
        let size = if large { BlockSize::Large } else { BlockSize::Small };
        Some((Chunk::new(blocks.take(size)), size.bytes().min(room)))
    }

    /// The same, behind what has landed before.
    fn landing_behind(&self, blocks: &impl Blocks) -> Option<(Chunk, usize)> {
        let room = self.room();
        if room == 0 || !self.prepare(room, blocks) {
            return None;
        }
        let chunk = self.chunk.take();
        let most = chunk.tail_len().min(room);
        Some((chunk, most))
    }

    /// Puts the chunk back, with `n` more bytes in it.
    pub fn landed(&self, mut chunk: Chunk, n: usize, blocks: &impl Blocks) {
        if n == 0 && chunk.is_fresh() && self.is_none() {
            return release(chunk, blocks);
        }
        if n == 0 || !self.is_none() {
            return self.landed_rarely(chunk, n, blocks);
        }
        if self.busy.get() || n >= SMALL_BLOCK {
            self.note_fill(&chunk, n);
        } else {
            self.busy.set(n == chunk.tail_len());
        }
        chunk.filled(n);
        self.put(chunk);
    }

    #[inline(never)]
    fn landed_rarely(&self, mut chunk: Chunk, n: usize, blocks: &impl Blocks) {
        if n > 0 {
            self.note_fill(&chunk, n);
        }
        chunk.filled(n);
        let between = self.chunk.replace(chunk);
        if !between.is_empty() {
            self.feed(between.bytes(), blocks);
        }
        release(between, blocks);
        if self.is_empty() {
            self.clear(blocks);
        }
    }

    /// How full the last receive was: what a small block would have held does not need a large one next time.
    fn note_fill(&self, chunk: &Chunk, n: usize) {
        let filled = n == chunk.tail_len();
        let small = chunk.capacity() == SMALL_BLOCK;
        self.busy.set(filled || !small && self.busy.get() && n >= SMALL_BLOCK);
    }

    /// Takes all of `data`, room or not: for a transport that can't be told how much there is.
    pub fn feed(&self, data: &[u8], blocks: &impl Blocks) {
        if data.is_empty() {
            return;
        }
        self.with_chunk(|chunk| {
            chunk.make_own(blocks);
            if chunk.tail_len() < data.len() {
                chunk.compact();
            }
            if chunk.tail_len() < data.len() {
                let want = chunk.len() + data.len();
                if want <= LARGE_BLOCK {
                    chunk.grow(want, blocks);
                } else {
                    chunk.grow_to(want, blocks);
                }
            }
            chunk.append(data);
        });
    }

    /// A read waits for so many bytes; the reading half holds none.
    #[inline]
    pub(super) fn read_waits(&self, want: usize) {
        self.want.set(u32::try_from(want).unwrap_or(u32::MAX));
        self.held.set(0);
    }

    /// No read waits; the reading half holds so many bytes, lent or unread.
    #[inline]
    pub(super) fn read_done(&self, held: usize) {
        self.want.set(0);
        self.held.set(u32::try_from(held).unwrap_or(u32::MAX));
    }

    /// The read that waited was given up: the room is the limit's again.
    pub fn forget(&self) {
        self.want.set(0);
    }

    /// Changes the chunk where it is. `f` must be leaf code: there is none meanwhile.
    #[inline(always)]
    pub(super) fn with_chunk<R>(&self, f: impl FnOnce(&mut Chunk) -> R) -> R {
        let mut chunk = self.chunk.take();
        let result = f(&mut chunk);
        self.put(chunk);
        result
    }

    /// Takes out all that has landed.
    #[inline]
    pub(super) fn take(&self) -> Chunk {
        self.chunk.take()
    }

    /// Puts a chunk where none is.
    #[inline]
    pub(super) fn put(&self, chunk: Chunk) {
        let before = self.chunk.replace(chunk);
        debug_assert!(before.is_none(), "expected no chunk, got {before:?}");
        std::mem::forget(before);
    }

    /// Forgets the bytes and gives the memory back.
    pub fn clear(&self, blocks: &impl Blocks) {
        self.with_chunk(|chunk| chunk.release(blocks));
    }

    /// The limit.
    #[inline]
    pub const fn limit(&self) -> usize {
        self.limit as usize
    }

    /// How many bytes have landed and were not taken by the reading half.
    #[inline]
    pub fn len(&self) -> usize {
        self.with_chunk(|chunk| chunk.len())
    }

    /// Nothing has landed that was not taken.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.with_chunk(|chunk| chunk.is_empty())
    }

    /// No memory is owned.
    #[inline]
    pub(super) fn is_none(&self) -> bool {
        self.with_chunk(|chunk| chunk.is_none())
    }

    /// How much memory is owned, in bytes.
    pub fn capacity(&self) -> usize {
        self.with_chunk(|chunk| chunk.capacity())
    }

    /// How many bytes may be kept at most, lent ones included.
    #[inline]
    pub fn bound(&self) -> usize {
        (self.limit as usize).saturating_mul(2).max(self.want())
    }

    /// How many more bytes may land before the bound is reached.
    #[inline]
    pub fn room(&self) -> usize {
        self.room_beside(self.len())
    }

    /// The same, when so many have landed.
    #[inline]
    fn room_beside(&self, landed: usize) -> usize {
        self.bound().saturating_sub(self.held.get() as usize + landed)
    }

    /// No more bytes may land. (Below the limit that is seen at one look.)
    #[inline]
    pub fn is_full(&self) -> bool {
        let len = self.len();
        self.held.get() as usize + len >= self.limit as usize && self.room_beside(len) == 0
    }

    /// A landing would be offered something now: there is room, and memory for it.
    pub fn has_space(&self) -> bool {
        let is_full = self.len() == self.capacity().max(1);
        self.room() > 0 && (!is_full || self.may_grow(self.capacity()))
    }

    fn want(&self) -> usize {
        if self.want.get() == u32::MAX { usize::MAX } else { self.want.get() as usize }
    }

    /// A chunk that is full, of this size, may become larger.
    fn may_grow(&self, capacity: usize) -> bool {
        capacity < LARGE_BLOCK || self.want() > capacity
    }

    /// Makes the chunk that there is have a tail of at least one byte; false when it is full and may not grow.
    fn prepare(&self, room: usize, blocks: &impl Blocks) -> bool {
        self.with_chunk(|chunk| {
            chunk.make_own(blocks);
            // Moving is worth it when it costs less than it gains, or when nothing else helps.
            let short = chunk.tail_len() < room.min(chunk.capacity() / 2);
            if chunk.tail_len() == 0 || (short && chunk.len() <= chunk.head_len()) {
                chunk.compact();
            }
            if chunk.tail_len() == 0 {
                if !self.may_grow(chunk.capacity()) {
                    return false;
                }
                chunk.grow(self.want().max(LARGE_BLOCK), blocks);
            }
            true
        })
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Intake");
        self.with_chunk(|chunk| out.field("chunk", &*chunk));
        out.field("limit", &self.limit).field("want", &self.want).field("held", &self.held);
        out.field("busy", &self.busy).finish()
    }
}

fn release(mut chunk: Chunk, blocks: &impl Blocks) {
    chunk.release(blocks);
}
