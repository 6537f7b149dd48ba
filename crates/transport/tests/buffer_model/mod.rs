//! What must a write buffer do? As a plain `Vec` would: the model that the tests and the fuzzer compare it with.
#![allow(unreachable_pub, reason = "it is a module of each user")]

use std::io::IoSlice;

use bytes::Bytes;
use millrun_loop::{BlockPool, BlockSize, SMALL_BLOCK};
use millrun_transport::buffer::WriteBuffer;

/// What one step does to the buffer.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Gather(usize),
    /// What was received is written, in two parts with so many bytes left out between; then the block is received into
    /// again.
    Share(usize, usize, usize),
    Push(usize),
    Consume(usize),
    Append(usize, usize),
    Shrink,
    Clear,
}

/// The real buffer, and what must be in it.
pub struct Both {
    pool: BlockPool,
    buffer: WriteBuffer,
    model: Vec<u8>,
    /// The last byte that was made.
    last: u8,
}

impl Both {
    pub fn new() -> Both {
        Both { pool: BlockPool::new(), buffer: WriteBuffer::new(), model: Vec::new(), last: 1 }
    }

    /// Does one thing to both, and compares.
    pub fn step(&mut self, step: Step) {
        match step {
            Step::Gather(n) => {
                let data = self.bytes(n);
                self.buffer.gather(&data, &self.pool);
                self.model.extend(data);
            }
            Step::Share(a, b, gap) => self.share(a.min(b), a.max(b), gap),
            Step::Push(n) => {
                let data = self.bytes(n);
                self.model.extend(&data);
                self.buffer.push(data.into(), &self.pool);
            }
            Step::Consume(n) => {
                self.buffer.consume(n, &self.pool);
                self.model.drain(..n.min(self.model.len()));
            }
            Step::Append(gathered, pushed) => {
                let mut newer = WriteBuffer::new();
                let data = self.bytes(gathered);
                newer.gather(&data, &self.pool);
                self.model.extend(data);
                let data = Bytes::from(self.bytes(pushed));
                self.model.extend(&data);
                newer.push(data, &self.pool);
                self.buffer.append(newer);
            }
            Step::Shrink => self.buffer.shrink(&self.pool),
            Step::Clear => {
                assert_eq!(self.buffer.clear(&self.pool), self.model.len());
                self.model.clear();
            }
        }
        self.check();
    }

    /// An empty buffer owns nothing: each block that was taken went back.
    pub fn finish(mut self) {
        self.buffer.clear(&self.pool);
        for size in [BlockSize::Small, BlockSize::Large] {
            let counts = self.pool.counts(size);
            assert_eq!(counts.made + counts.reused, counts.given, "blocks taken and given");
        }
    }

    fn share(&mut self, from: usize, to: usize, gap: usize) {
        let mut block = self.pool.take(BlockSize::Small);
        block.copy_from_slice(&self.bytes(SMALL_BLOCK));
        self.pool.lend(&block);
        self.buffer.gather(&block[from..to], &self.pool);
        let again = (to + gap).min(SMALL_BLOCK);
        self.buffer.gather(&block[again..], &self.pool);
        self.model.extend_from_slice(&block[from..to]);
        self.model.extend_from_slice(&block[again..]);
        self.pool.give(block);
        let mut again = self.pool.take(BlockSize::Small);
        again.fill(0);
        self.pool.give(again);
    }

    /// `n` bytes that are told apart from their neighbours.
    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n)
            .map(|_| {
                self.last = self.last.wrapping_mul(31).wrapping_add(7);
                self.last
            })
            .collect()
    }

    fn check(&self) {
        let (buffer, model) = (&self.buffer, &self.model);
        assert_eq!(buffer.len(), model.len());
        assert_eq!(buffer.len(), buffer.chunks().map(<[u8]>::len).sum::<usize>());
        assert_eq!(buffer.is_empty(), model.is_empty());
        assert!(buffer.chunks().all(|chunk| !chunk.is_empty()), "an empty piece");
        assert_eq!(buffer.pieces(), buffer.chunks().count());
        assert_eq!(buffer.single().is_some(), buffer.pieces() == 1);
        assert!(&buffer.chunks().collect::<Vec<_>>().concat() == model, "bytes differ");
        let mut slices = [IoSlice::new(&[]); 3];
        let filled = buffer.slices(&mut slices);
        assert_eq!(filled, buffer.pieces().min(3));
        assert!(slices.iter().zip(buffer.chunks()).all(|(slice, chunk)| **slice == *chunk));
    }
}
