//! Echoes, alone and beside readers that stall.

use super::client::{Client, Pieces, bytes, same};
use super::{Outcome, Program, Running, each};
use crate::contract::Shape;
use crate::digest;

/// Bigger than anybody's buffers, the kernel's too.
const BULK: usize = 5 << 20;
/// So many bytes are looked at in one go.
const BLOCK: usize = 100_003;

/// The shape `echo`.
///
/// # Errors
///
/// What was expected and what came.
pub fn echo(program: &Program) -> Outcome {
    conversations(&program.start(Shape::Echo)?, b"")
}

/// The shape `mixed`.
///
/// # Errors
///
/// What was expected and what came.
pub fn mixed(program: &Program) -> Outcome {
    let server = program.start(Shape::Mixed)?;
    conversations(&server, b"E")?;
    download(&server)?;
    let before = server.memory()?;
    let stalled = (0..20).map(|_| Client::connect(&server, b"D"));
    let mut stalled = stalled.collect::<Outcome<Vec<_>>>()?;
    let mut echo = Client::connect(&server, b"E")?;
    for _ in 0..200 {
        echo.round(&bytes(1024))?;
    }
    server.has_not_grown(before)?;
    // One that stalled reads again, and others vanish.
    if let Some(client) = stalled.pop() {
        pattern(client)?;
    }
    for client in stalled {
        client.reset()?;
    }
    echo.round(b"still there?")?;
    download(&server)
}

fn download(server: &Running) -> Outcome {
    pattern(Client::connect(server, b"D")?)
}

fn pattern(mut client: Client) -> Outcome {
    let pattern = digest::pattern();
    for round in 0..BULK / pattern.len() {
        let got = client.take(pattern.len())?;
        same(&got, &pattern).map_err(|why| format!("repetition {round}: {why}"))?;
    }
    Ok(())
}

/// What any echo must do for clients that begin with this hello; a relay to an echo too.
pub(super) fn conversations(server: &Running, hello: &[u8]) -> Outcome {
    each([
        ("small messages, then the end", &|| small(server, hello)),
        ("the end at once", &|| nothing(server, hello)),
        ("5 MiB, in pieces", &|| bulk(server, hello)),
        ("two clients, in turns", &|| two(server, hello)),
        ("a client that does not read", &|| stalled(server, hello)),
        ("clients that vanish", &|| vanished(server, hello)),
    ])
}

fn small(server: &Running, hello: &[u8]) -> Outcome {
    let mut client = Client::connect(server, hello)?;
    for length in [1, 2, 100, 1024, 1, 65_536, 5] {
        client.round(&bytes(length))?;
    }
    client.send(b"the last")?;
    client.end()?;
    client.comes(b"the last")?;
    client.expect_end()
}

fn nothing(server: &Running, hello: &[u8]) -> Outcome {
    let mut client = Client::connect(server, hello)?;
    client.end()?;
    client.expect_end()
}

fn bulk(server: &Running, hello: &[u8]) -> Outcome {
    // Hello and first bytes in one send.
    let mut client = Client::connect(server, &[hello, b"and"].concat())?;
    client.comes(b"and")?;
    let data = bytes(BULK);
    client.exchange(&data, &data)?;
    client.expect_end()
}

fn two(server: &Running, hello: &[u8]) -> Outcome {
    let mut ann = Client::connect(server, hello)?;
    let mut bob = Client::connect(server, hello)?;
    for _ in 0..50 {
        ann.send(b"this is Ann")?;
        bob.round(b"and this is Bob")?;
        ann.comes(b"this is Ann")?;
    }
    ann.end()?;
    ann.expect_end()?;
    bob.round(b"Bob is still there")
}

fn stalled(server: &Running, hello: &[u8]) -> Outcome {
    let before = server.memory()?;
    let mut stalled = Client::connect(server, hello)?;
    let sent = stalled.fill()?;
    server.has_not_grown(before)?;
    let mut other = Client::connect(server, hello)?;
    for _ in 0..50 {
        other.round(&bytes(1024))?;
    }
    // It reads at last, and nothing is missing.
    stalled.end()?;
    let pieces = Pieces::new(BLOCK);
    let mut place = 0;
    while place < sent {
        let expected = pieces.at(place, sent);
        let got = stalled.comes(expected);
        got.map_err(|why| format!("from byte {place} of {sent}: {why}"))?;
        place += expected.len() as u64;
    }
    stalled.expect_end()
}

fn vanished(server: &Running, hello: &[u8]) -> Outcome {
    let mut reset = Client::connect(server, hello)?;
    reset.fill()?;
    reset.reset()?;
    let mut early = Client::connect(server, hello)?;
    early.send(b"is not waited for")?;
    drop(early);
    Client::connect(server, hello)?.reset()?;
    Client::connect(server, hello)?.round(b"who is left?")
}
