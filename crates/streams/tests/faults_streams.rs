//! Streams between tasks over a kernel that misbehaves, each side leaving as and when it likes: what was flushed
//! arrives, what arrives is a prefix, and nothing is left (invariants 6, 7, 8, 10, 11). Replay with
//! `MILLRUN_SEED=n`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use common::{reports, sim_loop};
use millrun_loop::{sleep, spawn, timeout};
use millrun_sim::{Delay, Faults, Rng, Sim};
use millrun_streams::{
    CloseOutcome, ReadError, StartServer, StreamReader, StreamWriter, open_connection,
};
use millrun_transport::{Serve, Watermarks};

/// What one side did, and what it knows.
#[derive(Default, Debug)]
struct Side {
    /// Bytes that writes took.
    written: Cell<usize>,
    read: Cell<usize>,
    /// The reader came to the peer's end of file, not to that of a close of our own.
    eof: Cell<bool>,
    /// We began to close.
    closing: Cell<bool>,
    /// What the close said, if it was waited for.
    outcome: Cell<Option<CloseOutcome>>,
    over: Cell<bool>,
}

struct World {
    rng: RefCell<Rng>,
    /// How much a side writes at most.
    most: usize,
}

impl World {
    fn pick(&self, below: usize) -> usize {
        self.rng.borrow_mut().within(0..below as u64) as usize
    }
}

fn byte(side: usize, at: usize) -> u8 {
    (at.wrapping_mul(13) ^ (at >> 7) ^ (side * 0x55)) as u8
}

fn check(side: &Side, number: usize, data: &[u8]) {
    let from = side.read.get();
    let right = data.iter().enumerate().all(|(i, &b)| b == byte(number ^ 1, from + i));
    assert!(right, "side {number}: wrong bytes from {from}");
    side.read.set(from + data.len());
}

/// Reads in all kinds of ways, giving up now and then, until the end or until it has had enough.
async fn reading(world: Rc<World>, side: Rc<Side>, number: usize, mut reader: StreamReader) {
    let enough = world.pick(4) == 0;
    let mut scratch = vec![0; 300];
    loop {
        if enough && world.pick(20) == 0 {
            return;
        }
        let patience = Duration::from_micros(1 + world.pick(3000) as u64);
        let n = 1 + world.pick(500);
        let read = async {
            match world.pick(6) {
                0 => reader.read(n).await.map(|d| d.to_vec()).map_err(ReadError::Io),
                1 => reader.read_exact(n).await.map(<[u8]>::to_vec),
                2 => reader.read_until(&[byte(number ^ 1, 5), 9]).await.map(<[u8]>::to_vec),
                3 => reader.read_line().await.map(<[u8]>::to_vec),
                4 => {
                    let n = reader.read_into(&mut scratch).await.map_err(ReadError::Io)?;
                    Ok(scratch[..n].to_vec())
                }
                _ => {
                    reader.peek().await.map_err(ReadError::Io)?;
                    reader.read_bytes(n).await.map(|b| b.to_vec()).map_err(ReadError::Io)
                }
            }
        };
        let limit = match timeout(patience, read).await {
            Err(_) => continue, // given up: nothing is lost
            Ok(Ok(data)) if data.is_empty() => break side.eof.set(!side.closing.get()),
            Ok(Ok(data)) => {
                check(&side, number, &data);
                continue;
            }
            Ok(Err(ReadError::Incomplete(rest))) => {
                check(&side, number, &rest.partial);
                break side.eof.set(!side.closing.get());
            }
            Ok(Err(ReadError::LimitOverrun(_))) => 1 + world.pick(40),
            // The bytes before the error are still there.
            Ok(Err(_)) => usize::MAX,
        };
        match reader.read(limit).await {
            Ok([]) => break side.eof.set(!side.closing.get()),
            Ok(data) => check(&side, number, data),
            Err(_) => break,
        }
    }
    // The end comes again, whatever is asked.
    assert!(reader.read(1).await.map_or(true, |data| data.is_empty()));
    assert_eq!((reader.buffered(), reader.memory()), (0, 0));
}

async fn writing(world: Rc<World>, side: Rc<Side>, number: usize, writer: StreamWriter) {
    let total = world.pick(world.most);
    while side.written.get() < total {
        let from = side.written.get();
        let len = [0, 1, 7, 1 + world.pick(2000), 1 + world.pick(30_000)][world.pick(5)];
        let data: Vec<u8> = (from..from + len).map(|at| byte(number, at)).collect();
        let taken = match world.pick(3) {
            0 => writer.write_bytes(Bytes::from(data)),
            1 => writer.writelines(&[&data[..len / 2], &data[len / 2..]]),
            _ => writer.write(&data),
        };
        if taken.is_err() {
            break;
        }
        side.written.set(from + len);
        let drained = match world.pick(4) {
            0 => Ok(()),
            1 => timeout(Duration::from_micros(50), writer.drain()).await.unwrap_or(Ok(())),
            _ => writer.drain().await,
        };
        if drained.is_err() || world.pick(400) == 0 {
            break;
        }
    }
    let way = world.pick(8);
    side.closing.set(![0, 3, 5].contains(&way));
    match way {
        0 => drop(writer),
        1 => writer.abort(),
        2 => drop(writer.close()),
        3 => {
            writer.write_eof();
            sleep(Duration::from_millis(world.pick(50) as u64)).await;
            side.closing.set(true);
            side.outcome.set(writer.close().await.ok());
        }
        4 => {
            writer.transport().close_within(Duration::from_millis(world.pick(20) as u64));
            side.outcome.set(writer.wait_closed().await.ok());
        }
        5 => {
            // A half-closed connection stays until somebody closes it.
            writer.write_eof();
            let waited = timeout(Duration::from_millis(20), writer.wait_closed()).await;
            let closed = match waited {
                Ok(closed) => closed,
                Err(_) => {
                    side.closing.set(true);
                    writer.close().await
                }
            };
            side.outcome.set(closed.ok());
        }
        _ => side.outcome.set(writer.close().await.ok()),
    }
}

async fn both(world: Rc<World>, side: Rc<Side>, number: usize, ends: (StreamReader, StreamWriter)) {
    let (reader, writer) = ends;
    let high = world.pick(20_000);
    writer.transport().set_write_buffer_limits(Watermarks::from_high(high)).unwrap();
    writer.transport().set_close_timeout(Duration::from_secs(5));
    let reads = spawn(reading(Rc::clone(&world), Rc::clone(&side), number, reader));
    writing(world, Rc::clone(&side), number, writer).await;
    reads.await.unwrap();
    side.over.set(true);
}

fn judge(sides: [&Side; 2], number: usize, context: &str) {
    let (side, peer) = (sides[number], sides[number ^ 1]);
    let (read, written) = (side.read.get(), peer.written.get());
    assert!(side.over.get(), "side {number} never ended: {context}");
    assert!(read <= written, "{read} read, {written} written: {context}");
    // Flushed, and read to a clean end: all of it. (Who was reset may have lost the kernel's last bytes.)
    if let (Some(outcome), true) = (peer.outcome.get(), side.eof.get()) {
        let unsent = match outcome {
            CloseOutcome::Flushed => 0,
            CloseOutcome::Unsent(unsent) => unsent,
        };
        assert_eq!(read + unsent, written, "{context}");
    }
}

fn run(seed: u64) {
    let sim = Sim::new(seed);
    let mut rng = Rng::new(seed);
    let mut some = |most: u64| rng.within(0..most) as f64 / 100.0;
    sim.faults(Faults { short_reads: some(90), short_writes: some(90), would_block: some(50) });
    let buffer = [3, 100, 3000, 65_536][rng.within(0..4) as usize];
    sim.set_buffers(buffer, buffer);
    if rng.chance(0.3) {
        sim.add_rule(Delay(Duration::from_micros(rng.within(1..3000))));
    }
    // A loop that is never idle must not stop the clock.
    sim.set_select_cost(Duration::from_micros(5));
    let limit = [1, 2, 64, 65_536][rng.within(0..4) as usize];
    let connections = rng.within(1..4) as usize;
    let world = Rc::new(World { rng: RefCell::new(rng), most: (buffer * 100).min(200_000) });
    let all: Rc<Vec<[Rc<Side>; 2]>> =
        Rc::new((0..connections).map(|_| Default::default()).collect());
    let mut event_loop = sim_loop(&sim);
    let handle = event_loop.handle();
    let reported = reports(&handle);
    let talked = event_loop.run_until_complete(async {
        let (at, sides, next) = (Rc::clone(&world), Rc::clone(&all), Cell::new(0));
        let serve = Serve::on("127.0.0.1", 0);
        let server = StartServer::tasks(serve, async move |reader, writer| {
            let number = next.replace(next.get() + 1);
            both(Rc::clone(&at), Rc::clone(&sides[number][1]), 1, (reader, writer)).await;
        });
        let server = server.limit(limit).await.unwrap();
        let port = server.local_addrs()[0].port().unwrap();
        let mut clients = Vec::new();
        for sides in &*all {
            // One after the other, so that both sides know which connection is which.
            let ends = open_connection("127.0.0.1", port).limit(limit).await.unwrap();
            clients.push(spawn(both(Rc::clone(&world), Rc::clone(&sides[0]), 0, ends)));
            sleep(Duration::from_millis(10)).await;
        }
        for client in clients {
            client.await.unwrap();
        }
        server.close();
        server.wait_closed().await;
        // A client's close may still wait for its deadline.
        sleep(Duration::from_secs(60)).await;
        Ok::<(), io::Error>(())
    });
    talked.unwrap().unwrap();
    let context = format!("MILLRUN_SEED={seed} {sim:?} {all:?}");
    for [client, served] in &*all {
        judge([client, served], 0, &context);
        judge([client, served], 1, &context);
    }
    assert!(reported.borrow().is_empty(), "{:?} {context}", reported.borrow());
    let metrics = handle.metrics();
    assert_eq!((metrics.watches, metrics.timers), (0, 0), "{context}");
    drop(event_loop);
    assert_eq!((sim.open_sockets(), sim.registrations()), (0, 0), "{context}");
}

#[test]
fn however_they_leave_what_was_flushed_arrives_and_nothing_is_left() {
    let from = std::env::var("MILLRUN_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    let count = std::env::var("MILLRUN_SEEDS").ok().and_then(|text| text.parse().ok());
    let from_to = from.map_or(0..count.unwrap_or(40), |one| one..one + count.unwrap_or(1));
    from_to.for_each(run);
}
