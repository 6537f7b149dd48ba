//! Many messages, and clients that mean harm, over real sockets with threads as peers.
#![cfg(all(feature = "os", feature = "streams"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use millrun::event_loop::{LoopHandle, timeout};
use millrun::streams::{StartServer, StreamReader, StreamWriter};
use millrun::transport::Serve;
use millrun_sim::Rng;
use support::{Echo, alone, bounded, connect, open_descriptors, ping, port, reports, role, until};

/// What FNV-1a begins with.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: a digest that notices a byte that is lost, doubled, changed or moved.
fn digest(so_far: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(so_far, |hash, &b| (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

/// Length in four bytes, then so many.
async fn echo_frames(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    loop {
        if reader.peek().await?.is_empty() {
            writer.close().await?;
            return Ok(());
        }
        let head = reader.read_exact(4).await.map_err(io::Error::other)?;
        let length = head.try_into().map(u32::from_be_bytes).unwrap() as usize;
        writer.write(head).map_err(io::Error::other)?;
        let body = reader.read_exact(length).await.map_err(io::Error::other)?;
        writer.write(body).map_err(io::Error::other)?;
        writer.drain().await?;
    }
}

/// Sends frames of random sizes in bursts and reads them back: digests of both ways.
fn talk(port: u16, seed: u64, messages: usize) -> (u64, u64) {
    let mut rng = Rng::new(seed);
    let mut stream = connect(port);
    let (mut out, mut back, mut left) = (OFFSET, OFFSET, messages);
    let (mut burst, mut answer) = (Vec::new(), Vec::new());
    while left > 0 {
        burst.clear();
        let count = left.min(rng.within(1..64) as usize);
        left -= count;
        for _ in 0..count {
            let most = [1, 100, 1000, 5000][rng.within(0..4) as usize];
            let length = rng.within(0..most) as u32;
            burst.extend_from_slice(&length.to_be_bytes());
            let fill = rng.next_u64().to_le_bytes();
            burst.extend(fill.iter().cycle().take(length as usize));
        }
        out = digest(out, &burst);
        // In one piece, or torn anywhere; never more than the kernel holds, so that nobody waits for ever.
        for part in burst.chunks(rng.within(1..100_000) as usize) {
            stream.write_all(part).unwrap();
        }
        answer.resize(burst.len(), 0);
        stream.read_exact(&mut answer).unwrap();
        back = digest(back, &answer);
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "more came back than was sent");
    (out, back)
}

#[test]
fn two_hundred_thousand_messages_come_back_as_they_were() {
    const MESSAGES: usize = 25_000;
    bounded(100, async {
        let reported = reports();
        let framed = StartServer::tasks(Serve::on("127.0.0.1", 0), echo_frames).await.unwrap();
        let handle = LoopHandle::current().unwrap();
        let plain = Serve::on("127.0.0.1", 0).serve(&handle, Echo::default).await.unwrap();
        let ports = [port(&framed), port(&plain)];
        let clients: Vec<JoinHandle<_>> =
            (0..8).map(|i| thread::spawn(move || talk(ports[i % 2], i as u64, MESSAGES))).collect();
        until(|| clients.iter().all(JoinHandle::is_finished)).await;
        for client in clients {
            let (out, back) = client.join().unwrap();
            assert_eq!(out, back);
        }
        until(|| framed.connections() + plain.connections() == 0).await;
        assert!(reported.borrow().is_empty(), "{:?}", reported.borrow());
    });
}

/// The next bytes that go or come are a reset.
fn reset(stream: TcpStream) {
    let now = Some(Duration::ZERO);
    rustix::net::sockopt::set_socket_linger(&stream, now).unwrap();
    drop(stream);
}

/// One client that means harm, in one of many ways. None of its calls need succeed.
fn harm(port: u16, rng: &mut Rng) {
    let mut stream = connect(port);
    let garbage: Vec<u8> = (0..rng.within(0..70_000)).map(|i| (i * 7) as u8).collect();
    let mut some = [0; 512];
    match rng.within(0..8) {
        // Says nothing, and leaves.
        0 => {}
        1 => reset(stream),
        // Garbage without an end of line, and leaves without a word or with one.
        2 => drop(stream.write_all(&garbage)),
        3 => {
            let _ = stream.write_all(&garbage);
            reset(stream);
        }
        // Asks for more than it reads.
        4 => {
            let _ = stream.write_all(&b"a line that comes back\n".repeat(1000));
            let _ = stream.read(&mut some);
        }
        5 => {
            let _ = stream.write_all(&b"a line that comes back\n".repeat(1000));
            let _ = stream.read(&mut some);
            reset(stream);
        }
        // Ends its half in the middle of a line, and reads what comes.
        6 => {
            let _ = stream.write_all(b"half a li");
            let _ = stream.shutdown(Shutdown::Write);
            while matches!(stream.read(&mut some), Ok(1..)) {}
        }
        // A byte at a time, then gone.
        _ => {
            for byte in &b"slow\n"[..rng.within(0..6) as usize] {
                let _ = stream.write_all(&[*byte]);
            }
            reset(stream);
        }
    }
}

async fn echo_lines(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    while let Some(line) = reader.next_line().await.map_err(io::Error::other)? {
        writer.write(line).map_err(io::Error::other)?;
        writer.drain().await?;
    }
    Ok(())
}

/// A client that behaves is served as if there were no others; afterwards nothing is left of anyone.
async fn among_the_hostile(many: usize) {
    let before = open_descriptors();
    let quiet = async |r, w| drop(echo_lines(r, w).await);
    let lines = StartServer::tasks(Serve::on("127.0.0.1", 0).backlog(1000), quiet).limit(4096);
    let lines = lines.await.unwrap();
    let handle = LoopHandle::current().unwrap();
    let plain = Serve::on("127.0.0.1", 0).backlog(1000).serve(&handle, Echo::default);
    let plain = plain.await.unwrap();
    let reported = reports();
    let ports = [port(&lines), port(&plain)];
    let served = std::sync::Arc::new(AtomicUsize::new(0));
    let hostile = |i: usize| {
        thread::spawn(move || {
            let mut rng = Rng::new(i as u64);
            (0..many).for_each(|n| harm(ports[n % 2], &mut rng));
        })
    };
    let harmers: Vec<_> = (0..4).map(hostile).collect();
    let good: Vec<_> = ports
        .map(|port| {
            let served = std::sync::Arc::clone(&served);
            thread::spawn(move || {
                let mut stream = connect(port);
                for i in 0..many {
                    ping(&mut stream, format!("message {i}\n").as_bytes());
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .into();
    until(|| harmers.iter().chain(&good).all(JoinHandle::is_finished)).await;
    for thread in harmers.into_iter().chain(good) {
        thread.join().unwrap();
    }
    assert_eq!(served.load(Ordering::Relaxed), 2 * many);
    for server in [lines, plain] {
        server.close();
        // Longer than a linger takes; the connections end by themselves, since their peers have left.
        timeout(Duration::from_secs(10), server.wait_closed()).await.expect("all end");
    }
    assert!(reported.borrow().is_empty(), "a reset is no news: {:?}", reported.borrow());
    let metrics = handle.metrics();
    assert_eq!((metrics.watches, metrics.tasks), (0, 0));
    assert_eq!(open_descriptors(), before);
}

#[test]
fn clients_that_mean_harm_hurt_nobody_and_leave_nothing() {
    const NAME: &str = "clients_that_mean_harm_hurt_nobody_and_leave_nothing";
    if role().is_none() {
        return alone(NAME);
    }
    bounded(100, among_the_hostile(500));
}
