//! A server shuts down under load, by each of its ways: it ends in time, every client hears of it, and nobody is
//! connected afterwards.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{LoopHandle, sleep, spawn, timeout};
use millrun_sim::Rng;
use millrun_streams::{StreamReader, StreamWriter, open_connection, start_server};
use millrun_testbed::{World, WorldError};

use crate::mixed::bad_network;
use crate::pattern::Pattern;
use crate::streams::{self, size};

const PORT: u16 = 1;

/// How long each way may take: until the clients end by themselves; a close without progress, and some time for what
/// is in flight; nothing at all.
const LONGEST: [Duration; 3] =
    [Duration::from_secs(60), Duration::from_secs(31), Duration::from_millis(1)];

/// How long a client may hear nothing: it is shorter than what it is waited for, and longer than a close waits.
const DEAF: Duration = Duration::from_secs(45);

pub(crate) fn play(world: &World) -> Result<(), WorldError> {
    let mut rng = Rng::new(world.seed());
    bad_network(world, &mut rng);
    let (when, how) = (Duration::from_micros(rng.within(0..60_000)), rng.within(0..3));
    let over = Rc::new(Cell::new(false));
    world.host("server", serve(when, how, Rc::clone(&over)));
    for client in 0..2 + rng.within(0..3) {
        let rng = Rng::new(rng.next_u64());
        world.host(&format!("client-{client}"), load(rng, Rc::clone(&over)));
    }
    world.run()?;
    assert!(over.get(), "the server has ended");
    Ok(())
}

async fn serve(when: Duration, how: u64, over: Rc<Cell<bool>>) {
    let handler = async |mut reader: StreamReader, writer: StreamWriter| {
        while let Ok(bytes) = reader.read(3000).await {
            if bytes.is_empty() || writer.write(bytes).is_err() || writer.drain().await.is_err() {
                return;
            }
        }
    };
    let server = start_server("server", PORT, handler).await.unwrap();
    sleep(when).await;
    server.close();
    match how {
        // The connections live on until their clients end them.
        0 => {}
        1 => server.close_clients(),
        _ => server.abort_clients(),
    }
    let longest = LONGEST[how as usize];
    let ended = timeout(longest, server.wait_closed()).await;
    assert!(ended.is_ok(), "way {how}: after {longest:?} {} are connected", server.connections());
    assert_eq!(server.connections(), 0);
    over.set(true);
    let error = open_connection("localhost", PORT).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "it listens no more");
}

/// Asks until the server ends, one connection after the other; what comes back is the beginning of what was sent.
async fn load(mut rng: Rng, over: Rc<Cell<bool>>) {
    let begun = LoopHandle::current().unwrap().now();
    let mut number = 0;
    while !over.get() {
        let since = LoopHandle::current().unwrap().now() - begun;
        assert!(since < 2 * LONGEST[0], "the server does not end");
        number += 1;
        let Ok((reader, writer)) = open_connection("server", PORT).await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let pattern = Pattern(rng.next_u64());
        let total = rng.within(0..60_000);
        let is_deaf = number == 1 && rng.chance(0.2);
        let total = if is_deaf { 400_000 } else { total };
        let sending = spawn(send(writer, pattern, total, Rng::new(rng.next_u64())));
        if is_deaf {
            // Both kernels and the server are full of what it does not read: nothing moves any more.
            sleep(DEAF).await;
        }
        let received = receive(reader, pattern).await;
        let (writer, sent) = sending.await.unwrap();
        assert!(received <= sent, "visit {number}: {received} of {sent} bytes came back");
        drop(writer);
    }
}

async fn send(
    writer: StreamWriter,
    pattern: Pattern,
    total: u64,
    mut rng: Rng,
) -> (StreamWriter, u64) {
    let mut sent = 0;
    while sent < total {
        let data = pattern.piece(sent, size(&mut rng, 5000));
        if writer.write(&data).is_err() {
            break;
        }
        sent += data.len() as u64;
        if writer.drain().await.is_err() {
            break;
        }
        if rng.chance(0.2) {
            sleep(streams::pause(&mut rng)).await;
        }
    }
    writer.write_eof();
    (writer, sent)
}

async fn receive(mut reader: StreamReader, pattern: Pattern) -> u64 {
    let mut received = 0;
    while let Ok(bytes) = reader.read(4000).await {
        if bytes.is_empty() {
            break;
        }
        assert!(pattern.is_at(received, bytes), "other bytes at {received} than were sent");
        received += bytes.len() as u64;
    }
    received
}
