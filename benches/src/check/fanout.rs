//! One writer, many readers.

use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

use super::client::{Client, Pieces, bytes, same};
use super::{Outcome, PATIENCE, Program, Running};
use crate::contract::Shape;

/// What a publisher says until a new subscriber hears it: nothing else that is [sent](bytes) is that.
const CALL: u8 = 0xff;

const BULK: usize = 5 << 20;
/// So many bytes are looked at in one go.
const BLOCK: usize = 10_007;

/// The shape `fanout`. A subscriber that does not read holds up the publisher (a server that bounds its memory and loses nothing has
/// no other choice), until it reads or vanishes.
///
/// # Errors
///
/// What was expected and what came.
pub fn fanout(program: &Program) -> Outcome {
    let server = program.start(Shape::Fanout)?;
    let mut publisher = Client::connect(&server, b"P")?;
    let mut subscribers = Vec::new();
    for _ in 0..4 {
        subscribers.push(subscribe(&server, &mut publisher)?);
    }
    for length in [1, 10, 1024, 70_000, 3] {
        let data = bytes(length);
        publisher.send(&data)?;
        for subscriber in &mut subscribers {
            hear(subscriber, &data)?;
        }
    }
    // One leaves, another vanishes: the others still hear all.
    drop(subscribers.pop());
    if let Some(client) = subscribers.pop() {
        client.reset()?;
    }
    bulk(&mut publisher, &mut subscribers).map_err(|why| format!("5 MiB: {why}"))?;
    // The publisher leaves, another comes, whose first bytes come with its hello.
    publisher.end()?;
    publisher.expect_end()?;
    let mut publisher = Client::connect(&server, b"Phello")?;
    hear(&mut subscribers[0], b"hello")?;
    hear(&mut subscribers[1], b"hello")?;
    stalled(&server, &mut publisher, &mut subscribers)
        .map_err(|why| format!("a subscriber that does not read: {why}").into())
}

/// A subscriber of which the server knows: the publisher calls until it hears.
fn subscribe(server: &Running, publisher: &mut Client) -> Outcome<Client> {
    let client = Client::connect(server, b"S")?;
    let pause = Duration::from_millis(5);
    client.stream.set_read_timeout(Some(pause))?;
    for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
        publisher.send(&[CALL])?;
        match client.stream.peek(&mut [0]) {
            Ok(0) => return Err("a subscriber was closed".into()),
            Ok(_) => {
                client.stream.set_read_timeout(Some(PATIENCE))?;
                return Ok(client);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err("a subscriber hears nothing".into())
}

/// These bytes come, between calls.
fn hear(subscriber: &mut Client, expected: &[u8]) -> Outcome {
    let mut heard: Vec<u8> = Vec::with_capacity(expected.len());
    while heard.len() < expected.len() {
        let more = subscriber.take(expected.len() - heard.len())?;
        // As a rule, nobody calls any more.
        if more.contains(&CALL) {
            heard.extend(more.iter().filter(|&&byte| byte != CALL));
        } else {
            heard.extend_from_slice(&more);
        }
    }
    same(&heard, expected)
}

fn bulk(publisher: &mut Client, subscribers: &mut [Client]) -> Outcome {
    let data = bytes(BULK);
    thread::scope(|scope| {
        let sender = scope.spawn(|| publisher.send(&data));
        for piece in data.chunks(BLOCK) {
            for subscriber in &mut *subscribers {
                hear(subscriber, piece)?;
            }
        }
        sender.join().map_err(|_| "the sender panicked")?
    })
}

fn stalled(server: &Running, publisher: &mut Client, subscribers: &mut [Client]) -> Outcome {
    let stalled = subscribe(server, publisher)?;
    let before = server.memory()?;
    let sent = publisher.fill()?;
    server.has_not_grown(before)?;
    stalled.reset()?;
    let pieces = &Pieces::new(BLOCK);
    thread::scope(|scope| {
        let hearing = subscribers.iter_mut().map(|subscriber| {
            scope.spawn(move || -> Outcome {
                for from in (0..sent).step_by(BLOCK) {
                    hear(subscriber, pieces.at(from, sent))
                        .map_err(|why| format!("from byte {from} of {sent}: {why}"))?;
                }
                Ok(())
            })
        });
        let hearing: Vec<_> = hearing.collect();
        hearing
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a subscriber panicked")?)
    })
}
