//! The write buffer against a plain `Vec`: bytes exact, one counter, nothing kept when empty.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::IoSlice;

use bytes::Bytes;
use millrun_loop::{Block, BlockPool, BlockSize, LARGE_BLOCK, SMALL_BLOCK};
use millrun_transport::buffer::WriteBuffer;
use proptest::prelude::*;

/// What one step does to the buffer.
#[derive(Clone, Debug)]
enum Step {
    Gather(usize),
    /// What was received is written, in two parts; then the block is received into again.
    Share(usize, usize),
    Push(usize),
    Consume(usize),
    Append(usize, usize),
    Shrink,
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![
        4 => 0..64_usize,
        3 => 0..SMALL_BLOCK + 10,
        2 => 0..LARGE_BLOCK + 10,
        1 => LARGE_BLOCK..2 * LARGE_BLOCK + 10,
    ];
    prop_oneof![
        5 => size.clone().prop_map(Step::Gather),
        3 => (0..SMALL_BLOCK, 0..SMALL_BLOCK).prop_map(|(a, b)| Step::Share(a, b)),
        2 => size.clone().prop_map(Step::Push),
        5 => size.clone().prop_map(Step::Consume),
        1 => (size.clone(), size).prop_map(|(a, b)| Step::Append(a, b)),
        1 => Just(Step::Shrink),
        1 => Just(Step::Clear),
    ]
}

/// `n` bytes that are told apart from their neighbours.
fn bytes(n: usize, next: &mut u8) -> Vec<u8> {
    (0..n)
        .map(|_| {
            *next = next.wrapping_mul(31).wrapping_add(7);
            *next
        })
        .collect()
}

fn check(buffer: &WriteBuffer, model: &[u8]) -> Result<(), TestCaseError> {
    prop_assert_eq!(buffer.len(), model.len());
    prop_assert_eq!(buffer.len(), buffer.chunks().map(<[u8]>::len).sum::<usize>());
    prop_assert_eq!(buffer.is_empty(), model.is_empty());
    prop_assert!(buffer.chunks().all(|chunk| !chunk.is_empty()), "an empty piece");
    prop_assert_eq!(buffer.pieces(), buffer.chunks().count());
    prop_assert_eq!(buffer.single().is_some(), buffer.pieces() == 1);
    prop_assert!(buffer.chunks().collect::<Vec<_>>().concat() == model, "bytes differ");
    let mut slices = [IoSlice::new(&[]); 3];
    let filled = buffer.slices(&mut slices);
    prop_assert_eq!(filled, buffer.pieces().min(3));
    prop_assert!(slices.iter().zip(buffer.chunks()).all(|(slice, chunk)| **slice == *chunk));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Invariant 4, T-049, T-051, T-066, T-067.
    #[test]
    fn t_067_the_size_is_the_sum_of_the_pieces(steps in prop::collection::vec(step(), 0..40)) {
        let pool = BlockPool::new();
        let mut buffer = WriteBuffer::new();
        let mut model = Vec::new();
        let mut next = 1;
        for step in steps {
            match step {
                Step::Gather(n) => {
                    let data = bytes(n, &mut next);
                    buffer.gather(&data, &pool);
                    model.extend(data);
                }
                Step::Share(a, b) => {
                    let mut block = pool.take(BlockSize::Small);
                    block.copy_from_slice(&bytes(SMALL_BLOCK, &mut next));
                    pool.lend(&block);
                    let (from, to) = (a.min(b), a.max(b));
                    buffer.gather(&block[from..to], &pool);
                    buffer.gather(&block[to..], &pool);
                    model.extend_from_slice(&block[from..]);
                    pool.give(block);
                    let mut again = pool.take(BlockSize::Small);
                    again.fill(0);
                    pool.give(again);
                }
                Step::Push(n) => {
                    let data = bytes(n, &mut next);
                    model.extend(&data);
                    buffer.push(data.into(), &pool);
                }
                Step::Consume(n) => {
                    buffer.consume(n, &pool);
                    model.drain(..n.min(model.len()));
                }
                Step::Append(gathered, pushed) => {
                    let mut newer = WriteBuffer::new();
                    let data = bytes(gathered, &mut next);
                    newer.gather(&data, &pool);
                    model.extend(data);
                    let data = bytes(pushed, &mut next);
                    model.extend(&data);
                    newer.push(data.into(), &pool);
                    buffer.append(newer);
                }
                Step::Shrink => buffer.shrink(&pool),
                Step::Clear => {
                    prop_assert_eq!(buffer.clear(&pool), model.len());
                    model.clear();
                }
            }
            check(&buffer, &model)?;
        }
        // An empty buffer owns nothing: each block that was taken went back.
        buffer.clear(&pool);
        for size in [BlockSize::Small, BlockSize::Large] {
            let counts = pool.counts(size);
            prop_assert_eq!(counts.made + counts.reused, counts.given);
        }
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
