//! What an inbox costs that has to make room: few allocations, however many bytes there are.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::System;
use std::sync::{Mutex, MutexGuard, PoisonError};

use millrun_loop::BlockPool;
use millrun_protocol::inbox::{
    Attempt, Exact, Inbox, Intake, Line, Need, Peek, Separators, Until, UpTo,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Far above what doubling costs between a block and these reads, and far below their bytes.
const FEW: usize = 32;

/// A block and what counts who holds it; and less than doubling costs.
const ONCE: usize = 4;

struct Both {
    blocks: BlockPool,
    intake: Intake,
    inbox: Inbox,
    _alone: MutexGuard<'static, ()>,
}

/// The counts are of the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

impl Both {
    fn new(limit: usize) -> Both {
        let intake = Intake::new(limit).unwrap();
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        Both { blocks: BlockPool::new(), intake, inbox: Inbox::default(), _alone: alone }
    }

    /// All that there is room for lands.
    fn fill(&mut self) {
        while let Some((mut chunk, most)) = self.intake.landing(&self.blocks) {
            chunk.tail()[..most].fill(b'x');
            self.intake.landed(chunk, most, &self.blocks);
        }
    }

    /// The attempt, and how often memory was asked for.
    fn attempt(&mut self, need: &mut impl Need) -> (Attempt, usize) {
        let region = Region::new(GLOBAL);
        let attempt = self.inbox.attempt(need, &self.intake, &self.blocks);
        let change = region.change();
        (attempt, change.allocations + change.reallocations)
    }
}

/// D-06: the separator is looked for in all that has landed, wherever it lies, and that must not be made room for
/// byte by byte. A peer decides how much that is.
#[test]
fn what_is_over_the_limit_is_moved_few_times() {
    for limit in [1000, 65_536] {
        let separators = Separators::from(b"\r\n");
        let mut both = Both::new(limit);
        both.intake.feed(&vec![b'x'; limit.max(65_536)], &both.blocks);
        // What is shown stays with the reading half; what comes now lies behind it.
        assert_eq!(both.attempt(&mut Peek).0, Attempt::Shown);
        both.intake.feed(&[b'x'; 100_000], &both.blocks);
        let (attempt, asked) = both.attempt(&mut Line::default());
        assert!(matches!(attempt, Attempt::Over(over) if !over.found), "{attempt:?}");
        assert!(asked <= FEW, "{asked} times");
        let (attempt, asked) = both.attempt(&mut Until::new(separators).unwrap());
        assert!(matches!(attempt, Attempt::Over(over) if !over.found), "{attempt:?}");
        assert!(asked <= FEW, "{asked} times");
    }
}

/// All of it is there: nothing need be doubled on the way.
#[test]
fn what_has_landed_is_moved_once() {
    let mut both = Both::new(65_536);
    both.intake.feed(&vec![b'x'; 65_536], &both.blocks);
    assert_eq!(both.attempt(&mut Peek).0, Attempt::Shown);
    both.intake.feed(&vec![b'x'; 5_000_000], &both.blocks);
    let (attempt, asked) = both.attempt(&mut Exact(5_000_000));
    assert_eq!(attempt, Attempt::Taken(5_000_000));
    assert!(asked <= ONCE, "{asked} times");

    both.intake.feed(&vec![b'x'; 100_000], &both.blocks);
    assert_eq!(both.attempt(&mut Peek).0, Attempt::Shown);
    both.intake.feed(&vec![b'x'; 5_000_000], &both.blocks);
    let (attempt, asked) = both.attempt(&mut Line::default());
    assert!(matches!(attempt, Attempt::Over(over) if over.consumed == 5_165_536), "{attempt:?}");
    assert!(asked <= ONCE && both.inbox.capacity() == 5_165_536, "{asked} times");
}

/// The same by a transport that asks how much room there is.
#[test]
fn what_a_peer_fills_the_room_with_is_moved_few_times() {
    let mut both = Both::new(65_536);
    both.fill();
    assert_eq!(both.attempt(&mut Peek).0, Attempt::Shown);
    both.fill();
    let (attempt, asked) = both.attempt(&mut Line::default());
    assert!(matches!(attempt, Attempt::Over(over) if !over.found), "{attempt:?}");
    assert!(asked <= FEW, "{asked} times");
}

#[test]
fn a_large_exact_read_is_moved_few_times() {
    let mut both = Both::new(1000);
    let (mut need, mut asked) = (Exact(5_000_000), 0);
    loop {
        let (attempt, more) = both.attempt(&mut need);
        asked += more;
        if matches!(attempt, Attempt::Taken(_)) {
            break;
        }
        let region = Region::new(GLOBAL);
        both.fill();
        asked += region.change().allocations + region.change().reallocations;
    }
    assert!(asked <= FEW, "{asked} times");
    assert_eq!(both.attempt(&mut UpTo(1)).0, Attempt::Wait(1));
}
