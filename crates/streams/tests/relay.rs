//! What several connections receive is passed on to several others, in parts, while some of them can't send, and more is
//! received: whatever is shared on the way, each byte arrives once, in order and unchanged, and no block stays in use.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use common::{run, scripted, settle};
use millrun_loop::{BlockSize, LoopHandle, spawn, yield_now};
use millrun_sim::{Rng, SimPeer};
use millrun_streams::{StreamReader, StreamWriter};

const CONNECTIONS: usize = 4;

struct World {
    rng: RefCell<Rng>,
    writers: RefCell<Vec<StreamWriter>>,
    /// What each peer is to receive, and what each was to be read.
    expected: RefCell<Vec<Vec<u8>>>,
    read: RefCell<Vec<Vec<u8>>>,
}

impl World {
    fn pick(&self, below: usize) -> usize {
        self.rng.borrow_mut().within(0..below as u64) as usize
    }

    /// Passes parts of it on, in one or more ways.
    fn pass_on(&self, data: &[u8]) {
        for _ in 0..self.pick(4) {
            let to = self.pick(CONNECTIONS);
            let (a, b) = (self.pick(data.len() + 1), self.pick(data.len() + 1));
            let (start, end) =
                if self.pick(2) == 0 { (0, data.len()) } else { (a.min(b), a.max(b)) };
            let part = &data[start..end];
            let writers = self.writers.borrow();
            let writer = &writers[to];
            let mut expected = self.expected.borrow_mut();
            match self.pick(8) {
                0 => writer.write_bytes(Bytes::copy_from_slice(part)).unwrap(),
                1 => {
                    let middle = self.pick(part.len() + 1);
                    writer.writelines(&[&part[..middle], &part[middle..]]).unwrap();
                }
                2 => {
                    writer.write(b"between").unwrap();
                    expected[to].extend_from_slice(b"between");
                    writer.write(part).unwrap();
                }
                3 => {
                    for piece in part.chunks(1 + self.pick(5000)) {
                        writer.write(piece).unwrap();
                    }
                }
                4 => {
                    writer.write(part).unwrap();
                    writer.flush();
                }
                _ => writer.write(part).unwrap(),
            }
            expected[to].extend_from_slice(part);
        }
    }

    async fn relay(self: Rc<Self>, number: usize, mut reader: StreamReader) {
        loop {
            let n = 1 + self.pick([10, 5000, 100_000][self.pick(3)]);
            let data = match self.pick(3) {
                0 => match reader.read_line().await {
                    Ok(line) => line,
                    Err(_) => reader.read(n).await.unwrap(),
                },
                1 => {
                    self.pass_on(reader.peek().await.unwrap());
                    reader.read(n).await.unwrap()
                }
                _ => reader.read(n).await.unwrap(),
            };
            if data.is_empty() {
                return;
            }
            self.read.borrow_mut()[number].extend_from_slice(data);
            self.pass_on(data);
            if self.pick(3) == 0 {
                yield_now().await;
            }
        }
    }

    /// What a peer sends: a number that goes up, so that a byte out of its place shows, with lines here and there.
    fn piece(&self) -> Vec<u8> {
        let len = self.pick([20, 5000, 150_000][self.pick(3)]);
        let from = self.pick(250);
        (0..len).map(|i| ((from + i + i / 251) % 251) as u8).collect()
    }
}

async fn drive(world: &World, peers: &[SimPeer]) -> Vec<Vec<u8>> {
    let mut sent = vec![Vec::new(); CONNECTIONS];
    for _ in 0..40 {
        let number = world.pick(CONNECTIONS);
        match world.pick(4) {
            0 => peers[number].set_send_window(world.pick(40_000)),
            1 => peers[number].short_next_write(world.pick(3000)),
            _ => {
                let piece = world.piece();
                peers[number].send(&piece);
                sent[number].extend(piece);
            }
        }
        if world.pick(2) == 0 {
            settle().await;
        }
    }
    for peer in peers {
        peer.set_send_window(usize::MAX);
        peer.send_eof();
    }
    sent
}

fn relays(seed: u64) {
    run(async |sim| {
        let world = Rc::new(World {
            rng: RefCell::new(Rng::new(seed)),
            writers: RefCell::default(),
            expected: RefCell::new(vec![Vec::new(); CONNECTIONS]),
            read: RefCell::new(vec![Vec::new(); CONNECTIONS]),
        });
        let (mut peers, mut tasks) = (Vec::new(), Vec::new());
        for number in 0..CONNECTIONS {
            let limit = [100, 5000, 65_536][world.pick(3)];
            let (reader, writer, peer) = scripted(&sim, limit).await;
            world.writers.borrow_mut().push(writer);
            peers.push(peer);
            tasks.push(spawn(world.clone().relay(number, reader)));
        }
        let sent = drive(&world, &peers).await;
        for task in tasks {
            task.await.unwrap();
        }
        let writers = world.writers.take();
        for writer in &writers {
            writer.close().await.unwrap();
        }
        assert!(*world.read.borrow() == sent, "seed {seed}: what was read is not what was sent");
        for (peer, expected) in peers.iter().zip(&*world.expected.borrow()) {
            assert!(
                peer.received() == *expected,
                "seed {seed}: what arrived is not what was written"
            );
        }
        let handle = LoopHandle::current().unwrap();
        for size in [BlockSize::Small, BlockSize::Large] {
            let counts = handle.blocks().counts(size);
            assert_eq!(counts.made + counts.reused, counts.given, "seed {seed}: {counts:?}");
        }
    });
}

#[test]
fn what_many_pass_on_to_many_arrives_once_and_in_order() {
    (0..40).for_each(relays);
}
