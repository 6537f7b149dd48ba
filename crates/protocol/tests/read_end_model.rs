//! A reading end over its protocol, against a plain `Vec`: what most reads and most landings take is a short way of its
//! own, which must come to the same.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;
mod model;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use common::{Bench, Manual};
use millrun_loop::{Block, BlockSize, EventLoop, LARGE_BLOCK, LoopHandle, SMALL_BLOCK};
use millrun_protocol::inbox::{Exact, Line, Need, Peek, UpTo};
use millrun_protocol::{ReadEnd, ReadError, StreamReaderProtocol, WriteEnd};
use model::{PassedOn, Reading, SEPARATORS, Want};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    /// So many bytes come, as many at a time as the protocol has room for.
    Arrive(usize),
    /// A transport that knows no room brings so many.
    Feed(usize),
    /// A receive that brings nothing; perhaps another one before, that has no answer.
    Nothing(bool),
    UpTo(usize),
    Exact(usize),
    Line,
    Until(usize),
    Peek,
    /// The read that waits looks again.
    Again,
    /// The read that waits is given up.
    Forget,
    /// What was lent is passed on.
    PassOn,
    /// Another connection of the loop receives so many bytes and reads them.
    Other(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let size = || prop_oneof![0usize..6, 0usize..40, 0usize..9000, Just(4096), 0usize..100_000];
    prop_oneof![
        6 => size().prop_map(Step::Arrive),
        1 => size().prop_map(Step::Feed),
        1 => any::<bool>().prop_map(Step::Nothing),
        6 => size().prop_map(Step::UpTo),
        3 => size().prop_map(Step::Exact),
        2 => Just(Step::Line),
        2 => (0..SEPARATORS.len()).prop_map(Step::Until),
        2 => Just(Step::Peek),
        3 => Just(Step::Again),
        1 => Just(Step::Forget),
        3 => Just(Step::PassOn),
        1 => (1usize..9000).prop_map(Step::Other),
    ]
}

fn limits() -> impl Strategy<Value = usize> {
    prop_oneof![1usize..100, 1000usize..6000, Just(65_536), 32_000usize..200_000]
}

struct Both {
    handle: LoopHandle,
    transport: Rc<Manual>,
    read: ReadEnd,
    _write: WriteEnd,
    other: (Rc<Manual>, ReadEnd, WriteEnd),
    model: Vec<u8>,
    limit: usize,
    lent: usize,
    waits: Option<Reading>,
    passed_on: PassedOn,
    /// The most that a read asked for, and what came without being asked whether there is room.
    most: usize,
    fed: usize,
    seed: u8,
}

impl Both {
    fn new(limit: usize) -> (EventLoop, Both) {
        let Bench { event_loop, transport, read, write: _write, .. } = Bench::new(limit);
        let handle = event_loop.handle();
        let (protocol, connecting) = StreamReaderProtocol::new(&handle, 100_000).unwrap();
        let beside = Manual::new(protocol);
        beside.connect();
        let (its_read, its_write) = connecting.now().unwrap().split();
        let (model, waits, passed_on) = (Vec::new(), None, PassedOn::default());
        let other = (beside, its_read, its_write);
        let most = limit + 4; // and the longest separator
        let (lent, fed, seed) = (0, 0, 7);
        let both = Both {
            handle,
            transport,
            read,
            _write,
            other,
            model,
            limit,
            lent,
            waits,
            passed_on,
            most,
            fed,
            seed,
        };
        (event_loop, both)
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        let next = |seed: &mut u8| {
            *seed = seed.wrapping_mul(5).wrapping_add(3);
            b"abab\r\nxyxyxxyyxx"[usize::from(*seed >> 4)]
        };
        (0..n).map(|_| next(&mut self.seed)).collect()
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Arrive(n) => {
                let data = self.bytes(*n);
                let left = self.transport.arrive(&data);
                self.model.extend_from_slice(&data[..n - left]);
            }
            Step::Feed(n) => {
                let data = self.bytes(*n);
                self.transport.feed(&data).unwrap();
                self.model.extend_from_slice(&data);
                self.fed += n;
            }
            Step::Nothing(twice) => {
                let before = self.read.memory();
                self.transport.with(|protocol| {
                    if *twice {
                        drop(protocol.landing());
                    }
                    drop(protocol.landing());
                    protocol.landed(0).unwrap();
                });
                assert!(before > 0 || self.read.memory() == 0, "memory for nothing");
            }
            Step::UpTo(max) => self.read(Reading::UpTo(UpTo(*max))).await,
            Step::Exact(n) => self.read(Reading::Exact(Exact(*n))).await,
            Step::Line => self.read(Reading::Line(Line::default())).await,
            Step::Until(which) => self.read(Reading::until(*which)).await,
            Step::Peek => self.read(Reading::Peek(Peek)).await,
            Step::Again => {
                if let Some(reading) = self.waits {
                    self.read(reading).await;
                }
            }
            Step::Forget => {
                self.read.forget();
                self.waits = None;
            }
            Step::PassOn => {
                self.passed_on.pass(self.read.lent(self.lent), self.handle.blocks());
            }
            Step::Other(n) => self.echo_on_the_other(*n).await,
        }
        self.passed_on.is_unchanged();
        assert_eq!(self.read.buffered(), self.model.len());
        self.memory_is_bounded();
    }

    async fn read(&mut self, mut reading: Reading) {
        let wanted = reading.wanted(&self.model, self.limit);
        if let Reading::Exact(Exact(n)) = reading {
            self.most = self.most.max(n);
        }
        let result = match &mut reading {
            Reading::UpTo(need) => once(&mut self.read, need).await,
            Reading::Exact(need) => once(&mut self.read, need).await,
            Reading::Line(need) => once(&mut self.read, need).await,
            Reading::Until(need, _) => once(&mut self.read, need).await,
            Reading::Peek(need) => once(&mut self.read, need).await,
        };
        (self.lent, self.waits) = (0, None);
        match (result, wanted) {
            (Some(Ok(n)), Want::Take(expected)) => {
                assert_eq!(n, expected);
                self.taken(n);
            }
            (Some(Ok(n)), Want::AtMost(most)) => {
                assert!((1..=most).contains(&n));
                self.taken(n);
            }
            (Some(Ok(_)), Want::Show) => {
                let shown = self.read.unread();
                assert!(!shown.is_empty() && shown == &self.model[..shown.len()]);
            }
            (Some(Err(ReadError::LimitOverrun(got))), Want::Over(expected)) => {
                assert_eq!(got, expected);
            }
            (None, Want::Wait) => {
                self.waits = Some(reading);
                if self.model.is_empty() {
                    assert_eq!(self.read.memory(), 0, "idle, and owns memory");
                }
            }
            (got, expected) => {
                panic!("got {got:?}, expected {expected:?} of {}", self.model.len())
            }
        }
    }

    fn taken(&mut self, n: usize) {
        assert!(self.read.lent(n) == &self.model[..n]);
        self.model.drain(..n);
        self.lent = n;
    }

    async fn echo_on_the_other(&mut self, n: usize) {
        let data = self.bytes(n);
        let (transport, read, _) = &mut self.other;
        assert_eq!(transport.arrive(&data), 0);
        let mut got = Vec::new();
        while let Some(n) = once(read, &mut UpTo(5000)).await {
            got.extend_from_slice(read.lent(n.unwrap()));
        }
        assert!(got == data, "the other connection's bytes");
        assert_eq!(read.memory(), 0, "the other is idle, and owns memory");
    }

    fn memory_is_bounded(&self) {
        let bound = (2 * self.limit).max(self.most) + self.fed;
        let block = if bound <= SMALL_BLOCK { SMALL_BLOCK } else { LARGE_BLOCK };
        let owned = self.read.memory();
        assert!(owned <= bound.max(block) + block, "{owned} bytes owned, bound {bound}");
    }

    /// What is left comes out whole behind the end of file, and all blocks go back.
    async fn finish(mut self) {
        self.transport.eof();
        let mut left = Vec::new();
        while let Some(Ok(n)) = once(&mut self.read, &mut UpTo(10_000)).await {
            if n == 0 {
                break;
            }
            left.extend_from_slice(self.read.lent(n));
        }
        assert!(left == self.model, "{} bytes left, expected {}", left.len(), self.model.len());
        let handle = self.handle;
        self.passed_on.give_back(handle.blocks());
        self.transport.lose(None);
        self.other.0.lose(None);
        drop((self.read, self.other));
        for size in [BlockSize::Small, BlockSize::Large] {
            let counts = handle.blocks().counts(size);
            assert_eq!(counts.made + counts.reused, counts.given, "blocks taken and given");
        }
    }
}

/// What a read comes to at once; none if it waits.
async fn once(read: &mut ReadEnd, need: &mut impl Need) -> Option<Result<usize, ReadError>> {
    poll_fn(|cx: &mut Context<'_>| match read.poll_read(need, cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// ST-006, ST-017 to ST-037, ST-046; invariants 6 and 8.
    #[test]
    fn st_046_any_steps_of_a_connection_give_the_bytes_of_the_model(
        limit in limits(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let (mut event_loop, mut both) = Both::new(limit);
        // As a task: one that waits has a way of its own.
        let task = event_loop.handle().spawn(async move {
            for step in &steps {
                both.step(step).await;
            }
            both.finish().await;
        });
        event_loop.run_until_complete(task).unwrap().unwrap();
    }
}

/// As an intake says of itself, by the short way.
#[test]
fn a_block_that_filled_earns_a_large_one() {
    let mut bench = Bench::new(65_536);
    for round in 0..2 {
        let receives = [(1, SMALL_BLOCK), (4096, SMALL_BLOCK), (5000, LARGE_BLOCK)];
        for (n, memory) in receives.into_iter().chain([(4095, LARGE_BLOCK), (2, SMALL_BLOCK)]) {
            assert_eq!(bench.transport.arrive(&vec![b'x'; n]), 0);
            assert_eq!(bench.read.memory(), memory, "{n} bytes, round {round}");
            assert_eq!(bench.read(n).len(), n);
            assert!(bench.poll(&mut UpTo(1)).is_none());
        }
    }
}

/// D-01: what is lent counts, though a block to land in is at hand.
#[test]
fn st_040_no_more_lands_than_there_is_room_beside_what_is_lent() {
    let mut bench = Bench::new(40_000);
    let blocks = bench.event_loop.handle();
    for size in [SMALL_BLOCK, SMALL_BLOCK, LARGE_BLOCK, LARGE_BLOCK] {
        blocks.blocks().give(Block::of(size));
    }
    // Some in a small block, which it fills, and the others in a large one.
    assert_eq!(bench.transport.arrive(&[b'x'; 4096]), 0);
    assert_eq!(bench.read(4096).len(), 4096);
    assert!(bench.poll(&mut UpTo(1)).is_none());
    assert_eq!(bench.transport.arrive(&[b'x'; 60_000]), 0);
    assert_eq!(bench.read(60_000).len(), 60_000);
    assert_eq!(bench.transport.arrive(&[b'x'; 50_000]), 30_000, "20,000 are left of the bound");
}
