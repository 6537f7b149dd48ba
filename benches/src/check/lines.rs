//! Lines.

use super::client::{Client, bytes};
use super::{Outcome, Program, Running, each};
use crate::contract::Shape;

/// As long as a line may be: asyncio's limit is 64 KiB.
const LONGEST: usize = 60_000;

/// The shape `lines`.
///
/// # Errors
///
/// What was expected and what came.
pub fn lines(program: &Program) -> Outcome {
    let server = program.start(Shape::Lines)?;
    each([
        ("one after the other, in pieces, several at once", &|| small(&server)),
        ("20,000 of 100 bytes", &|| many(&server)),
        ("a client that does not read", &|| stalled(&server)),
        ("clients that vanish", &|| vanished(&server)),
    ])
}

fn small(server: &Running) -> Outcome {
    let mut client = Client::connect(server, b"")?;
    let mut other = Client::connect(server, b"")?;
    client.round(b"one\n")?;
    client.round(b"two\n\nfour\n")?;
    other.round(b"meanwhile\n")?;
    // A line is answered though another has begun.
    client.send(b"a whole one\nand a ")?;
    client.comes(b"a whole one\n")?;
    other.round(b"meanwhile\n")?;
    client.send(b"part\n")?;
    client.comes(b"and a part\n")?;
    client.round(&line(LONGEST))?;
    client.end()?;
    client.expect_end()?;
    other.round(b"still there\n")
}

fn many(server: &Running) -> Outcome {
    let mut client = Client::connect(server, b"")?;
    let data = line(100).repeat(20_000);
    client.exchange(&data, &data)?;
    client.expect_end()
}

fn stalled(server: &Running) -> Outcome {
    let before = server.memory()?;
    let mut stalled = Client::connect(server, b"")?;
    let sent = stalled.fill()?; // has line feeds: each 251 bytes
    server.has_not_grown(before)?;
    let mut other = Client::connect(server, b"")?;
    for _ in 0..50 {
        other.round(&line(100))?;
    }
    let data = bytes(usize::try_from(sent)?);
    let whole = data.iter().rposition(|&byte| byte == b'\n').map_or(0, |place| place + 1);
    stalled.comes(&data[..whole])
}

fn vanished(server: &Running) -> Outcome {
    let mut reset = Client::connect(server, b"")?;
    reset.fill()?;
    reset.reset()?;
    let mut early = Client::connect(server, b"")?;
    early.send(b"half a li")?;
    drop(early);
    Client::connect(server, b"")?.round(b"who is left?\n")
}

/// So many bytes, the last of them a line feed.
fn line(length: usize) -> Vec<u8> {
    let letters = (0..length).map(|place| b'a' + (place % 26) as u8);
    letters.take(length - 1).chain([b'\n']).collect()
}
