//! How does a connection end, on either side?

use std::io::ErrorKind;
use std::net::Shutdown;

use crate::desk::{Desk, End, PASSED, Scenario, needs};
use crate::pattern::{is_pattern, pattern};
use crate::report::{OrViolation, Played, Step, ensure, ensure_eq};
use crate::{Invariant, Violation};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("a peer that ends its direction", half_close),
    ("a peer that closes", closes),
    ("writes to a peer that is gone", writes_to_nobody),
    ("a peer that leaves bytes unread", unread),
];

/// Reads what was sent and then the end, twice.
fn read_to_the_end(desk: &mut Desk<'_>, end: &End, n: usize) -> Step {
    let invariant = Invariant::EndAfterTheBytes;
    let got = desk.receive(end, n + 1, invariant)?;
    is_pattern(&got, n, invariant)?;
    for _ in 0..2 {
        let read = end.socket.try_read(&mut [0; 8]).map_err(|e| e.kind());
        ensure_eq(invariant, Ok(0), read)?;
    }
    Ok(())
}

fn half_close(desk: &mut Desk<'_>) -> Played {
    needs!(desk, half_close);
    let ends = desk.ends()?;
    desk.send(&ends.far, &pattern(0, 5000))?;
    ends.far.socket.shutdown(Shutdown::Write).or_violation(Invariant::HalfClose, "a shutdown")?;
    let written = ends.far.socket.try_write(b"x").map_err(|e| e.kind());
    let is_refused = matches!(written, Err(kind) if kind != ErrorKind::WouldBlock);
    let got = format_args!("{written:?}");
    ensure(is_refused, Invariant::WriteAfterShutdownFails, "an error, not WouldBlock", got)?;
    read_to_the_end(desk, &ends.near, 5000)?;
    let taken = ends.near.socket.try_write(&pattern(0, 3000)).map_err(|e| e.kind());
    ensure_eq(Invariant::HalfClose, Ok(3000), taken)?;
    let back = desk.receive(&ends.far, 3000, Invariant::HalfClose)?;
    is_pattern(&back, 3000, Invariant::HalfClose)?;
    ends.near.socket.shutdown(Shutdown::Write).or_violation(Invariant::HalfClose, "a shutdown")?;
    read_to_the_end(desk, &ends.far, 0)?;
    PASSED
}

fn closes(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    desk.send(&ends.far, &pattern(0, 5000))?;
    desk.close(ends.far)?;
    read_to_the_end(desk, &ends.near, 5000)?;
    PASSED
}

fn writes_to_nobody(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    desk.close(ends.far)?;
    // TCP learns of it by the answer to the first write.
    let expected = "an error within 1000 writes";
    for _ in 0..1000 {
        match ends.near.socket.try_write(b"x") {
            Ok(_) => {
                desk.select(std::time::Duration::from_millis(1))?;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                desk.writable(&ends.near, Invariant::GonePeerFailsWrites, expected)?;
            }
            Err(_) => return PASSED,
        }
    }
    Err(Violation::new(Invariant::GonePeerFailsWrites, expected, "none"))
}

fn unread(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    let invariant = Invariant::UnreadAtCloseIsAnEnd;
    desk.send(&ends.near, b"never read")?;
    desk.readable(&ends.far, Invariant::NewBytesAreReported, "READABLE")?;
    desk.close(ends.far)?;
    for _ in 0..3 {
        desk.readable(&ends.near, invariant, "a report: the connection is over")?;
        match ends.near.socket.try_read(&mut [0; 8]) {
            Ok(0) => return PASSED,
            Ok(n) => {
                return Err(Violation::new(invariant, "no bytes", format_args!("{n} bytes")));
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return PASSED,
        }
    }
    Err(Violation::new(invariant, "an error or an end of file", "WouldBlock, three times"))
}
