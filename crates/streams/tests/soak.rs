//! Random writes against random reads over a faulty network: every byte arrives once and in order, whatever is
//! dropped at whatever await, and memory stays within its bounds (invariants 6, 7 and 8).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use common::sim_loop;
use millrun_loop::{sleep, spawn, timeout};
use millrun_sim::{Delay, Faults, Sim};
use millrun_streams::{
    CloseOutcome, OpenConnection, ReadError, StartServer, StreamReader, StreamWriter,
};
use millrun_transport::{Connect, Serve, Watermarks};

/// xorshift64*: the same numbers from the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n.max(1)
    }

    /// Mostly small, sometimes large.
    fn size(&mut self, most: usize) -> usize {
        let most = [4, 100, 5000, most][self.below(4)].min(most);
        1 + self.below(most)
    }

    async fn rest(&mut self) {
        if self.below(4) == 0 {
            sleep(Duration::from_micros(self.below(3000) as u64)).await;
        }
    }
}

/// The byte at a place in the stream: a newline now and then.
fn byte(at: usize) -> u8 {
    if at % 61 == 60 { b'\n' } else { (at % 251) as u8 | 0x80 }
}

fn piece(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(byte).collect()
}

async fn send(writer: &StreamWriter, dice: &mut Dice, total: usize) -> io::Result<()> {
    let mut at = 0;
    while at < total {
        let data = piece(at, dice.size(100_000).min(total - at));
        at += data.len();
        match dice.below(3) {
            0 => writer.write(&data)?,
            1 => writer.write_bytes(Bytes::from(data))?,
            _ => {
                let (a, b) = data.split_at(dice.below(data.len()));
                writer.writelines(&[a, b"", b])?;
            }
        }
        match dice.below(8) {
            0 => writer.flush(),
            1 => writer.transport().set_gathering(dice.below(2) == 0),
            2 => {
                let marks = Watermarks::from_high(dice.size(200_000));
                writer.transport().set_write_buffer_limits(marks).unwrap();
            }
            3 => drop(timeout(Duration::from_micros(5), writer.drain()).await),
            _ => writer.drain().await?,
        }
        dice.rest().await;
    }
    writer.drain().await
}

/// One read of any kind, perhaps given up: how many bytes it took, and whether it was the end.
async fn one_read(
    reader: &mut StreamReader,
    dice: &mut Dice,
    at: usize,
    exact: &mut usize,
) -> Option<Result<usize, ReadError>> {
    let n = dice.size(200_000);
    let check = |data: &[u8]| {
        assert!(data.iter().enumerate().all(|(i, b)| *b == byte(at + i)), "differs after {at}");
        data.len()
    };
    let kind = dice.below(7);
    if kind == 1 {
        *exact = n.max(*exact);
    }
    let mut memory = vec![0; n];
    let read = async {
        Ok(match kind {
            0 => check(reader.read(n).await.map_err(ReadError::Io)?),
            1 => check(reader.read_exact(n).await?),
            2 => check(reader.read_line().await?),
            3 => check(reader.read_until(&[&b"\n"[..], &[byte(at + n % 50)]]).await?),
            4 => {
                let n = reader.read_into(&mut memory).await.map_err(ReadError::Io)?;
                check(&memory[..n])
            }
            5 => check(&reader.read_bytes(n).await.map_err(ReadError::Io)?),
            _ => {
                // Nothing is taken; at the end of file it is empty.
                check(reader.peek().await.map_err(ReadError::Io)?);
                check(reader.read(n).await.map_err(ReadError::Io)?)
            }
        })
    };
    if dice.below(3) == 0 {
        timeout(Duration::from_micros(dice.below(2000) as u64), read).await.ok()
    } else {
        Some(read.await)
    }
}

async fn receive(mut reader: StreamReader, mut dice: Dice) -> usize {
    let (mut at, limit, mut exact) = (0, reader.limit(), 0);
    loop {
        match one_read(&mut reader, &mut dice, at, &mut exact).await {
            None | Some(Err(ReadError::LimitOverrun(_))) => {}
            Some(Ok(0)) => return at,
            Some(Ok(n)) => at += n,
            Some(Err(ReadError::Incomplete(error))) => return at + error.partial.len(),
            Some(Err(error)) => panic!("after {at}: {error}"),
        }
        let bound = (2 * limit).max(limit + 1).max(exact);
        assert!(reader.buffered() <= bound, "{} bytes of {bound}", reader.buffered());
        // What is lent and what lands are two pieces; each is rounded up to a block.
        let memory = reader.memory();
        assert!(memory <= bound + 2 * 65_536, "{memory} bytes of memory for {bound}");
        dice.rest().await;
    }
}

fn run(seed: u64) {
    let sim = Sim::new(seed);
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    if dice.below(2) == 0 {
        sim.faults(Faults { short_reads: 0.3, short_writes: 0.3, would_block: 0.3 });
    }
    if dice.below(2) == 0 {
        sim.add_rule(Delay(Duration::from_micros(dice.below(2000) as u64)));
    }
    let mut event_loop = sim_loop(&sim);
    let totals = [dice.below(1_500_000), dice.below(1_500_000)];
    let limits = [dice.size(100_000), dice.size(100_000)];
    let seeds =
        [dice.below(1 << 30), dice.below(1 << 30), dice.below(1 << 30), dice.below(1 << 30)];
    let dice_of = move |who: usize| Dice(seeds[who] as u64 | 1);
    event_loop
        .run_until_complete(async {
            let done = Rc::new(Cell::new(None));
            let tell = done.clone();
            let handler = async move |reader: StreamReader, writer: StreamWriter| {
                let got = spawn(receive(reader, dice_of(0)));
                send(&writer, &mut dice_of(1), totals[0]).await.unwrap();
                writer.write_eof();
                tell.set(Some(got.await.unwrap()));
                assert_eq!(writer.close().await.unwrap(), CloseOutcome::Flushed);
            };
            let serve = Serve::on("10.0.0.1", 80);
            let server = StartServer::tasks(serve, handler).limit(limits[0]).await.unwrap();
            let connect = OpenConnection::from(Connect::to("10.0.0.1", 80));
            let (reader, writer) = connect.limit(limits[1]).await.unwrap();
            let got = spawn(receive(reader, dice_of(2)));
            send(&writer, &mut dice_of(3), totals[1]).await.unwrap();
            writer.write_eof();
            assert_eq!(got.await.unwrap(), totals[0], "seed {seed}");
            assert_eq!(writer.close().await.unwrap(), CloseOutcome::Flushed);
            server.close();
            server.wait_closed().await;
            assert_eq!(done.take(), Some(totals[1]), "seed {seed}");
        })
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    drop(event_loop);
    assert_eq!((sim.open_sockets(), sim.registrations()), (0, 0), "seed {seed}");
}

/// `MILLRUN_SOAK=1000` tries so many seeds.
#[test]
fn every_byte_once_and_in_order() {
    let seeds = std::env::var("MILLRUN_SOAK").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    for seed in 1..=seeds {
        run(seed);
    }
}
