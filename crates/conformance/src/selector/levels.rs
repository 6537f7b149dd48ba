//! Is it level-triggered, whatever the kernel below is?

use std::io::ErrorKind;
use std::net::Shutdown;
use std::time::Duration;

use millrun_selector::{Interest, Readiness, SocketOption};

use crate::desk::{Desk, End, PASSED, Scenario, needs};
use crate::pattern::pattern;
use crate::report::{OrViolation, Outcome, Played, Step, ensure, ensure_eq};
use crate::{Invariant, Violation};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("a socket that is idle", idle),
    ("bytes that nobody reads", unread),
    ("a read of half of what there is", rest),
    ("a line at a time", lines),
    ("a full socket that gets room", room),
    ("the last words and the end, before the registration", |desk| end(desk, true)),
    ("the last words and the end, after the registration", |desk| end(desk, false)),
    ("a peer that is gone", gone),
    ("a reset", reset),
];

/// Reads once, into so much.
fn read(end: &End, most: usize) -> Step<usize> {
    end.socket.try_read(&mut vec![0; most]).or_violation(Invariant::SocketWorks, "bytes or an end")
}

/// A read that has to find nothing.
fn exhaust(end: &End) -> Step {
    match end.socket.try_read(&mut [0; 64]) {
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(()),
        other => {
            let got = format_args!("{other:?}");
            Err(Violation::new(Invariant::NothingToReadWouldBlock, "WouldBlock", got))
        }
    }
}

fn is_silent(desk: &mut Desk<'_>, end: &End, invariant: Invariant, when: &str) -> Step {
    let said = desk.look(end.key)?;
    ensure(said.is_none(), invariant, format_args!("silence {when}"), format_args!("{said:?}"))
}

fn idle(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    desk.want(ends.near.key, Interest::READ)?;
    exhaust(&ends.near)?;
    for _ in 0..2 {
        is_silent(desk, &ends.near, Invariant::IdleIsSilent, "of a reader that nothing came for")?;
    }
    PASSED
}

fn unread(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    desk.send(&ends.far, b"abcd")?;
    let near = ends.near.key;
    desk.want(near, Interest::READ)?;
    desk.wait(near, Readiness::is_readable, Invariant::NewBytesAreReported, "READABLE")?;
    for _ in 0..3 {
        let said = desk.look(near)?;
        let got = format_args!("{said:?}");
        ensure(said.is_readable(), Invariant::UnreadIsReportedAgain, "READABLE once more", got)?;
    }
    PASSED
}

fn rest(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    desk.send(&ends.far, b"abcd")?;
    let near = ends.near.key;
    desk.want(near, Interest::READ)?;
    desk.wait(near, Readiness::is_readable, Invariant::NewBytesAreReported, "READABLE")?;
    ensure_eq(Invariant::BytesInOrder, 2, read(&ends.near, 2)?)?;
    for _ in 0..2 {
        let said = desk.look(near)?;
        let got = format_args!("{said:?}");
        ensure(said.is_readable(), Invariant::RestIsReported, "READABLE: two bytes wait", got)?;
    }
    ensure_eq(Invariant::BytesInOrder, 2, read(&ends.near, 8)?)?;
    exhaust(&ends.near)?;
    is_silent(
        desk,
        &ends.near,
        Invariant::WouldBlockEndsTheReport,
        "after a read that would block",
    )?;
    PASSED
}

fn lines(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    let near = ends.near.key;
    desk.want(near, Interest::READ)?;
    for round in 0..4 {
        desk.send(&ends.far, b"line\n")?;
        let expected = "READABLE for each line";
        desk.wait(near, Readiness::is_readable, Invariant::NewBytesAreReported, expected)?;
        ensure_eq(Invariant::BytesInOrder, 5, read(&ends.near, 64)?)?;
        if round % 2 == 1 {
            exhaust(&ends.near)?;
            let when = "after a read that would block";
            is_silent(desk, &ends.near, Invariant::WouldBlockEndsTheReport, when)?;
        }
    }
    PASSED
}

fn room(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    let block = pattern(0, 1 << 20);
    let sent = desk.fill(&ends.near, |socket, _| socket.try_write(&block))?;
    is_silent(desk, &ends.near, Invariant::WouldBlockEndsTheReport, "of a writer that is full")?;
    desk.receive(&ends.far, sent, Invariant::BytesInOrder)?;
    desk.writable(&ends.near, Invariant::RoomIsReported, "WRITABLE: all was read")?;
    let more = ends.near.socket.try_write(b"more");
    more.or_violation(Invariant::RoomComesBack, "a write that is taken")?;
    PASSED
}

fn end(desk: &mut Desk<'_>, before: bool) -> Played {
    needs!(desk, half_close);
    let (near, far) = desk.pair()?;
    let early = if before { None } else { Some(desk.register(&near, Interest::READ)?) };
    let far = desk.end(far)?;
    desk.send(&far, b"last words")?;
    far.socket.shutdown(Shutdown::Write).or_violation(Invariant::SocketWorks, "a shutdown")?;
    let key = early.map_or_else(|| desk.register(&near, Interest::READ), Ok)?;
    let near = End { socket: near, key };
    let mut words = 0;
    while words < 10 {
        desk.wait(key, Readiness::is_readable, Invariant::NewBytesAreReported, "READABLE")?;
        match read(&near, 64)? {
            0 => {
                let got = format_args!("the end after {words} of 10 bytes");
                return Err(Violation::new(Invariant::EndAfterTheBytes, "the bytes first", got));
            }
            n => words += n,
        }
    }
    let expected = "a report: the end came with the last bytes";
    for _ in 0..2 {
        desk.wait(key, Readiness::is_readable, Invariant::EndIsReported, expected)?;
        ensure_eq(Invariant::EndAfterTheBytes, 0, read(&near, 64)?)?;
    }
    PASSED
}

fn gone(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    desk.close(ends.far)?;
    let key = ends.near.key;
    let expected = "READABLE: the peer is gone";
    desk.want(key, Interest::READ)?;
    for _ in 0..2 {
        desk.wait(key, Readiness::is_readable, Invariant::GonePeerIsReported, expected)?;
    }
    ensure_eq(Invariant::EndAfterTheBytes, 0, read(&ends.near, 8)?)?;
    PASSED
}

fn reset(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    let far = &ends.far.socket;
    if far.set_option(SocketOption::Linger(Some(Duration::ZERO))).is_err() {
        return Ok(Outcome::Skipped("needs SO_LINGER"));
    }
    // Full, so that a report to the writer can only be of the error.
    let block = pattern(0, 1 << 20);
    desk.fill(&ends.near, |socket, _| socket.try_write(&block))?;
    desk.close(ends.far)?;
    let key = ends.near.key;
    let invariant = Invariant::ErrorIsHeardEitherWay;
    desk.want(key, Interest::READ)?;
    desk.wait(key, Readiness::is_readable, invariant, "a report to the reader")?;
    desk.want(key, Interest::WRITE)?;
    desk.wait(key, Readiness::is_writable, invariant, "a report to the writer")?;
    PASSED
}
