//! Do bytes arrive as they were sent, and as many as were counted?

use std::io::{ErrorKind, IoSlice};

use millrun_selector::{MAX_SLICES, SocketOption, SocketOptionName};

use crate::Invariant;
use crate::desk::{Desk, End, PASSED, Scenario, needs};
use crate::pattern::{is_pattern, pattern};
use crate::report::{OrViolation, Played, Step, ensure, ensure_eq};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("a silent connection", silent),
    ("pieces of all sizes, both ways", both_ways),
    ("vectored writes", vectored),
    ("more pieces than are looked at", many_pieces),
    ("reads into nothing, writes of nothing", nothing),
    ("the names of the ends", names),
    ("options", options),
];

fn silent(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    for end in [&ends.near, &ends.far] {
        let read = end.socket.try_read(&mut [0; 8]).map_err(|e| e.kind());
        let invariant = Invariant::NothingToReadWouldBlock;
        ensure_eq(invariant, Err(ErrorKind::WouldBlock), read)?;
        let pending = end.socket.take_error();
        let pending = pending.or_violation(Invariant::HealthyHasNoError, "an answer")?;
        let got = format_args!("{pending:?}");
        ensure(pending.is_none(), Invariant::HealthyHasNoError, "no pending error", got)?;
    }
    PASSED
}

/// Sizes of which most are no power of two.
const SIZES: &[usize] = &[1, 2, 3, 7, 64, 251, 1000, 4096, 4099, 65_537];

fn both_ways(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    let mut sent = 0;
    let mut got = [Vec::new(), Vec::new()];
    for size in SIZES.iter().chain(SIZES.iter().rev()) {
        let bytes = pattern(sent, *size);
        exchange(desk, &ends.near, &ends.far, &bytes, &mut got[0])?;
        exchange(desk, &ends.far, &ends.near, &bytes, &mut got[1])?;
        sent += size;
    }
    for got in &got {
        is_pattern(got, sent, Invariant::BytesInOrder)?;
    }
    PASSED
}

/// Sends all of it, and receives all that was taken each time.
fn exchange(
    desk: &mut Desk<'_>,
    from: &End,
    to: &End,
    mut bytes: &[u8],
    got: &mut Vec<u8>,
) -> Step {
    while !bytes.is_empty() {
        let n = desk.send_some(from, bytes)?;
        bytes = &bytes[n..];
        got.extend(desk.receive(to, n, Invariant::BytesInOrder)?);
    }
    Ok(())
}

/// Pieces of uneven sizes, some of them empty, until the socket is full: partial counts of all kinds.
fn vectored(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    for round in 0..3 {
        let sent = desk.fill(&ends.near, |socket, sent| {
            let bytes = pattern(sent, 3 * 4099 + round);
            let (first, rest) = bytes.split_at(1);
            let (second, third) = rest.split_at(4099);
            socket.try_write_vectored(&[first, &[], second, third, &[]].map(IoSlice::new))
        })?;
        let got = desk.receive(&ends.far, sent, Invariant::VectoredInOrder)?;
        is_pattern(&got, sent, Invariant::VectoredInOrder)?;
    }
    // Nothing but what was counted.
    let more = ends.far.socket.try_read(&mut [0; 8]).map_err(|e| e.kind());
    ensure_eq(Invariant::VectoredInOrder, Err(ErrorKind::WouldBlock), more)?;
    PASSED
}

fn many_pieces(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    let bytes = pattern(0, MAX_SLICES + 500);
    let pieces: Vec<IoSlice<'_>> = bytes.chunks(1).map(IoSlice::new).collect();
    let taken = ends.near.socket.try_write_vectored(&pieces);
    let invariant = Invariant::ManyPiecesAreTaken;
    let taken = taken.or_violation(invariant, "the first pieces are taken")?;
    let is_some = (1..=bytes.len()).contains(&taken);
    ensure(is_some, invariant, format_args!("1 to {} bytes", bytes.len()), taken)?;
    let got = desk.receive(&ends.far, taken, invariant)?;
    is_pattern(&got, taken, invariant)?;
    PASSED
}

fn nothing(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    let written = ends.near.socket.try_write(&[]).map_err(|e| e.kind());
    ensure_eq(Invariant::EmptyWriteIsNothing, Ok(0), written)?;
    let written = ends.near.socket.try_write_vectored(&[IoSlice::new(&[])]);
    ensure_eq(Invariant::EmptyWriteIsNothing, Ok(0), written.map_err(|e| e.kind()))?;
    let read = ends.far.socket.try_read(&mut [0; 8]).map_err(|e| e.kind());
    ensure_eq(Invariant::EmptyWriteIsNothing, Err(ErrorKind::WouldBlock), read)?;
    desk.send(&ends.near, b"abc")?;
    desk.readable(&ends.far, Invariant::NewBytesAreReported, "READABLE")?;
    for _ in 0..2 {
        let read = ends.far.socket.try_read(&mut []).map_err(|e| e.kind());
        ensure_eq(Invariant::EmptyReadIsNotTheEnd, Ok(0), read)?;
    }
    let got = desk.receive(&ends.far, 3, Invariant::EmptyReadIsNotTheEnd)?;
    ensure_eq(Invariant::EmptyReadIsNotTheEnd, b"abc".to_vec(), got)?;
    PASSED
}

fn names(desk: &mut Desk<'_>) -> Played {
    needs!(desk, addresses);
    let ends = desk.ends()?;
    let invariant = Invariant::AddressesAgree;
    for (one, other) in [(&ends.near, &ends.far), (&ends.far, &ends.near)] {
        let local = one.socket.local_addr().or_violation(invariant, "an address")?;
        let peer = other.socket.peer_addr().or_violation(invariant, "a peer's address")?;
        ensure_eq(invariant, local, peer)?;
    }
    PASSED
}

/// What is set is told again; sizes may be rounded by the kernel, and are only asked for.
fn options(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    let socket = &ends.near.socket;
    let invariant = Invariant::OptionsHold;
    for (name, option, is_exact) in [
        (SocketOptionName::NoDelay, SocketOption::NoDelay(false), true),
        (SocketOptionName::NoDelay, SocketOption::NoDelay(true), true),
        (SocketOptionName::KeepAlive, SocketOption::KeepAlive(true), true),
        (SocketOptionName::KeepAlive, SocketOption::KeepAlive(false), true),
        (SocketOptionName::SendBuffer, SocketOption::SendBuffer(64 << 10), false),
        (SocketOptionName::ReceiveBuffer, SocketOption::ReceiveBuffer(64 << 10), false),
    ] {
        let answer = socket.set_option(option).and_then(|()| socket.option(name));
        let is_kept = match &answer {
            Ok(kept) if is_exact => *kept == option,
            Ok(kept) => std::mem::discriminant(kept) == std::mem::discriminant(&option),
            Err(error) => error.kind() == ErrorKind::Unsupported,
        };
        let expected = format_args!("{option:?}, or Unsupported");
        ensure(is_kept, invariant, expected, format_args!("{answer:?}"))?;
    }
    PASSED
}
