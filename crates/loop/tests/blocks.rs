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
    let counts = pool.counts(BlockSize::Large);
    assert_eq!((counts.kept, counts.freed, counts.given), (0, 3, LARGE_KEPT as u64 + 3));
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
    block.begin_at(7);
    assert_eq!(block.range(), 7..SMALL_BLOCK);
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

#[test]
fn what_lies_in_the_block_that_was_lent_last_can_be_shared() {
    let pool = BlockPool::new();
    let mut block = pool.take(BlockSize::Small);
    block[..5].copy_from_slice(b"hello");
    assert!(pool.share(&block[..5]).is_none(), "it was not lent");
    pool.lend(&block);
    let (shared, place) = pool.share(&block[1..4]).unwrap();
    assert_eq!((place, &shared[1..4], shared.as_ptr()), (1, &b"ell"[..], block.as_ptr()));
    assert!(pool.share(b"hello").is_none() && pool.share(&block[2..2]).is_none());
    assert!(pool.share(&block[SMALL_BLOCK - 1..]).is_some());
    assert!(block.is_shared() && shared.is_shared());
    // Another takes its place.
    let other = pool.take(BlockSize::Large);
    pool.lend(&other);
    assert!(pool.share(&block[..5]).is_none());
}

#[test]
fn a_block_that_is_shared_does_not_change() {
    let pool = BlockPool::new();
    let mut block = pool.take(BlockSize::Small);
    block[0] = 1;
    block.set_range(0..1);
    pool.lend(&block);
    let (shared, _) = pool.share(&block[..1]).unwrap();
    block[0] = 2;
    assert_eq!((block[0], block.range(), shared[0]), (2, 0..1, 1));
    assert!(!block.is_shared());
    let mut shared = shared;
    let before = shared.as_ptr();
    pool.end_lend(&block);
    assert!(shared.is_shared(), "another block was lent");
    pool.end_lend(&shared);
    shared[0] = 3;
    assert_eq!(shared.as_ptr(), before, "it was nobody else's");
    shared.grow(SMALL_BLOCK + 1);
    assert_eq!((shared[0], shared.len()), (3, SMALL_BLOCK + 1));
}

#[test]
fn a_block_that_was_lent_is_taken_again_when_nobody_holds_it() {
    let pool = BlockPool::new();
    let block = pool.take(BlockSize::Small);
    let address = block.as_ptr();
    pool.lend(&block);
    let (shared, _) = pool.share(&block[..1]).unwrap();
    pool.give(block);
    let other = pool.take(BlockSize::Small);
    assert_ne!(other.as_ptr(), address, "it is shared");
    assert_eq!(pool.counts(BlockSize::Small).kept, 0);
    pool.give(shared);
    let counts = pool.counts(BlockSize::Small);
    assert_eq!((counts.made, counts.given, counts.kept), (2, 1, 1));
    assert_ne!(pool.take(BlockSize::Large).as_ptr(), address, "of another size");
    let again = pool.take(BlockSize::Small);
    assert_eq!(again.as_ptr(), address);
    pool.give(again);
    pool.give(other);
    let counts = pool.counts(BlockSize::Small);
    assert_eq!((counts.made + counts.reused, counts.given, counts.kept), (2, 2, 2));
}
