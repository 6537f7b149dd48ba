//! Transfers one way.

use super::client::{Client, bytes, same};
use super::{Outcome, Program, Running};
use crate::contract::Shape;
use crate::digest;

/// Bigger than anybody's buffers, and no multiple of any.
const BULK: usize = (5 << 20) + 17;

/// The shape `sink`.
///
/// # Errors
///
/// What was expected and what came.
pub fn sink(program: &Program) -> Outcome {
    let server = program.start(Shape::Sink)?;
    let mut idle = Client::connect(&server, b"in")?;
    upload(&server, b"")?;
    upload(&server, b"x")?;
    upload(&server, &bytes(BULK))?;
    let mut reset = Client::connect(&server, b"")?;
    reset.send(&bytes(100_000))?;
    reset.reset()?;
    upload(&server, &bytes(1000))?;
    idle.send(b" two pieces")?;
    idle.end()?;
    idle.comes(&answer(b"in two pieces"))?;
    idle.expect_end()
}

fn upload(server: &Running, data: &[u8]) -> Outcome {
    let mut client = Client::connect(server, b"")?;
    let outcome = client.exchange(data, &answer(data)).and_then(|()| client.expect_end());
    outcome.map_err(|why| format!("{} bytes: {why}", data.len()).into())
}

fn answer(data: &[u8]) -> Vec<u8> {
    let count = (data.len() as u64).to_be_bytes();
    [&count[..], &crc32fast::hash(data).to_be_bytes()].concat()
}

/// The shape `source`.
///
/// # Errors
///
/// What was expected and what came.
pub fn source(program: &Program) -> Outcome {
    let server = program.start(Shape::Source)?;
    for count in [0, 1, digest::PATTERN, BULK] {
        let mut client = Client::connect(&server, &(count as u64).to_be_bytes())?;
        download(&mut client, count).map_err(|why| format!("{count} bytes: {why}"))?;
    }
    let mut pieces = Client::connect(&server, &[0, 0, 0])?;
    let before = server.memory()?;
    let stalled = (0..10).map(|_| Client::connect(&server, &(1_u64 << 40).to_be_bytes()));
    let stalled = stalled.collect::<Outcome<Vec<_>>>()?;
    for _ in 0..10 {
        download(&mut Client::connect(&server, &100_000_u64.to_be_bytes())?, 100_000)?;
    }
    server.has_not_grown(before)?;
    for client in stalled {
        client.reset()?;
    }
    // The end in the middle of the count.
    let mut early = Client::connect(&server, &[0, 0])?;
    early.end()?;
    early.expect_over()?;
    pieces.send(&[0, 0, 0, 1, 1])?;
    download(&mut pieces, 257)
}

fn download(client: &mut Client, count: usize) -> Outcome {
    let pattern = digest::pattern();
    let mut left = count;
    while left > 0 {
        let expected = &pattern[..left.min(pattern.len())];
        let got = client.take(expected.len()).and_then(|got| same(&got, expected));
        got.map_err(|why| format!("with {left} left: {why}"))?;
        left -= expected.len();
    }
    client.expect_end()
}
