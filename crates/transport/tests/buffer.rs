//! The write buffer against a plain `Vec`: bytes exact, one counter, nothing kept when empty.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod buffer_model;

use buffer_model::{Both, Step};
use bytes::Bytes;
use millrun_loop::{Block, BlockPool, BlockSize, LARGE_BLOCK, SMALL_BLOCK};
use millrun_transport::buffer::WriteBuffer;
use proptest::prelude::*;

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![
        4 => 0..64_usize,
        3 => 0..SMALL_BLOCK + 10,
        2 => 0..LARGE_BLOCK + 10,
        1 => LARGE_BLOCK..2 * LARGE_BLOCK + 10,
    ];
    let gap = prop_oneof![2 => Just(0), 1 => 0..SMALL_BLOCK];
    prop_oneof![
        5 => size.clone().prop_map(Step::Gather),
        3 => (0..SMALL_BLOCK, 0..SMALL_BLOCK, gap).prop_map(|(a, b, gap)| Step::Share(a, b, gap)),
        2 => size.clone().prop_map(Step::Push),
        5 => size.clone().prop_map(Step::Consume),
        1 => (size.clone(), size).prop_map(|(a, b)| Step::Append(a, b)),
        1 => Just(Step::Shrink),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Invariant 4, T-049, T-051, T-066, T-067.
    #[test]
    fn t_067_the_size_is_the_sum_of_the_pieces(steps in prop::collection::vec(step(), 0..40)) {
        let mut both = Both::new();
        for step in steps {
            both.step(step);
        }
        both.finish();
    }
}

#[test]
fn small_writes_are_one_piece_in_one_block() {
    let pool = BlockPool::new();
    let mut buffer = WriteBuffer::new();
    for _ in 0..100 {
        for _ in 0..16 {
            buffer.gather(&[7; 200], &pool);
        }
        assert_eq!(buffer.single().unwrap().len(), 3200);
        buffer.consume(3200, &pool);
    }
    assert_eq!(pool.counts(BlockSize::Small).made, 1);
    assert_eq!(pool.counts(BlockSize::Large).made, 0);
}

#[test]
fn a_full_small_block_moves_to_a_large_one_and_stays_one_piece() {
    let pool = BlockPool::new();
    let mut buffer = WriteBuffer::new();
    for _ in 0..64 {
        buffer.gather(&[7; 1024], &pool);
    }
    assert_eq!(buffer.single().unwrap().len(), LARGE_BLOCK);
    assert_eq!(pool.counts(BlockSize::Large).made, 1);
    buffer.gather(b"!", &pool);
    assert_eq!(buffer.pieces(), 2);
}

/// A large block is filled to its end before there is another.
#[test]
fn what_a_large_block_has_no_room_for_goes_into_the_next() {
    let pool = BlockPool::new();
    let mut buffer = WriteBuffer::new();
    buffer.gather(&[7; LARGE_BLOCK - 10], &pool);
    buffer.gather(&[8; 20], &pool);
    let lengths: Vec<_> = buffer.chunks().map(<[u8]>::len).collect();
    assert_eq!(lengths, [LARGE_BLOCK, 10]);
}

/// What is copied takes a block of its size: what fits into a small one takes no large one.
#[test]
fn a_copy_takes_a_block_of_its_size() {
    let made =
        |pool: &BlockPool| (pool.counts(BlockSize::Small).made, pool.counts(BlockSize::Large).made);
    for (len, expected) in [(SMALL_BLOCK, (1, 0)), (SMALL_BLOCK + 1, (0, 1))] {
        let (pool, mut buffer) = (BlockPool::new(), WriteBuffer::new());
        buffer.gather(&vec![7; len], &pool);
        assert_eq!(made(&pool), expected);
        // What is shared, when it has to wait.
        let (pool, mut buffer) = (BlockPool::new(), WriteBuffer::new());
        let received = Block::of(LARGE_BLOCK);
        pool.lend(&received);
        buffer.gather(&received[..len], &pool);
        assert_eq!(made(&pool), (0, 0), "it is shared");
        buffer.shrink(&pool);
        assert_eq!((made(&pool), buffer.len()), (expected, len));
    }
}

#[test]
fn the_text_form_tells_the_size() {
    let mut buffer = WriteBuffer::new();
    buffer.push(Bytes::from_static(b"one"), &BlockPool::new());
    assert_eq!(format!("{buffer:?}"), "WriteBuffer(3 bytes in 1 pieces)");
}

#[test]
fn given_bytes_are_kept_without_a_copy() {
    let pool = BlockPool::new();
    let mut buffer = WriteBuffer::new();
    let data = Bytes::from(vec![1; 100_000]);
    let address = data.as_ptr();
    buffer.push(data, &pool);
    buffer.consume(10, &pool);
    assert_eq!(buffer.single().unwrap().as_ptr() as usize, address as usize + 10);
    buffer.consume(99_990, &pool);
    assert!(buffer.is_empty());
    assert_eq!(pool.counts(BlockSize::Large).made, 0);
}

#[test]
fn what_waits_holds_memory_near_its_size() {
    let pool = BlockPool::new();
    let mut buffer = WriteBuffer::new();
    buffer.gather(&[1; LARGE_BLOCK], &pool);
    buffer.consume(LARGE_BLOCK - 5, &pool);
    buffer.shrink(&pool);
    assert_eq!(buffer.single(), Some(&[1; 5][..]));
    assert_eq!(pool.counts(BlockSize::Large).kept, 1, "the large block went back");
    let counts = pool.counts(BlockSize::Small);
    assert_eq!(counts.made - counts.given, 1, "a small one holds the rest");
}

/// What is mostly full stays where it is: in what waits, and before owned bytes.
#[test]
fn a_block_that_is_mostly_full_is_not_copied() {
    let place = |buffer: &WriteBuffer| buffer.chunks().next().unwrap().as_ptr().addr();
    let pool = BlockPool::new();
    let mut buffer = WriteBuffer::new();
    buffer.gather(&[1; SMALL_BLOCK / 2 + 1], &pool);
    let before = place(&buffer);
    buffer.push(Bytes::from_static(&[2; 1024]), &pool);
    assert_eq!((place(&buffer), buffer.pieces()), (before, 2));
    for (left, moves) in [(LARGE_BLOCK / 2 + 1, false), (LARGE_BLOCK / 2, true)] {
        let pool = BlockPool::new();
        let mut buffer = WriteBuffer::new();
        buffer.gather(&[1; LARGE_BLOCK], &pool);
        buffer.consume(LARGE_BLOCK - left, &pool);
        let before = place(&buffer);
        buffer.shrink(&pool);
        let moved = pool.counts(BlockSize::Large).kept == 1;
        assert_eq!((buffer.len(), moved), (left, moves));
        assert!(moved || place(&buffer) == before);
    }
}

/// Invariant 6: what a buffer holds stays near what it counts, however small and large writes alternate.
#[test]
fn a_small_write_between_large_ones_keeps_no_block() {
    let (pool, mut buffer) = (BlockPool::new(), WriteBuffer::new());
    for _ in 0..100 {
        buffer.gather(b"x", &pool);
        buffer.push(Bytes::from_static(&[b'y'; 1024]), &pool);
    }
    let counts = pool.counts(BlockSize::Small);
    assert_eq!(counts.made + counts.reused - counts.given, 0, "{counts:?}");
    assert_eq!((buffer.len(), buffer.chunks().map(<[u8]>::len).sum()), (102_500, 102_500));
}

/// Anybody may lend a block to the pool, of any size.
#[test]
fn what_lies_in_a_larger_block_than_the_pools_is_copied() {
    let pool = BlockPool::new();
    let block = Block::of(3 * LARGE_BLOCK);
    pool.lend(&block);
    let mut buffer = WriteBuffer::new();
    buffer.gather(&block[2 * LARGE_BLOCK..], &pool);
    buffer.gather(b"more", &pool);
    buffer.shrink(&pool);
    assert_eq!(buffer.len(), LARGE_BLOCK + 4);
    assert!(!block.is_shared());
}
