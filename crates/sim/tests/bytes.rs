//! Whatever the schedule: bytes in are bytes out, in order, and then the end.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice};
use std::net::Shutdown;

use millrun_selector::{Interest, Key, Selector, Socket};
use millrun_sim::{Faults, Jitter, Sim};
use proptest::prelude::*;
use support::{connected, ms, read, watch};

#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    WriteVectored(Vec<usize>),
    Read(usize),
    Advance(u64),
    Select,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..200usize).prop_map(Step::Write),
        prop::collection::vec(0..50usize, 0..6).prop_map(Step::WriteVectored),
        (1..200usize).prop_map(Step::Read),
        (0..20u64).prop_map(Step::Advance),
        Just(Step::Select),
    ]
}

#[derive(Clone, Debug)]
struct World {
    seed: u64,
    tcp: bool,
    jitter: u64,
    buffers: (usize, usize),
    faults: Faults,
}

fn world() -> impl Strategy<Value = World> {
    let faults =
        (0.0..0.9, 0.0..0.9, 0.0..0.9).prop_map(|(short_reads, short_writes, would_block)| {
            Faults { short_reads, short_writes, would_block }
        });
    (any::<u64>(), any::<bool>(), 0..30u64, (1..300usize, 1..300usize), faults).prop_map(
        |(seed, tcp, jitter, buffers, faults)| World { seed, tcp, jitter, buffers, faults },
    )
}

/// What comes until the end of file, by readiness alone.
fn drain(selector: &mut dyn Selector, reads: Key, socket: &dyn Socket) -> Vec<u8> {
    let mut got = Vec::new();
    loop {
        let mut events = Vec::new();
        selector.select(None, &mut events).unwrap();
        if !events.iter().any(|e| e.key == reads) {
            continue;
        }
        match read(socket, 64) {
            Ok(bytes) if bytes.is_empty() => return got,
            Ok(bytes) => got.extend(bytes),
            Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn bytes_in_are_bytes_out(world in world(), steps in prop::collection::vec(step(), 0..150)) {
        let sim = Sim::new(world.seed);
        sim.set_buffers(world.buffers.0, world.buffers.1);
        let (a, b) = if world.tcp { connected(&sim) } else { sim.pair() };
        sim.add_rule(Jitter(ms(world.jitter)));
        sim.faults(world.faults);
        let mut selector = sim.selector();
        let writes = watch(&mut *selector, &*a, Interest::WRITE);
        let reads = watch(&mut *selector, &*b, Interest::READ);

        // The model: what was taken and not yet given.
        let mut between = VecDeque::new();
        let mut next = 0u8;
        let mut fresh = |n: usize| -> Vec<u8> {
            (0..n).map(|_| { next = next.wrapping_add(1); next }).collect()
        };
        for step in steps {
            let taken = match step {
                Step::Write(n) => {
                    let bytes = fresh(n);
                    a.try_write(&bytes).map(|n| bytes[..n].to_vec())
                }
                Step::WriteVectored(sizes) => {
                    let pieces: Vec<Vec<u8>> = sizes.into_iter().map(&mut fresh).collect();
                    let slices: Vec<IoSlice<'_>> = pieces.iter().map(|p| IoSlice::new(p)).collect();
                    a.try_write_vectored(&slices).map(|n| pieces.concat()[..n].to_vec())
                }
                Step::Read(n) => {
                    if let Ok(bytes) = read(&*b, n) {
                        prop_assert!(!bytes.is_empty(), "no end of file yet");
                        let expected: Vec<u8> = between.drain(..bytes.len()).collect();
                        prop_assert_eq!(bytes, expected);
                    }
                    continue;
                }
                Step::Advance(n) => { sim.advance(ms(n)); continue }
                Step::Select => { support::look(&mut *selector); continue }
            };
            match taken {
                Ok(bytes) => between.extend(bytes),
                Err(e) => prop_assert_eq!(e.kind(), ErrorKind::WouldBlock),
            }
            prop_assert!(between.len() <= world.buffers.0 + world.buffers.1, "bounded");
        }

        // Drain by readiness alone: a missing edge would be a deadlock here. (Who is always ready
        // keeps the clock where it is, so the writer falls silent.)
        selector.set_interest(writes, Interest::NONE).unwrap();
        a.shutdown(Shutdown::Write).unwrap();
        prop_assert_eq!(drain(&mut *selector, reads, &*b), Vec::from(between));
    }
}
