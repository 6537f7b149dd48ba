//! The pool lends blocks of two sizes and keeps a limited number of them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use millrun_loop::{Block, BlockPool, BlockSize, LARGE_BLOCK, LARGE_KEPT, SMALL_BLOCK, SMALL_KEPT};

#[test]
fn a_block_has_its_size_and_is_initialised() {
    let pool = BlockPool::new();
    let small = pool.take(BlockSize::Small);
    let large = pool.take(BlockSize::Large);
    assert_eq!((small.len(), small.size()), (SMALL_BLOCK, Some(BlockSize::Small)));
    assert_eq!((large.len(), large.size()), (LARGE_BLOCK, Some(BlockSize::Large)));
    assert!(small.iter().chain(large.iter()).all(|byte| *byte == 0));
}

#[test]
fn a_block_given_back_is_lent_again_as_it_is() {
    let pool = BlockPool::new();
    let mut block = pool.take(BlockSize::Small);
    block[SMALL_BLOCK - 1] = 7;
    let address = block.as_ptr();
    pool.give(block);
    let again = pool.take(BlockSize::Small);
    assert_eq!(again.as_ptr(), address);
    assert_eq!(again[SMALL_BLOCK - 1], 7);
    let counts = pool.counts(BlockSize::Small);
    assert_eq!((counts.made, counts.reused, counts.given, counts.kept), (1, 1, 1, 0));
    assert_eq!(pool.counts(BlockSize::Large).made, 0);
}

#[test]
fn what_is_kept_is_limited() {
    let pool = BlockPool::new();
    for (size, limit) in [(BlockSize::Small, SMALL_KEPT), (BlockSize::Large, LARGE_KEPT)] {
        let blocks: Vec<_> = (0..limit + 3).map(|_| pool.take(size)).collect();
        blocks.into_iter().for_each(|block| pool.give(block));
        let counts = pool.counts(size);
        assert_eq!((counts.kept, counts.freed), (limit, 3), "{size:?}");
        assert_eq!(counts.given, limit as u64 + 3);
    }
    pool.clear();
    assert_eq!(pool.counts(BlockSize::Small).kept, 0);
    assert_eq!(pool.counts(BlockSize::Large).kept, 0);
}

#[test]
fn a_block_that_is_dropped_is_only_freed() {
    let pool = BlockPool::new();
    drop(pool.take(BlockSize::Large));
    assert_eq!(pool.counts(BlockSize::Large).kept, 0);
    assert_eq!(pool.take(BlockSize::Large).len(), LARGE_BLOCK);
}

#[test]
fn a_block_carries_a_range_for_its_holder() {
    let pool = BlockPool::new();
    let block = pool.take(BlockSize::Small);
    assert_eq!(block.range(), 0..0);
    block.set_range(3..9);
    assert_eq!(block.range(), 3..9);
    block.set_range(5..SMALL_BLOCK + 1);
    assert_eq!(block.range(), 5..SMALL_BLOCK);
    pool.give(block);
    assert_eq!(pool.take(BlockSize::Small).range(), 0..0);
    assert_eq!(size_of::<Option<Block>>(), size_of::<usize>());
}

#[test]
fn a_block_of_another_size_is_not_kept() {
    let pool = BlockPool::new();
    let mut block = Block::of(10);
    block[9] = 7;
    block.grow(20);
    assert_eq!((block.len(), block[9], block[19], block.size()), (20, 7, 0, None));
    pool.give(block);
    assert_eq!(pool.counts(BlockSize::Small), pool.counts(BlockSize::Large));
}
