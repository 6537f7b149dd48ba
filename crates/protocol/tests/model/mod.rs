//! What must an inbox do? As a plain `Vec` would: the model that the tests and the fuzzer compare it with.
#![allow(dead_code, reason = "each user takes its part")]
#![allow(unreachable_pub, reason = "it is a module of each user")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a model fails by panicking")]

use millrun_loop::{Block, BlockPool, BlockSize, LARGE_BLOCK, SMALL_BLOCK};
use millrun_protocol::inbox::{
    Attempt, Exact, Inbox, Intake, LimitOverrun, Line, Need, Peek, Separators, Until, UpTo,
};

/// What reads look for: one separator and several, of which some are the beginning or the end of another.
pub const SEPARATORS: [&[&[u8]]; 6] = [
    &[b"\n"],
    &[b"\r\n"],
    &[b"ab", b"b"],
    &[b"aab", b"ba", b"\n"],
    &[b"abab", b"bb"],
    &[b"a\n", b"\n"],
];

/// What may happen to an inbox. A read that has to wait is given up by the next one.
#[derive(Clone, Debug)]
pub enum Step {
    /// So many bytes arrive, in receives of at most so many.
    Arrive(usize, usize),
    /// These bytes arrive, in receives of at most so many.
    ArriveBytes(Vec<u8>, usize),
    /// A transport that knows no room brings so many.
    Feed(usize),
    UpTo(usize),
    Exact(usize),
    Line,
    Until(usize),
    Peek,
    /// The read that waits looks again.
    Again,
    /// The reader passes on what it was lent, which holds the block until the next time.
    PassOn,
    /// Everything is given up.
    Clear,
}

/// A read, and what it has seen already.
#[derive(Clone, Copy, Debug)]
pub enum Reading {
    UpTo(UpTo),
    Exact(Exact),
    Line(Line),
    Until(Until<'static>, &'static [&'static [u8]]),
    Peek(Peek),
}

/// The real halves, and what must be in them.
pub struct Both {
    pub blocks: BlockPool,
    pub intake: Intake,
    pub inbox: Inbox,
    pub model: Vec<u8>,
    limit: usize,
    passed_on: PassedOn,
    /// How much the last read lent.
    lent: usize,
    /// The pending (given up) read's need.
    pub want: usize,
    waits: Option<Reading>,
    /// The most that a read asked for.
    largest: usize,
    /// What unbounded transports brought beyond the room.
    excess: usize,
    /// The same, ever.
    fed: usize,
    seed: u32,
}

impl Both {
    pub fn new(limit: usize) -> Both {
        Both {
            blocks: BlockPool::new(),
            intake: Intake::new(limit).unwrap(),
            inbox: Inbox::default(),
            model: Vec::new(),
            limit,
            passed_on: PassedOn::default(),
            lent: 0,
            want: 0,
            waits: None,
            largest: limit + 4, // and the longest separator
            excess: 0,
            fed: 0,
            seed: 7,
        }
    }

    /// Does one thing to both, and compares.
    pub fn step(&mut self, step: &Step) {
        let limit = self.limit;
        match step {
            Step::Arrive(n, piece) => {
                let data = self.bytes(*n);
                self.arrive(&data, *piece);
            }
            Step::ArriveBytes(data, piece) => self.arrive(data, *piece),
            Step::Feed(n) => {
                let data = self.bytes(*n);
                self.intake.feed(&data, &self.blocks);
                self.model.extend_from_slice(&data);
                self.excess += n;
                self.fed += n;
            }
            Step::UpTo(max) => self.read(Reading::UpTo(UpTo(*max))),
            Step::Exact(n) => {
                self.largest = self.largest.max(*n);
                self.read(Reading::Exact(Exact(*n)));
            }
            Step::Line => self.read(Reading::Line(Line::default())),
            Step::Until(which) => self.read(Reading::until(*which)),
            Step::Peek => self.read(Reading::Peek(Peek)),
            Step::Again => {
                if let Some(reading) = self.waits {
                    self.read(reading);
                }
            }
            Step::PassOn => {
                let lent = self.inbox.lent(self.lent);
                self.passed_on.pass(lent, &self.blocks);
            }
            Step::Clear => {
                self.inbox.clear(&self.intake, &self.blocks);
                assert_eq!((self.inbox.capacity(), self.intake.capacity()), (0, 0));
                self.model.clear();
                (self.lent, self.want, self.excess, self.waits) = (0, 0, 0, None);
            }
        }
        assert!(self.waits.is_none() || self.want > 0, "waits for nothing, limit {limit}");
        self.passed_on.is_unchanged();
        self.memory_is_bounded();
    }

    /// What is left comes out whole, and all memory goes back.
    pub fn finish(mut self) {
        let n = self.inbox.take_up_to(usize::MAX, &self.intake, &self.blocks);
        assert!(self.inbox.lent(n) == self.model.as_slice(), "{n} bytes left");
        self.inbox.clear(&self.intake, &self.blocks);
        self.passed_on.give_back(&self.blocks);
        for size in [BlockSize::Small, BlockSize::Large] {
            let counts = self.blocks.counts(size);
            assert_eq!(counts.made + counts.reused, counts.given, "blocks taken and given");
        }
    }

    /// Bytes land as long as there is room; the others stay with the kernel.
    pub fn arrive(&mut self, mut data: &[u8], piece: usize) {
        while !data.is_empty() {
            let bound = (2 * self.limit).max(self.want);
            let Some((mut chunk, most)) = self.intake.landing(&self.blocks) else {
                assert!(!self.intake.has_space());
                return;
            };
            assert!(most > 0 && most <= chunk.tail().len());
            let taken = data.len().min(piece).min(most);
            chunk.tail()[..taken].copy_from_slice(&data[..taken]);
            self.intake.landed(chunk, taken, &self.blocks);
            self.model.extend_from_slice(&data[..taken]);
            data = &data[taken..];
            let kept = self.model.len() + self.lent;
            assert!(kept <= bound + self.excess, "{kept} bytes kept, bound {bound}");
        }
    }

    /// Few different bytes, so that separators and parts of them are frequent; rare in long runs.
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n)
            .map(|_| {
                self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let rare = n > 100 && (self.seed >> 16) % 500 != 0;
                if rare { b'x' } else { b"ab\r\n"[(self.seed >> 24) as usize % 4] }
            })
            .collect()
    }

    fn read(&mut self, mut reading: Reading) {
        let wanted = reading.wanted(&self.model, self.limit);
        let attempt = match &mut reading {
            Reading::UpTo(need) => self.attempt(need),
            Reading::Exact(need) => self.attempt(need),
            Reading::Line(need) => self.attempt(need),
            Reading::Until(need, _) => self.attempt(need),
            Reading::Peek(need) => self.attempt(need),
        };
        (self.want, self.lent, self.waits) = (0, 0, None);
        self.excess = self.excess.min(self.model.len());
        match (attempt, wanted) {
            (Attempt::Taken(n), Want::Take(wanted)) => {
                assert_eq!(n, wanted);
                self.taken(n);
            }
            (Attempt::Taken(n), Want::AtMost(most)) => {
                assert!((1..=most).contains(&n));
                self.taken(n);
            }
            (Attempt::Shown, Want::Show) => {
                let shown = self.inbox.unread();
                assert!(!shown.is_empty() && shown == &self.model[..shown.len()]);
            }
            (Attempt::Over(got), Want::Over(expected)) => assert_eq!(got, expected),
            (Attempt::Wait(want), Want::Wait) => {
                self.waits = Some(reading);
                self.waits(want);
            }
            (got, expected) => {
                panic!("got {got:?}, expected {expected:?} of {:?}", self.model.len())
            }
        }
    }

    fn attempt(&mut self, need: &mut impl Need) -> Attempt {
        self.inbox.attempt(need, &self.intake, &self.blocks)
    }

    fn taken(&mut self, n: usize) {
        assert!(self.inbox.lent(n) == &self.model[..n]);
        self.model.drain(..n);
        self.lent = n;
    }

    /// A read that waits can always be fed (no limit deadlocks), and keeps nothing it does not need.
    fn waits(&mut self, want: usize) {
        self.want = want;
        assert!(self.intake.has_space());
        assert_eq!(self.intake.len(), self.model.len());
        assert_eq!(self.inbox.capacity(), 0);
        if self.model.is_empty() {
            assert_eq!(self.intake.capacity(), 0, "idle, and owns memory");
        }
    }

    fn memory_is_bounded(&self) {
        let bound = (2 * self.limit).max(self.largest) + self.fed;
        let owned = self.intake.capacity() + self.inbox.capacity();
        // Both halves round up to a block.
        let block = if bound <= SMALL_BLOCK { SMALL_BLOCK } else { LARGE_BLOCK };
        assert!(owned <= bound.max(block) + block, "{owned} bytes owned, bound {bound}");
    }
}

/// What was passed on last, as a transport below keeps it until it has left: the block, not a copy.
#[derive(Default)]
pub struct PassedOn(Option<(Block, usize, Vec<u8>)>);

impl PassedOn {
    /// Keeps these bytes in place of those before, if they lie in the block that was lent last.
    pub fn pass(&mut self, lent: &[u8], blocks: &BlockPool) {
        self.give_back(blocks);
        self.0 = blocks.share(lent).map(|(block, place)| (block, place, lent.to_vec()));
    }

    /// Whatever is received meanwhile.
    pub fn is_unchanged(&self) {
        if let Some((block, place, bytes)) = &self.0 {
            assert!(&block[*place..*place + bytes.len()] == bytes, "what was passed on changed");
        }
    }

    pub fn give_back(&mut self, blocks: &BlockPool) {
        if let Some((block, ..)) = self.0.take() {
            blocks.give(block);
        }
    }
}

/// What a read must come to.
#[derive(Debug)]
pub enum Want {
    Take(usize),
    AtMost(usize),
    Show,
    Wait,
    Over(LimitOverrun),
}

impl Reading {
    /// Up to one of the [`SEPARATORS`].
    pub fn until(which: usize) -> Reading {
        let separators = SEPARATORS[which];
        Reading::Until(Until::new(Separators::Several(separators)).unwrap(), separators)
    }

    /// What it must come to, with these bytes unread.
    pub fn wanted(&self, bytes: &[u8], limit: usize) -> Want {
        match *self {
            Reading::UpTo(UpTo(max)) => match bytes.len() {
                _ if max == 0 => Want::Take(0),
                0 => Want::Wait,
                n if n <= 4096 => Want::Take(n.min(max)),
                n => Want::AtMost(n.min(max)),
            },
            Reading::Exact(Exact(n)) if bytes.len() >= n => Want::Take(n),
            Reading::Exact(_) => Want::Wait,
            Reading::Line(_) => until(bytes, &[b"\n"], limit),
            Reading::Until(_, separators) => until(bytes, separators, limit),
            Reading::Peek(_) if bytes.is_empty() => Want::Wait,
            Reading::Peek(_) => Want::Show,
        }
    }
}

/// Every prefix in turn, every separator: the plain meaning of "the match that ends first".
pub fn until(bytes: &[u8], separators: &[&[u8]], limit: usize) -> Want {
    let longest = separators.iter().map(|s| s.len()).max().unwrap();
    for end in 1..=bytes.len() {
        let ending = separators.iter().filter(|s| bytes[..end].ends_with(s));
        if let Some(shortest) = ending.map(|s| s.len()).min() {
            let start = end - shortest;
            return match start > limit {
                true => Want::Over(LimitOverrun { limit, consumed: start, found: true }),
                false => Want::Take(end),
            };
        }
    }
    let consumed = (bytes.len() + 1).saturating_sub(longest);
    if consumed > limit {
        Want::Over(LimitOverrun { limit, consumed, found: false })
    } else {
        Want::Wait
    }
}
