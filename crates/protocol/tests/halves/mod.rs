//! The two halves of an inbox and their blocks, as the tests of the inbox play them.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use millrun_loop::{BlockPool, BlockSize};
use millrun_protocol::inbox::{Attempt, Inbox, Intake, LimitOverrun, Need, Separators, Until};

pub struct Both {
    pub blocks: BlockPool,
    pub intake: Intake,
    pub inbox: Inbox,
}

impl Both {
    pub fn new(limit: usize) -> Both {
        let intake = Intake::new(limit).unwrap();
        Both { blocks: BlockPool::new(), intake, inbox: Inbox::default() }
    }

    pub fn with(limit: usize, data: &[u8]) -> Both {
        let mut both = Both::new(limit);
        both.feed(data);
        both
    }

    pub fn feed(&mut self, data: &[u8]) {
        self.intake.feed(data, &self.blocks);
    }

    pub fn attempt(&mut self, need: &mut impl Need) -> Attempt {
        self.inbox.attempt(need, &self.intake, &self.blocks)
    }

    /// The result of a read that must succeed.
    pub fn read(&mut self, mut need: impl Need) -> &[u8] {
        match self.attempt(&mut need) {
            Attempt::Taken(n) => self.inbox.lent(n),
            other => panic!("{other:?}"),
        }
    }

    pub fn until(&mut self, separators: &[&[u8]]) -> Result<&[u8], LimitOverrun> {
        let mut need = Until::new(Separators::Several(separators)).unwrap();
        match self.attempt(&mut need) {
            Attempt::Taken(n) => Ok(self.inbox.lent(n)),
            Attempt::Over(overrun) => Err(overrun),
            other => panic!("{other:?}"),
        }
    }

    /// One receive brings so many bytes, or as many as it may. How many it might have brought; none: there is no room.
    pub fn land(&mut self, n: usize) -> Option<usize> {
        let (mut chunk, most) = self.intake.landing(&self.blocks)?;
        let n = n.min(most);
        chunk.tail()[..n].fill(b'x');
        self.intake.landed(chunk, n, &self.blocks);
        Some(most)
    }

    /// How many blocks of this size were needed so far.
    pub fn made(&self, size: BlockSize) -> u64 {
        self.blocks.counts(size).made
    }

    /// All that is left.
    pub fn left(&mut self) -> Vec<u8> {
        let n = self.inbox.take_up_to(usize::MAX, &self.intake, &self.blocks);
        self.inbox.lent(n).to_vec()
    }
}
