//! Where bytes land: [`Intake`], the half of an inbox that the protocol owns.

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
#[derive(Debug)]
pub struct Intake {
    chunk: Chunk,
    /// `u32::MAX` stands for that much and anything more.
    want: u32,
    held: u32,
    limit: u32,
    /// The last receives filled a small block: begin with a large one.
    busy: bool,
}

impl Intake {
    /// An intake with this limit, in bytes.
    ///
    /// # Errors
    /// A limit of 0, or one that does not fit into 32 bits (ST-001).
    pub fn new(limit: usize) -> Result<Intake, InvalidLimit> {
        match u32::try_from(limit) {
            Ok(limit) if limit > 0 => {
                Ok(Intake { chunk: Chunk::default(), want: 0, held: 0, limit, busy: false })
            }
            _ => Err(InvalidLimit { limit }),
        }
    }

    /// Takes the chunk out for a receive into its tail: at most so many bytes. `None` = no room.
    ///
    /// Give it back with [`landed`](Intake::landed), used or not.
    #[inline(always)]
    pub fn landing(&mut self, blocks: &impl Blocks) -> Option<(Chunk, usize)> {
        let room = self.room();
        if room == 0 {
            return None;
        }
        let chunk = if self.chunk.is_none() {
            let large = self.busy && room > SMALL_BLOCK;
            Chunk::new(blocks.take(if large { BlockSize::Large } else { BlockSize::Small }))
        } else {
            self.prepare(room, blocks)?
        };
        let most = chunk.tail_len().min(room);
        Some((chunk, most))
    }

    /// Puts the chunk back, with `n` more bytes in it.
    #[inline(always)]
    pub fn landed(&mut self, mut chunk: Chunk, n: usize, blocks: &impl Blocks) {
        if n == 0 || !self.chunk.is_none() {
            return self.landed_rarely(chunk, n, blocks);
        }
        if self.busy || n >= SMALL_BLOCK {
            self.note_fill(&chunk, n);
        } else {
            self.busy = n == chunk.tail_len();
        }
        chunk.filled(n);
        self.chunk = chunk;
    }

    #[inline(never)]
    fn landed_rarely(&mut self, mut chunk: Chunk, n: usize, blocks: &impl Blocks) {
        if n > 0 {
            self.note_fill(&chunk, n);
        }
        chunk.filled(n);
        let between = std::mem::replace(&mut self.chunk, chunk);
        if !between.is_empty() {
            self.feed(between.bytes(), blocks);
        }
        release(between, blocks);
        if self.chunk.is_empty() {
            self.chunk.release(blocks);
        }
    }

    /// How full the last receive was: what a small block would have held does not need a large one next time.
    #[inline(never)]
    fn note_fill(&mut self, chunk: &Chunk, n: usize) {
        let filled = n == chunk.tail_len();
        let small = chunk.capacity() == SMALL_BLOCK;
        self.busy = filled || !small && self.busy && n >= SMALL_BLOCK;
    }

    /// Takes all of `data`, room or not: for a transport that can't be told how much there is.
    pub fn feed(&mut self, data: &[u8], blocks: &impl Blocks) {
        if data.is_empty() {
            return;
        }
        self.chunk.make_own(blocks);
        if self.chunk.tail_len() < data.len() {
            self.chunk.compact();
        }
        if self.chunk.tail_len() < data.len() {
            let want = self.chunk.len() + data.len();
            if want <= LARGE_BLOCK {
                self.chunk.grow(want, blocks);
            } else {
                self.chunk.grow_to(want, blocks);
            }
        }
        self.chunk.append(data);
    }

    /// A read waits for so many bytes; the reading half holds none.
    #[inline]
    pub(super) fn read_waits(&mut self, want: usize) {
        self.want = u32::try_from(want).unwrap_or(u32::MAX);
        self.held = 0;
    }

    /// A read waits, if nothing has landed, and the reading half has nothing either.
    #[inline]
    pub(crate) fn waits_empty(&mut self, want: usize) -> bool {
        let is_none = self.chunk.is_none();
        if is_none {
            self.read_waits(want);
        }
        is_none
    }

    /// No read waits; the reading half holds so many bytes, lent or unread.
    #[inline]
    pub(super) fn read_done(&mut self, held: usize) {
        self.want = 0;
        self.held = u32::try_from(held).unwrap_or(u32::MAX);
    }

    /// The read that waited was given up: the room is the limit's again.
    pub fn forget(&mut self) {
        self.want = 0;
    }

    #[inline]
    pub(super) fn chunk(&mut self) -> &mut Chunk {
        &mut self.chunk
    }

    /// Forgets the bytes and gives the memory back.
    pub fn clear(&mut self, blocks: &impl Blocks) {
        self.chunk.release(blocks);
    }

    /// The limit.
    #[inline]
    pub fn limit(&self) -> usize {
        self.limit as usize
    }

    /// How many bytes have landed and were not taken by the reading half.
    #[inline]
    pub fn len(&self) -> usize {
        self.chunk.len()
    }

    /// Nothing has landed that was not taken.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.chunk.is_empty()
    }

    /// How much memory is owned, in bytes.
    pub fn capacity(&self) -> usize {
        self.chunk.capacity()
    }

    /// How many bytes may be kept at most, lent ones included.
    #[inline]
    pub fn bound(&self) -> usize {
        (self.limit as usize).saturating_mul(2).max(self.want())
    }

    /// How many more bytes may land before the bound is reached.
    #[inline]
    pub fn room(&self) -> usize {
        self.bound().saturating_sub(self.held as usize + self.chunk.len())
    }

    /// No more bytes may land. (Below the limit that is seen at one look.)
    #[inline]
    pub fn is_full(&self) -> bool {
        self.held as usize + self.chunk.len() >= self.limit as usize && self.room() == 0
    }

    /// A landing would be offered something now: there is room, and memory for it.
    pub fn has_space(&self) -> bool {
        self.room() > 0 && (self.chunk.len() < self.chunk.capacity().max(1) || self.may_grow())
    }

    const fn want(&self) -> usize {
        if self.want == u32::MAX { usize::MAX } else { self.want as usize }
    }

    fn may_grow(&self) -> bool {
        let capacity = self.chunk.capacity();
        capacity < LARGE_BLOCK || self.want() > capacity
    }

    /// Takes out the chunk that there is, with a tail of at least one byte; `None` when it is full and may not grow.
    #[inline(never)]
    fn prepare(&mut self, room: usize, blocks: &impl Blocks) -> Option<Chunk> {
        self.chunk.make_own(blocks);
        let chunk = &mut self.chunk;
        // Moving is worth it when it costs less than it gains, or when nothing else helps.
        let short = chunk.tail_len() < room.min(chunk.capacity() / 2);
        if chunk.tail_len() == 0 || (short && chunk.len() <= chunk.head_len()) {
            chunk.compact();
        }
        if chunk.tail_len() == 0 {
            if !self.may_grow() {
                return None;
            }
            self.chunk.grow(self.want().max(LARGE_BLOCK), blocks);
        }
        Some(std::mem::take(&mut self.chunk))
    }
}

fn release(mut chunk: Chunk, blocks: &impl Blocks) {
    chunk.release(blocks);
}
