//! What if the peer does not read, and what does the readiness cell say of it?

use std::io::ErrorKind;

use millrun_selector::Readiness;

use crate::Invariant;
use crate::desk::{Desk, PASSED, Scenario};
use crate::pattern::{is_pattern, pattern};
use crate::report::{Outcome, Played, Step, ensure, ensure_eq};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("a peer that does not read, and then does", full),
    ("one direction full, the other one used", independent),
    ("the readiness cell", cell),
];

fn full(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    for _ in 0..2 {
        let sent =
            desk.fill(&ends.near, |socket, sent| socket.try_write(&pattern(sent, 10_007)))?;
        let got = desk.receive(&ends.far, sent, Invariant::WriteCountIsTrue)?;
        is_pattern(&got, sent, Invariant::WriteCountIsTrue)?;
        let more = ends.far.socket.try_read(&mut [0; 8]).map_err(|e| e.kind());
        ensure_eq(Invariant::WriteCountIsTrue, Err(ErrorKind::WouldBlock), more)?;
        desk.writable(&ends.near, Invariant::RoomIsReported, "WRITABLE: all was read")?;
        let taken = ends.near.socket.try_write(b"more").map_err(|e| e.kind());
        ensure_eq(Invariant::RoomComesBack, Ok(4), taken)?;
        desk.receive(&ends.far, 4, Invariant::RoomComesBack)?;
    }
    PASSED
}

fn independent(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    let sent = desk.fill(&ends.near, |socket, sent| socket.try_write(&pattern(sent, 65_536)))?;
    for from in [0, 1000, 2000] {
        let bytes = pattern(from, 1000);
        let taken = ends.far.socket.try_write(&bytes).map_err(|e| e.kind());
        ensure_eq(Invariant::DirectionsAreIndependent, Ok(1000), taken)?;
    }
    let back = desk.receive(&ends.near, 3000, Invariant::DirectionsAreIndependent)?;
    is_pattern(&back, 3000, Invariant::DirectionsAreIndependent)?;
    let got = desk.receive(&ends.far, sent, Invariant::WriteCountIsTrue)?;
    is_pattern(&got, sent, Invariant::WriteCountIsTrue)?;
    PASSED
}

fn cell(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    let Some(cell) = ends.near.socket.readiness().cloned() else {
        return Ok(Outcome::Skipped("needs a readiness cell"));
    };
    let is_cleared = |bit: Readiness, why: &str| -> Step {
        let got = format_args!("{:?}", cell.get());
        let expected = format_args!("no {bit:?} {why}");
        ensure(!cell.get().contains(bit), Invariant::CellForgets, expected, got)
    };
    desk.send(&ends.far, b"abc")?;
    desk.readable(&ends.near, Invariant::NewBytesAreReported, "READABLE")?;
    desk.receive(&ends.near, 3, Invariant::BytesInOrder)?;
    let read = ends.near.socket.try_read(&mut [0; 8]).map_err(|e| e.kind());
    ensure_eq(Invariant::NothingToReadWouldBlock, Err(ErrorKind::WouldBlock), read)?;
    is_cleared(Readiness::READABLE, "after a read that would block")?;
    desk.fill(&ends.near, |socket, _| socket.try_write(&[7; 65_536]))?;
    is_cleared(Readiness::WRITABLE, "after a write that would block")?;
    PASSED
}
