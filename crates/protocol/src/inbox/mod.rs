//! Which bytes arrived and were not read? A buffer with a limit, in two halves: [`Intake`], where a
//! protocol lets bytes land, and [`Inbox`], from which a reader lends them.
//!
//! # Why two halves
//!
//! A read lends what the reader owns, for as long as the caller keeps the slice; meanwhile more may
//! land. So the memory moves: what lands is the intake's; a read that needs it takes the whole chunk
//! over and lends from there; what lands then lands in another block. A read that has to wait puts
//! its chunk back first, so that what comes lies behind it in one piece. The two are joined by
//! copying only where a read spans both.
//!
//! No I/O, no clock, no waiting: an attempt says [`Attempt::Wait`], and the caller tries again when
//! something has landed. Bytes leave the buffer only in an attempt that succeeds, so an attempt that
//! is given up loses none (ST-046).
//!
//! ```
//! use millrun_loop::BlockPool;
//! use millrun_protocol::inbox::{Attempt, Exact, Inbox, Intake, Line};
//!
//! let blocks = BlockPool::new();
//! let intake = Intake::new(64 * 1024)?;
//! let mut inbox = Inbox::default();
//!
//! intake.feed(b"first line\nsecond", &blocks);
//! assert_eq!(inbox.attempt(&mut Line::default(), &intake, &blocks), Attempt::Taken(11));
//! assert_eq!(inbox.lent(11), b"first line\n");
//!
//! let mut need = Exact(8);
//! assert_eq!(inbox.attempt(&mut need, &intake, &blocks), Attempt::Wait(8));
//! intake.feed(b" l", &blocks);
//! assert_eq!(inbox.attempt(&mut need, &intake, &blocks), Attempt::Taken(8));
//! assert_eq!(inbox.lent(8), b"second l");
//! # Ok::<(), millrun_protocol::inbox::InvalidLimit>(())
//! ```

mod chunk;
mod errors;
mod intake;
mod needs;

use millrun_loop::LARGE_BLOCK;

pub use chunk::{Blocks, Chunk};
pub use errors::{EmptySeparator, IncompleteRead, InvalidLimit, LimitOverrun};
pub use intake::Intake;
pub use needs::{AtEnd, Exact, Line, Look, Need, Peek, Separators, Until, UpTo};

/// The reading half of an inbox: owns what the last read lent, and what lies behind it. One pointer
/// wide, since a reader is moved into tasks, which keep it twice.
#[derive(Debug, Default)]
pub struct Inbox {
    front: Chunk,
}

/// What became of an attempt to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attempt {
    /// Done: the result are so many bytes, [`Inbox::lent`].
    Taken(usize),
    /// Done: the result is [`Inbox::unread`], and stays.
    Shown,
    /// Not yet: more must land, so many bytes in all at most.
    Wait(usize),
    /// Not within the limit. Nothing was taken (D-06).
    Over(LimitOverrun),
}

impl Inbox {
    /// Tries to meet the need from what has landed. What the last read lent is given up.
    ///
    /// After [`Attempt::Wait`] everything lies in the intake, which knows how much is wanted.
    pub fn attempt(
        &mut self,
        need: &mut impl Need,
        intake: &Intake,
        blocks: &impl Blocks,
    ) -> Attempt {
        if self.front.is_empty() {
            self.take_over(intake, blocks);
        }
        loop {
            match need.look(self.front.bytes(), intake.limit()) {
                Look::Take(n) => return Attempt::Taken(self.taken(n, intake)),
                Look::TakeOrMore(n) => {
                    if !self.join_if_cheap(intake, blocks) {
                        return Attempt::Taken(self.taken(n, intake));
                    }
                }
                Look::Show => {
                    if !self.join_if_cheap(intake, blocks) {
                        intake.read_done(self.front.len());
                        return Attempt::Shown;
                    }
                }
                // The separator may be in what has landed: the answer must not depend on where it lies. All of it is
                // needed then: room for a byte at a time would be made as often as there are bytes.
                Look::Over(overrun) => {
                    let all = self.front.len() + intake.len();
                    if overrun.found || !self.join(all, intake, blocks) {
                        intake.read_done(self.front.len());
                        return Attempt::Over(overrun);
                    }
                }
                Look::More(want) => {
                    if !self.join(want, intake, blocks) {
                        self.put_back(want, intake, blocks);
                        return Attempt::Wait(want);
                    }
                }
            }
        }
    }

    /// The attempt that most are: there is something, all of it in one piece, and the need is content with that. Says how
    /// much was taken. Otherwise nothing was, and [`attempt`](Inbox::attempt) is to be asked.
    #[inline(always)]
    pub(crate) fn glance(
        &mut self,
        need: &mut impl Need,
        intake: &Intake,
        blocks: &impl Blocks,
    ) -> Option<usize> {
        if !self.front.is_empty() {
            return self.glance_at_front(need, intake);
        }
        // Also after a wait, which put back what the need has looked at already.
        let block = intake.take().into_block()?;
        self.front.release(blocks);
        blocks.lend(&block);
        let range = block.range();
        let bytes = &block[range.clone()];
        let n = match need.look(bytes, intake.limit()) {
            Look::Take(n) | Look::TakeOrMore(n) => Some(n.min(bytes.len())),
            _ => None,
        };
        if let Some(n) = n {
            intake.read_done(bytes.len());
            block.begin_at(range.start + n);
        }
        std::mem::forget(std::mem::replace(&mut self.front, Chunk::new(block))); // it was given back
        n
    }

    /// The same, while the reading half has unread bytes.
    #[inline(always)]
    fn glance_at_front(&mut self, need: &mut impl Need, intake: &Intake) -> Option<usize> {
        match need.look(self.front.bytes(), intake.limit()) {
            Look::Take(n) => Some(self.taken(n, intake)),
            Look::TakeOrMore(n) if intake.is_empty() => Some(self.taken(n, intake)),
            _ => None,
        }
    }

    /// The wait that most are: there is nothing at all, the need is not content with that, and what the last read lent need
    /// not be given back. Otherwise nothing was done.
    #[inline(always)]
    pub(crate) fn waits_empty(&mut self, need: &mut impl Need, intake: &Intake) -> bool {
        if !intake.is_none() || !self.front.is_empty() {
            return false;
        }
        let Look::More(want) = need.look(&[], intake.limit()) else { return false };
        let waits = self.front.let_go();
        if waits {
            intake.read_waits(want);
        }
        waits
    }

    /// Takes up to `n` bytes, whatever any need says: what the end of file leaves. Says how many.
    pub fn take_up_to(&mut self, n: usize, intake: &Intake, blocks: &impl Blocks) -> usize {
        while self.front.len() < n && self.join(n, intake, blocks) {}
        let n = n.min(self.front.len());
        self.taken(n, intake);
        n
    }

    /// Gives up everything, read or not, and the memory.
    pub fn clear(&mut self, intake: &Intake, blocks: &impl Blocks) {
        self.front.release(blocks);
        intake.clear(blocks);
        intake.read_done(0);
    }

    /// The result of the last read, which took `n` bytes; until the next attempt.
    #[inline]
    pub fn lent(&self, n: usize) -> &[u8] {
        self.front.consumed(n)
    }

    /// What this half holds unread. More may have landed in the intake.
    #[inline]
    pub fn unread(&self) -> &[u8] {
        self.front.bytes()
    }

    /// How much memory is owned, in bytes.
    pub fn capacity(&self) -> usize {
        self.front.capacity()
    }

    #[inline]
    fn taken(&mut self, n: usize, intake: &Intake) -> usize {
        intake.read_done(self.front.len());
        self.front.consume(n);
        n
    }

    /// Nothing is unread here: the memory goes back, and all that has landed comes over as it is.
    #[inline]
    fn take_over(&mut self, intake: &Intake, blocks: &impl Blocks) {
        self.front.release(blocks);
        std::mem::forget(std::mem::replace(&mut self.front, intake.take())); // it was given back
        self.front.lend(blocks);
    }

    /// Takes over what has landed, if it costs no allocation.
    fn join_if_cheap(&mut self, intake: &Intake, blocks: &impl Blocks) -> bool {
        let spare = self.front.capacity() - self.front.len();
        (self.front.is_empty() || intake.len() <= spare) && self.join(0, intake, blocks)
    }

    /// Takes over what has landed, as much of it as there is memory for, with `want` bytes in mind.
    /// False when nothing has landed.
    fn join(&mut self, want: usize, intake: &Intake, blocks: &impl Blocks) -> bool {
        if intake.is_empty() {
            return false;
        }
        if self.front.is_empty() {
            self.take_over(intake, blocks);
            return true;
        }
        self.front.make_own(blocks);
        self.front.shrink(want, blocks);
        intake.with_chunk(|back| {
            if self.front.tail_len() < back.len() {
                self.front.compact();
            }
            if self.front.tail_len() == 0 {
                if want > LARGE_BLOCK && want <= self.front.len() + back.len() {
                    // All is here: nothing need be doubled on the way there.
                    self.front.grow_to(want, blocks);
                } else {
                    self.front.grow(want, blocks);
                }
            }
            let n = self.front.append(back.bytes());
            back.consume(n);
            if back.is_empty() {
                back.release(blocks);
            }
        });
        true
    }

    /// Before waiting: what comes shall lie behind what is here, in one piece. A wait means that the intake
    /// had nothing, and an empty front has no memory.
    fn put_back(&mut self, want: usize, intake: &Intake, blocks: &impl Blocks) {
        self.front.shrink(want, blocks);
        intake.put(std::mem::take(&mut self.front));
        intake.read_waits(want);
    }
}
