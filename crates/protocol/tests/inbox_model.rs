//! The inbox against a plain `Vec`: whatever lands in whatever pieces, and whichever reads are given up,
//! the same bytes come out in the same order, within the bound.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use millrun_loop::{BlockPool, LARGE_BLOCK, SMALL_BLOCK};
use millrun_protocol::inbox::{
    AtEnd, Attempt, Exact, Inbox, Intake, LimitOverrun, Line, Need, Peek, Separators, Until, UpTo,
};
use proptest::prelude::*;

const SEPARATORS: [&[&[u8]]; 6] = [
    &[b"\n"],
    &[b"\r\n"],
    &[b"ab", b"b"],
    &[b"aab", b"ba", b"\n"],
    &[b"abab", b"bb"],
    &[b"a\n", b"\n"],
];

#[derive(Clone, Debug)]
enum Step {
    /// So many bytes arrive, in receives of at most so many.
    Arrive(usize, usize),
    /// A transport that knows no room brings so many.
    Feed(usize),
    UpTo(usize),
    Exact(usize),
    Line,
    Until(usize),
    Peek,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = prop_oneof![0usize..6, 0usize..40, 0usize..9000, 0usize..150_000];
    let size2 = size.clone();
    let size3 = size.clone();
    let receive = prop_oneof![1usize..4, 1usize..5000, Just(usize::MAX)];
    prop::collection::vec(
        prop_oneof![
            3 => (size.clone(), receive).prop_map(|(n, piece)| Step::Arrive(n, piece)),
            1 => (0usize..5000).prop_map(Step::Feed),
            2 => size2.prop_map(Step::UpTo),
            1 => size3.prop_map(Step::Exact),
            2 => Just(Step::Line),
            2 => (0..SEPARATORS.len()).prop_map(Step::Until),
            1 => Just(Step::Peek),
        ],
        1..60,
    )
}

/// The real halves, and what must be in them.
struct Both {
    blocks: BlockPool,
    intake: Intake,
    inbox: Inbox,
    model: Vec<u8>,
    limit: usize,
    /// How much the last read lent.
    lent: usize,
    /// The pending (given up) read's need.
    want: usize,
    /// What unbounded transports brought beyond the room.
    excess: usize,
    /// The same, ever.
    fed: usize,
    seed: u32,
}

impl Both {
    fn new(limit: usize) -> Both {
        Both {
            blocks: BlockPool::new(),
            intake: Intake::new(limit).unwrap(),
            inbox: Inbox::default(),
            model: Vec::new(),
            limit,
            lent: 0,
            want: 0,
            excess: 0,
            fed: 0,
            seed: 7,
        }
    }

    /// Few different bytes, so that separators and parts of them are frequent; rare in long runs.
    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n)
            .map(|_| {
                self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let rare = n > 100 && (self.seed >> 16) % 500 != 0;
                if rare { b'x' } else { b"ab\r\n"[(self.seed >> 24) as usize % 4] }
            })
            .collect()
    }

    fn arrive(&mut self, mut n: usize, piece: usize) {
        while n > 0 {
            let bound = (2 * self.limit).max(self.want);
            let Some((mut chunk, most)) = self.intake.landing(&self.blocks) else {
                assert!(!self.intake.has_space());
                return;
            };
            assert!(most > 0 && most <= chunk.tail().len());
            let taken = n.min(piece).min(most);
            let data = self.bytes(taken);
            chunk.tail()[..taken].copy_from_slice(&data);
            self.intake.landed(chunk, taken, &self.blocks);
            self.model.extend_from_slice(&data);
            n -= taken;
            let kept = self.model.len() + self.lent;
            assert!(kept <= bound + self.excess, "{kept} bytes kept, bound {bound}");
        }
    }

    fn read(&mut self, mut need: impl Need, mut model: impl FnMut(&[u8]) -> Want) -> Attempt {
        let attempt = self.inbox.attempt(&mut need, &self.intake, &self.blocks);
        (self.want, self.lent) = (0, 0);
        self.excess = self.excess.min(self.model.len());
        match (attempt, model(&self.model)) {
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
            (Attempt::Wait(want), Want::Wait) => self.waits(want),
            (got, expected) => {
                panic!("got {got:?}, expected {expected:?} of {:?}", self.model.len())
            }
        }
        attempt
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

    fn memory_is_bounded(&self, largest: usize) {
        let bound = (2 * self.limit).max(largest) + self.fed;
        let owned = self.intake.capacity() + self.inbox.capacity();
        // Both halves round up to a block.
        let block = if bound <= SMALL_BLOCK { SMALL_BLOCK } else { LARGE_BLOCK };
        assert!(owned <= bound.max(block) + block, "{owned} bytes owned, bound {bound}");
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Arrive(n, piece) => self.arrive(n, piece),
            Step::Feed(n) => {
                let data = self.bytes(n);
                self.intake.feed(&data, &self.blocks);
                self.model.extend_from_slice(&data);
                self.excess += n;
                self.fed += n;
            }
            Step::UpTo(max) => {
                self.read(UpTo(max), |bytes| match bytes.len() {
                    _ if max == 0 => Want::Take(0),
                    0 => Want::Wait,
                    n if n <= 4096 => Want::Take(n.min(max)),
                    n => Want::AtMost(n.min(max)),
                });
            }
            Step::Exact(n) => {
                self.read(Exact(n), |b| if b.len() >= n { Want::Take(n) } else { Want::Wait });
            }
            Step::Line => {
                let limit = self.limit;
                self.read(Line::default(), |bytes| until(bytes, &[b"\n"], limit));
            }
            Step::Until(which) => {
                let (limit, separators) = (self.limit, SEPARATORS[which]);
                let need = Until::new(Separators::Several(separators)).unwrap();
                self.read(need, |bytes| until(bytes, separators, limit));
            }
            Step::Peek => {
                self.read(Peek, |bytes| if bytes.is_empty() { Want::Wait } else { Want::Show });
            }
        }
    }
}

#[derive(Debug)]
enum Want {
    Take(usize),
    AtMost(usize),
    Show,
    Wait,
    Over(LimitOverrun),
}

/// Every prefix in turn, every separator: the plain meaning of "the match that ends first".
fn until(bytes: &[u8], separators: &[&[u8]], limit: usize) -> Want {
    let longest = separators.iter().map(|s| s.len()).max().unwrap();
    for end in 1..=bytes.len() {
        let ending = separators.iter().filter(|s| bytes[..end].ends_with(s));
        if let Some(shortest) = ending.map(|s| s.len()).min() {
            let start = end - shortest;
            return match start > limit {
                true => Want::Over(LimitOverrun { consumed: start, found: true }),
                false => Want::Take(end),
            };
        }
    }
    let consumed = (bytes.len() + 1).saturating_sub(longest);
    if consumed > limit { Want::Over(LimitOverrun { consumed, found: false }) } else { Want::Wait }
}

fn limits() -> impl Strategy<Value = usize> {
    prop_oneof![1usize..4, 1usize..100, 1000usize..6000, Just(65_536), 100_000usize..200_000]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// ST-006, ST-017 to ST-037, ST-046; invariants 6 and 8.
    #[test]
    fn st_046_any_steps_give_the_bytes_of_the_model(limit in limits(), steps in steps()) {
        let mut both = Both::new(limit);
        let mut largest = 0;
        for step in &steps {
            if let Step::Exact(n) = step {
                largest = largest.max(*n);
            }
            both.step(step);
            both.memory_is_bounded(largest.max(limit + 4));
        }
        // What is left comes out whole.
        let left = std::mem::take(&mut both.model);
        let n = both.inbox.take_up_to(usize::MAX, &both.intake, &both.blocks);
        prop_assert!(both.inbox.lent(n) == left.as_slice());
    }

    /// A waiting exact read of any size is fed to its end under any limit (E-007).
    #[test]
    fn e_007_an_exact_read_of_any_size_ends(limit in limits(), n in 1usize..300_000, piece in 1usize..9000) {
        let mut both = Both::new(limit);
        both.arrive(2 * limit, usize::MAX);
        let mut need = Exact(n);
        let mut turns = 0;
        loop {
            match both.inbox.attempt(&mut need, &both.intake, &both.blocks) {
                Attempt::Taken(taken) => break prop_assert_eq!(taken, n),
                Attempt::Wait(want) => both.want = want,
                other => prop_assert!(false, "{other:?}"),
            }
            let before = both.model.len();
            both.arrive(piece, usize::MAX);
            prop_assert!(both.model.len() > before, "no room for a waiting read");
            turns += 1;
            prop_assert!(turns <= n);
        }
        prop_assert!(both.inbox.lent(n) == &both.model[..n]);
    }

    /// Pieces don't matter: ST-025, ST-034.
    #[test]
    fn st_025_a_separator_split_over_any_chunks_is_found(
        data in prop::collection::vec(prop::sample::select(b"ab\r\n".to_vec()), 0..60),
        cuts in prop::collection::vec(1usize..5, 60),
        which in 0..SEPARATORS.len(),
    ) {
        let blocks = BlockPool::new();
        let intake = Intake::new(1000).unwrap();
        let mut inbox = Inbox::default();
        let mut need = Until::new(Separators::Several(SEPARATORS[which])).unwrap();
        let expected = until(&data, SEPARATORS[which], 1000);
        let mut fed = 0;
        let mut cuts = cuts.into_iter();
        loop {
            match inbox.attempt(&mut need, &intake, &blocks) {
                Attempt::Taken(taken) => {
                    prop_assert!(matches!(expected, Want::Take(n) if n == taken));
                    prop_assert!(inbox.lent(taken) == &data[..taken]);
                    break;
                }
                Attempt::Wait(_) if fed == data.len() => {
                    prop_assert!(matches!(expected, Want::Wait));
                    prop_assert_eq!(need.at_end(fed), AtEnd::Incomplete(None));
                    break;
                }
                Attempt::Wait(_) => {
                    let next = (fed + cuts.next().unwrap()).min(data.len());
                    intake.feed(&data[fed..next], &blocks);
                    fed = next;
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
