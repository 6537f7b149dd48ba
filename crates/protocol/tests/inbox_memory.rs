//! What memory an inbox takes, when it moves bytes instead, and how much it lets land.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod halves;

use halves::Both;
use millrun_loop::{Block, BlockSize, LARGE_BLOCK, SMALL_BLOCK};
use millrun_protocol::inbox::{Attempt, Chunk, Exact, Peek, UpTo};

const ALL: usize = usize::MAX;

/// A limit under which all of a large block may land.
const LIMIT: usize = 65_536;

#[test]
fn a_large_block_that_is_used_is_earned_again() {
    let mut both = Both::new(LIMIT);
    let mut receive = |n| {
        let most = both.land(n);
        both.read(UpTo(ALL));
        most
    };
    assert_eq!(receive(ALL), Some(SMALL_BLOCK));
    assert_eq!(receive(5000), Some(LARGE_BLOCK));
    assert_eq!(receive(SMALL_BLOCK), Some(LARGE_BLOCK), "a small one would not have held 5000");
    assert_eq!(receive(SMALL_BLOCK - 1), Some(LARGE_BLOCK));
    assert_eq!(receive(1), Some(SMALL_BLOCK));
}

#[test]
fn a_rest_that_is_filled_earns_a_large_block_and_a_receive_of_nothing_does_not_lose_it() {
    let mut both = Both::with(LIMIT, b"abc");
    assert_eq!(both.land(ALL), Some(SMALL_BLOCK - 3));
    both.read(UpTo(ALL));
    assert_eq!(both.land(0), Some(LARGE_BLOCK));
    assert_eq!(both.land(1), Some(LARGE_BLOCK));
    both.read(UpTo(ALL));
    assert_eq!(both.land(1), Some(SMALL_BLOCK));

    // Bytes that came out of turn change nothing of that.
    let mut both = Both::new(LIMIT);
    let (chunk, most) = both.intake.landing(&both.blocks).unwrap();
    both.feed(b"abc");
    both.intake.landed(chunk, most, &both.blocks);
    both.read(UpTo(ALL));
    assert_eq!(both.land(1), Some(LARGE_BLOCK));
}

/// What may land fits into a small block: it need not be a large one.
#[test]
fn the_memory_is_the_room_rounded_up_to_a_block() {
    let mut both = Both::new(SMALL_BLOCK / 2);
    for _ in 0..2 {
        assert_eq!(both.land(ALL), Some(SMALL_BLOCK));
        assert_eq!(both.intake.capacity(), SMALL_BLOCK);
        both.read(UpTo(ALL));
        assert_eq!(both.attempt(&mut UpTo(1)), Attempt::Wait(1));
    }
}

/// D-01: above the limit it is not full yet, but at the bound.
#[test]
fn st_040_an_intake_is_full_at_the_bound() {
    let mut both = Both::new(1000);
    for (more, is_full) in [(999, false), (1, false), (999, false), (1, true)] {
        both.land(more);
        assert_eq!(both.intake.is_full(), is_full, "{} of 2000", both.intake.len());
        assert_eq!(both.intake.has_space(), !is_full);
    }
    assert_eq!(both.land(1), None);
}

/// ST-046, D-01: what a read needs is room, until it is given up.
#[test]
fn st_046_a_read_that_is_given_up_needs_no_room() {
    let mut both = Both::new(1000);
    assert_eq!(both.attempt(&mut Exact(100_000)), Attempt::Wait(100_000));
    assert_eq!((both.intake.room(), both.intake.bound()), (100_000, 100_000));
    both.intake.forget();
    assert_eq!((both.intake.room(), both.intake.bound()), (2000, 2000));
}

/// Only what a read needs makes the memory larger than a large block.
#[test]
fn room_is_not_memory() {
    let mut both = Both::new(100_000);
    while both.land(ALL).is_some() {}
    assert_eq!((both.intake.len(), both.intake.capacity()), (LARGE_BLOCK, LARGE_BLOCK));
    assert!(both.intake.room() > 0 && !both.intake.has_space());

    let both = Both::with(100_000, &[b'x'; 5000]);
    assert_eq!(both.intake.capacity(), LARGE_BLOCK);
    assert!(both.intake.has_space(), "it need not grow for that");

    let mut both = Both::new(100_000);
    assert_eq!(both.attempt(&mut Exact(70_000)), Attempt::Wait(70_000));
    while both.land(ALL).is_some() {}
    assert_eq!((both.intake.len(), both.intake.capacity()), (70_000, 70_000));
    assert!(both.intake.room() > 0 && !both.intake.has_space());
}

/// A small block with 3000 bytes that were read and 1000 that were not, all of which the intake has.
fn half_read() -> Both {
    let mut both = Both::new(LIMIT);
    both.land(4000);
    both.read(UpTo(3000));
    assert_eq!(both.attempt(&mut Exact(1001)), Attempt::Wait(1001));
    both
}

#[test]
fn what_lands_behind_a_few_bytes_gets_the_room_before_them() {
    assert_eq!(half_read().land(ALL), Some(SMALL_BLOCK - 1000));

    // Also behind many, when there is no other room.
    let mut both = Both::new(LIMIT);
    both.land(ALL);
    both.read(UpTo(1000));
    assert_eq!(both.attempt(&mut Exact(SMALL_BLOCK)), Attempt::Wait(SMALL_BLOCK));
    assert_eq!(both.land(ALL), Some(1000));
    assert_eq!(both.made(BlockSize::Large), 0);
}

/// A transport that asks for no room: what fits is put where it fits.
#[test]
fn what_is_fed_takes_no_block_as_long_as_one_is_enough() {
    let mut both = half_read();
    both.feed(&[b'y'; 3096]);
    assert_eq!(both.intake.capacity(), SMALL_BLOCK);
    assert_eq!(both.left().len(), SMALL_BLOCK);
    let mut both = Both::with(LIMIT, &[b'x'; 4000]);
    both.feed(&[b'y'; 96]);
    assert_eq!(both.intake.capacity(), SMALL_BLOCK);
    both.feed(b"y");
    assert_eq!(both.intake.capacity(), LARGE_BLOCK);
    // More than a small block at once.
    let mut both = Both::with(LIMIT, &[b'x'; 5000]);
    assert_eq!((both.intake.capacity(), both.left().len()), (LARGE_BLOCK, 5000));
}

/// The reading half holds a few bytes at the end of a block, and more have landed in another one.
#[test]
fn what_is_joined_takes_no_block_as_long_as_one_is_enough() {
    let mut both = Both::new(LIMIT);
    both.land(4000);
    both.read(UpTo(3000));
    both.land(2000);
    assert_eq!(both.read(Exact(3000)).len(), 3000);
    assert_eq!((both.made(BlockSize::Small), both.made(BlockSize::Large)), (2, 0));
}

/// ST-006: more is taken along if it costs no memory.
#[test]
fn a_read_of_anything_joins_what_fits_and_nothing_else() {
    let mut both = Both::new(LIMIT);
    both.land(4000);
    both.read(UpTo(2000));
    both.land(1000);
    assert_eq!(both.read(UpTo(ALL)).len(), 3000);

    let mut both = Both::new(LIMIT);
    both.land(ALL);
    assert_eq!(both.attempt(&mut Peek), Attempt::Shown);
    both.land(100);
    assert_eq!(both.read(UpTo(ALL)).len(), SMALL_BLOCK);
    assert_eq!(both.read(UpTo(ALL)).len(), 100);
}

/// Memory that is needed goes to what is there, not to all that a read may come to want.
#[test]
fn memory_grows_with_what_is_there() {
    let mut both = Both::with(LIMIT, &[b'x'; LARGE_BLOCK]);
    assert_eq!(both.attempt(&mut Peek), Attempt::Shown);
    both.feed(b"0123456789");
    assert_eq!(both.attempt(&mut Exact(500_000)), Attempt::Wait(500_000));
    assert_eq!(both.intake.capacity(), 2 * LARGE_BLOCK);

    // A block of the pool, where it is enough.
    let mut both = Both::with(LIMIT, &[b'x'; SMALL_BLOCK]);
    assert_eq!(both.attempt(&mut Peek), Attempt::Shown);
    both.feed(b"0123456789");
    assert_eq!(both.read(Exact(SMALL_BLOCK + 5)).len(), SMALL_BLOCK + 5);
    assert_eq!((both.made(BlockSize::Large), both.inbox.capacity()), (1, LARGE_BLOCK));
}

/// The rest of a big read is larger than a block, and so is what it stays in.
#[test]
fn a_large_rest_stays_where_it_is() {
    let mut both = Both::with(LIMIT, &[b'x'; 500_000]);
    assert_eq!(both.read(UpTo(400_000)).len(), 400_000);
    both.feed(b"yz");
    assert_eq!(both.read(UpTo(ALL)).len(), 100_002);
    assert_eq!(both.inbox.lent(2), b"yz");
}

#[test]
fn what_was_read_can_be_shared_and_is_not_written_over() {
    let mut both = Both::new(LIMIT);
    both.land(100);
    both.read(UpTo(60));
    let (shared, place) = both.blocks.share(both.inbox.lent(60)).expect("it was lent");
    assert_eq!(both.attempt(&mut Exact(50)), Attempt::Wait(50));
    both.feed(&[b'y'; 10]);
    assert_eq!(both.read(Exact(50)), [[b'x'; 40].as_slice(), &[b'y'; 10]].concat());
    assert_eq!(shared[place..place + 100], [b'x'; 100]);
    assert_eq!(both.made(BlockSize::Small), 2, "a block of the pool took its place");

    // Nobody shares it: the bytes stay where they are.
    let mut both = Both::new(LIMIT);
    both.land(100);
    both.read(UpTo(60));
    assert_eq!(both.attempt(&mut Exact(50)), Attempt::Wait(50));
    both.feed(&[b'y'; 10]);
    assert_eq!(both.read(Exact(50)).len(), 50);
    assert_eq!(both.made(BlockSize::Small), 1);
}

#[test]
fn a_chunk_says_where_its_bytes_lie_and_grows_by_one_at_least() {
    let both = Both::new(LIMIT);
    let mut chunk = Chunk::new(Block::of(70_000));
    chunk.append(b"abcde");
    chunk.consume(2);
    assert_eq!(format!("{chunk:?}"), "Chunk(2..5 of 70000)");
    assert_eq!((chunk.head_len(), chunk.len(), chunk.tail_len()), (2, 3, 69_995));
    chunk.grow(10, &both.blocks);
    assert_eq!((chunk.bytes(), chunk.capacity()), (&b"cde"[..], 70_001));
    chunk.compact();
    assert_eq!((chunk.head_len(), chunk.bytes()), (0, &b"cde"[..]));
}
