//! A loop that is closed, or a future that is dropped, at every stage of a busy conversation: nothing is
//! left, nobody panics, and each connection that was made is lost once (invariants 3 and 10).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use common::{reports, sim_loop};
use millrun_loop::{EventLoop, LoopHandle, interval, sleep, spawn, timeout, yield_now};
use millrun_selector::Address;
use millrun_sim::{Delay, Faults, Sim};
use millrun_streams::{
    StreamReader, StreamWriter, open_connection, open_unix_connection, start_server,
    start_unix_server,
};
use millrun_transport::{Protocol, Serve, Server, Transport};

/// Counts what lives.
#[derive(Clone, Default)]
struct Alive(Rc<()>);

impl Alive {
    fn count(&self) -> usize {
        Rc::strong_count(&self.0) - 1
    }
}

/// Counts `connection_made` against `connection_lost`.
#[derive(Clone, Default)]
struct Balance {
    made: Rc<Cell<u32>>,
    lost: Rc<Cell<u32>>,
}

struct Balanced {
    balance: Balance,
    transport: Option<Rc<dyn Transport>>,
    _alive: Alive,
}

impl Protocol for Balanced {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.balance.made.set(self.balance.made.get() + 1);
        // A circle, until connection_lost.
        self.transport = Some(transport);
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        if let Some(transport) = &self.transport {
            transport.write(data);
        }
        Ok(())
    }

    fn connection_lost(&mut self, _: Option<io::Error>) {
        self.balance.lost.set(self.balance.lost.get() + 1);
        // What a protocol may do on its way out, on a loop that may be closing.
        let transport = self.transport.take().unwrap();
        transport.write(b"too late");
        transport.close();
        let _ = transport.handle_of();
    }
}

/// Anything of the loop, asked from inside a callback of a loop that may be closing.
trait HandleOf {
    fn handle_of(&self) -> bool;
}

impl HandleOf for Rc<dyn Transport> {
    fn handle_of(&self) -> bool {
        let Ok(handle) = LoopHandle::current() else { return false };
        let _ = handle.call_later(Duration::from_secs(1), || ());
        let _ = handle.call_soon(|| ());
        drop(handle.spawn(async {}));
        true
    }
}

fn port(server: &Server) -> u16 {
    server.local_addrs()[0].port().unwrap()
}

async fn echo(alive: Alive, mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    let _alive = alive;
    loop {
        let data = reader.read(1000).await?;
        if data.is_empty() {
            writer.close().await?;
            return Ok(());
        }
        writer.write(data).map_err(io::Error::other)?;
        writer.drain().await?;
    }
}

async fn talk(alive: Alive, ends: (StreamReader, StreamWriter), bytes: usize) -> io::Result<()> {
    let _alive = alive.clone();
    let (mut reader, writer) = ends;
    let writer = Rc::new(writer);
    let sender = {
        let (writer, alive) = (Rc::clone(&writer), alive);
        spawn(async move {
            let _alive = alive;
            for chunk in vec![7; bytes].chunks(700) {
                writer.write(chunk).unwrap_or_default();
                let _ = writer.drain().await;
            }
            writer.write_eof();
        })
    };
    let mut got = 0;
    while let Ok(data) = timeout(Duration::from_secs(60), reader.read(500)).await {
        match data?.len() {
            0 => break,
            n => got += n,
        }
    }
    sender.await.map_err(io::Error::other)?;
    assert_eq!(got, bytes);
    writer.close().await?;
    Ok(())
}

/// Servers and clients on streams and on callbacks, tasks, timers, jobs, half-closes: some of everything.
async fn conversation(handle: LoopHandle, alive: Alive, balance: Balance) {
    let _alive = alive.clone();
    let at = alive.clone();
    let server = start_server("localhost", 0, async move |r, w| echo(at.clone(), r, w).await);
    let server = server.await.unwrap();
    let at = alive.clone();
    let unix = start_unix_server("/sock", async move |r, w| echo(at.clone(), r, w).await);
    let unix = unix.await.unwrap();
    let (at, counts) = (alive.clone(), balance);
    let factory = move || Balanced { balance: counts.clone(), transport: None, _alive: at.clone() };
    let plain =
        Serve::address("10.0.0.1:7".parse::<std::net::SocketAddr>().map(Address::from).unwrap());
    let plain = plain.serve(&handle, factory).await.unwrap();
    let ticking = {
        let alive = alive.clone();
        spawn(async move {
            let _alive = alive;
            let mut ticks = interval(Duration::from_millis(3));
            for _ in 0..20 {
                ticks.tick().await;
            }
        })
    };
    let port = port(&server);
    let mut tasks = Vec::new();
    for bytes in [0, 1, 3000, 20_000] {
        let at = alive.clone();
        tasks.push(spawn(async move {
            talk(at, open_connection("localhost", port).await?, bytes).await
        }));
        let at = alive.clone();
        tasks.push(spawn(
            async move { talk(at, open_unix_connection("/sock").await?, bytes).await },
        ));
        let at = alive.clone();
        tasks.push(spawn(
            async move { talk(at, open_connection("10.0.0.1", 7).await?, bytes).await },
        ));
    }
    let job = handle.run_in_executor(|| 7);
    assert_eq!(job.await.unwrap(), 7);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    ticking.await.unwrap();
    for server in [server, unix, plain] {
        server.close();
        server.wait_closed().await;
    }
}

fn world(seed: u64) -> Sim {
    let sim = Sim::new(seed);
    sim.set_buffers(2000, 1500);
    if seed % 2 == 1 {
        sim.faults(Faults { short_reads: 0.3, short_writes: 0.3, would_block: 0.2 });
        sim.add_rule(Delay(Duration::from_millis(2)));
    }
    sim
}

fn assert_nothing_left(sim: &Sim, alive: &Alive, balance: &Balance, stage: usize) {
    assert_eq!(
        (sim.open_sockets(), sim.registrations(), alive.count()),
        (0, 0, 0),
        "sockets, registrations, guards left at stage {stage} of {sim:?}"
    );
    assert_eq!(balance.made, balance.lost, "made and lost at stage {stage} of {sim:?}");
}

/// Stops the loop after so many rounds.
fn stop_after(handle: &LoopHandle, rounds: usize) {
    let again = handle.clone();
    let _ = handle.call_soon(move || match rounds.checked_sub(1) {
        Some(left) => stop_after(&again, left),
        None => again.stop(),
    });
}

/// Lets a conversation run for so many rounds, then closes the loop under it. Says whether it had ended.
fn close_at(seed: u64, stage: usize) -> bool {
    let (sim, alive, balance) = (world(seed), Alive::default(), Balance::default());
    // The loop is never idle, so time must pass by itself.
    sim.set_select_cost(Duration::from_millis(2));
    let mut event_loop = sim_loop(&sim);
    let handle = event_loop.handle();
    let reported = reports(&handle);
    let task = handle.spawn(conversation(handle.clone(), alive.clone(), balance.clone()));
    stop_after(&handle, stage);
    event_loop.run_forever().unwrap();
    let ended = task.is_finished();
    event_loop.close();
    assert_nothing_left(&sim, &alive, &balance, stage);
    assert!(reported.borrow().is_empty(), "{:?} at stage {stage}", reported.borrow());
    assert!(matches!(event_loop.turn(None), Err(millrun_loop::RunError::Closed)));
    ended
}

#[test]
fn a_loop_closed_at_any_round_leaves_nothing() {
    for seed in 0..4 {
        let mut stage = 0;
        while !close_at(seed, stage) {
            // Each of the first rounds, where everything begins, then some of the many alike.
            stage += 1 + stage / 40;
        }
        assert!(stage > 100, "only {stage} rounds: too few to say anything");
    }
}

/// Polls a future so many times, then drops it. True when it was done first.
async fn drop_after<F: Future>(polls: usize, future: F) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Runs `future` dropped after each number of polls, on a world with an echo server.
fn drop_at_each_await<F: Future>(what: &str, most: usize, future: impl Fn(u16) -> F) {
    let mut polls = 0;
    loop {
        let (sim, alive, balance) = (world(polls as u64), Alive::default(), Balance::default());
        let mut event_loop = sim_loop(&sim);
        let handle = event_loop.handle();
        let reported = reports(&handle);
        let at = alive.clone();
        let done = event_loop.run_until_complete(async {
            let server = start_server("localhost", 0, async move |r, w| {
                // A peer that is cut off is an ordinary thing.
                let _ = echo(at.clone(), r, w).await;
            });
            let server = server.await.unwrap();
            let done = drop_after(polls, future(port(&server))).await;
            // Longer than any deadline or linger.
            sleep(Duration::from_secs(100)).await;
            let metrics = LoopHandle::current().unwrap().metrics();
            let left = (server.connections(), metrics.watches, metrics.timers, metrics.tasks);
            let listeners = server.local_addrs().len();
            assert_eq!(left, (0, listeners, 0, 0), "{what} after {polls} polls");
            assert_eq!(sim.open_sockets(), listeners, "{what} after {polls} polls");
            done
        });
        drop(event_loop);
        assert_nothing_left(&sim, &alive, &balance, polls);
        assert!(reported.borrow().is_empty(), "{what}: {:?}", reported.borrow());
        if done.unwrap() {
            return;
        }
        polls += 1;
        assert!(polls < most, "{what} is never done");
    }
}

async fn open(port: u16) -> (StreamReader, StreamWriter) {
    open_connection("localhost", port).await.unwrap()
}

/// All the awaits of a client, one after the other in one future: dropped at each.
#[test]
fn a_future_dropped_at_any_await_leaves_nothing() {
    drop_at_each_await("connect", 20, async |port| drop(open(port).await));
    drop_at_each_await("read", 100, async |port| {
        let (mut reader, writer) = open(port).await;
        writer.write(&[b'a'; 100]).unwrap();
        reader.read_exact(100).await.unwrap();
        writer.write(b"line\nuntil;").unwrap();
        reader.read_line().await.unwrap();
        reader.read_until(b";").await.unwrap();
        writer.write_eof();
        reader.read_to_end(&mut Vec::new()).await.unwrap();
    });
    drop_at_each_await("drain and close", 400, async |port| {
        let (mut reader, writer) = open(port).await;
        let read = spawn(async move { reader.read_to_end(&mut Vec::new()).await });
        for _ in 0..4 {
            writer.write(&[b'a'; 80_000]).unwrap();
            writer.drain().await.unwrap();
        }
        writer.write_eof();
        assert_eq!(read.await.unwrap().unwrap(), 320_000);
        writer.close().await.unwrap();
    });
    drop_at_each_await("timeout, sleep, task", 20, async |_| {
        timeout(Duration::from_secs(5), sleep(Duration::from_secs(1))).await.unwrap();
        spawn(async { sleep(Duration::from_secs(1)).await }).await.unwrap();
        yield_now().await;
    });
}

#[test]
fn a_server_dropped_at_any_await_leaves_nothing() {
    drop_at_each_await("serve", 20, async |_| {
        let server = start_server("localhost", 0, async |_r, _w| ()).await.unwrap();
        let at = port(&server);
        let (mut reader, _writer) = open(at).await;
        let serving = server.serve_forever();
        assert!(timeout(Duration::from_secs(3), serving).await.is_err());
        reader.read_to_end(&mut Vec::new()).await.unwrap();
        server.wait_closed().await;
    });
}

/// What was made in a loop and outlives it is harmless, whatever is called.
#[test]
fn ends_that_outlive_their_loop_are_harmless() {
    let sim = world(1);
    let mut event_loop: EventLoop = sim_loop(&sim);
    let handle = event_loop.handle();
    let (server, mut reader, writer) = event_loop
        .run_until_complete(async {
            let server = start_server("localhost", 0, async |_r, w: StreamWriter| {
                let _ = w.write(b"hello");
                sleep(Duration::from_secs(1000)).await;
            });
            let server = server.await.unwrap();
            let (mut reader, writer) = open(port(&server)).await;
            assert_eq!(reader.read_exact(3).await.unwrap(), b"hel");
            writer.write(&[0; 300_000]).unwrap();
            (server, reader, writer)
        })
        .unwrap();
    drop(event_loop);
    assert_eq!((sim.open_sockets(), sim.registrations()), (0, 0));
    writer.write(b"x").unwrap_err();
    writer.flush();
    writer.write_eof();
    writer.abort();
    drop((writer.close(), writer.wait_closed()));
    let t = Rc::clone(writer.transport());
    t.pause_reading();
    t.resume_reading();
    t.close_within(Duration::ZERO);
    t.set_close_timeout(Duration::ZERO);
    t.set_gathering(false);
    assert!(t.is_closing() && t.close_outcome().is_some());
    server.close();
    assert!(server.start_serving().is_err());
    server.close_clients();
    server.abort_clients();
    // The bytes that had come are still there, on any loop.
    let other = Sim::new(0);
    let rest = sim_loop(&other).run_until_complete(async {
        let mut rest = Vec::new();
        let end = reader.read_to_end(&mut rest).await;
        assert!(writer.drain().await.is_err());
        writer.wait_closed().await.map(drop).unwrap_or_default();
        (rest, end.is_ok())
    });
    assert_eq!(rest.unwrap(), (b"lo".to_vec(), true));
    assert!(handle.spawn(async {}).is_finished());
}
