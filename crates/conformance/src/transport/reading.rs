//! Is reading silent while it is paused, and bounded by the room?

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;

use super::line::Line;
use super::probe::{Answer, Probe, Room};
use super::record::Event;
use super::stage::{PASSED, Scenario, Stage, TOO_MUCH, able};
use crate::Invariant;
use crate::pattern::{is_pattern, pattern};
use crate::report::{Played, Step, ensure, ensure_eq};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("a pause from outside", paused),
    ("a pause in connection_made", paused_when_made),
    ("a pause in data_received", paused_in_data),
    ("an end of file while paused", end_while_paused),
    ("a peer that floods a paused reader", flooded),
    ("rooms of all sizes", rooms),
    ("no room, and then some", |stage| no_room(stage, || Room::Shared(0))),
    ("no memory, and then some", |stage| no_room(stage, || Room::Own(0))),
];

/// Waits until so much was received.
fn received(stage: &mut Stage<'_>, line: &Line, n: usize, rule: Invariant) -> Step {
    let record = line.record.clone();
    stage.until(line, rule, &format!("{n} bytes"), || record.received_len() >= n)?;
    is_pattern(&record.received(), n, Invariant::BytesAreTrue)
}

fn reading(line: &Line, expected: bool) -> Step {
    ensure_eq(Invariant::ReadingIsTold, expected, line.transport.is_reading())
}

fn paused(stage: &mut Stage<'_>) -> Played {
    able!(stage, pausing);
    let mut line = stage.connect()?;
    reading(&line, true)?;
    let mut sent = 0;
    for times in [1, 2] {
        for _ in 0..times {
            line.call(|t| t.pause_reading());
        }
        line.record.forbid(Some(Invariant::PausedIsSilent));
        reading(&line, false)?;
        line.peer_sends(stage, &pattern(sent, 1000))?;
        sent += 1000;
        stage.settle(&line)?;
        line.record.forbid(None);
        for _ in 0..times {
            line.call(|t| t.resume_reading());
        }
        reading(&line, true)?;
        received(stage, &line, sent, Invariant::ResumedIsRead)?;
    }
    PASSED
}

fn paused_when_made(stage: &mut Stage<'_>) -> Played {
    able!(stage, pausing);
    let record = stage.record();
    record.forbid(Some(Invariant::PausedIsSilent));
    let probe = Probe::new(&record).on(|transport, event| {
        if *event == Event::Made {
            transport.pause_reading();
        }
        Answer::Well
    });
    let mut line = stage.attach(&record, probe)?;
    line.peer_sends(stage, &pattern(0, 100))?;
    line.told(stage, Event::Made, Invariant::MadeFirst)?;
    stage.settle(&line)?;
    reading(&line, false)?;
    record.forbid(None);
    line.call(|t| t.resume_reading());
    received(stage, &line, 100, Invariant::ResumedIsRead)?;
    PASSED
}

fn paused_in_data(stage: &mut Stage<'_>) -> Played {
    able!(stage, pausing);
    let record = stage.record();
    let seen = record.clone();
    let probe = Probe::new(&record).on(move |transport, event| {
        if let Event::Data(_) = event {
            transport.pause_reading();
            seen.forbid(Some(Invariant::PausedIsSilent));
        }
        Answer::Well
    });
    let probe = probe.room(|| Room::Shared(50));
    let mut line = stage.attach(&record, probe)?;
    line.peer_sends(stage, &pattern(0, 300))?;
    let mut before = 0;
    while before < 300 {
        let more = || record.received_len() > before;
        stage.until(&line, Invariant::ResumedIsRead, "bytes after each resume", more)?;
        before = record.received_len();
        stage.settle(&line)?;
        record.forbid(None);
        line.call(|t| t.resume_reading());
    }
    is_pattern(&record.received(), 300, Invariant::BytesAreTrue)?;
    PASSED
}

fn end_while_paused(stage: &mut Stage<'_>) -> Played {
    able!(stage, pausing);
    for bytes in [0, 500] {
        let mut line = stage.connect()?;
        line.call(|t| t.pause_reading());
        line.record.forbid(Some(Invariant::PausedIsSilent));
        line.peer_sends(stage, &pattern(0, bytes))?;
        line.peer.end();
        stage.settle(&line)?;
        ensure_eq(Invariant::PausedIsSilent, false, line.record.is_lost())?;
        line.record.forbid(None);
        line.call(|t| t.resume_reading());
        line.told(stage, Event::Eof, Invariant::EofIsTold)?;
        is_pattern(&line.record.received(), bytes, Invariant::BytesBeforeEof)?;
    }
    PASSED
}

fn flooded(stage: &mut Stage<'_>) -> Played {
    able!(stage, pausing);
    let line = stage.connect()?;
    line.call(|t| t.pause_reading());
    line.record.forbid(Some(Invariant::PausedIsSilent));
    let (mut sent, mut refused) = (0, 0);
    // Refused for a while: what is under way has arrived.
    while refused < 5 {
        match line.peer.send(&pattern(sent, 60_000)) {
            Ok(n) => (sent, refused) = (sent + n, 0),
            Err(e) if e.kind() == ErrorKind::WouldBlock => refused += 1,
            Err(e) => ensure(false, Invariant::PauseReachesThePeer, "WouldBlock", e)?,
        }
        stage.turn(std::time::Duration::from_millis(u64::from(refused > 0)))?;
        let expected = "a peer that is refused within 64 MiB";
        ensure(sent < TOO_MUCH, Invariant::PauseReachesThePeer, expected, sent)?;
    }
    line.record.violation()?;
    line.record.forbid(None);
    line.call(|t| t.resume_reading());
    received(stage, &line, sent, Invariant::ResumedIsRead)?;
    PASSED
}

/// The probe itself looks at how much comes.
fn rooms(stage: &mut Stage<'_>) -> Played {
    for own in [false, true] {
        let record = stage.record();
        let mut sizes = [1, 7, 100, 4096, 5000, 100_000].into_iter().cycle();
        let probe = Probe::new(&record).room(move || {
            let size = sizes.next().unwrap_or(1);
            if own { Room::Own(size) } else { Room::Shared(size) }
        });
        let mut line = stage.attach(&record, probe)?;
        line.peer_sends(stage, &pattern(0, 40_000))?;
        received(stage, &line, 40_000, Invariant::ResumedIsRead)?;
        line.peer.end();
        line.told(stage, Event::Eof, Invariant::EofIsTold)?;
    }
    PASSED
}

fn no_room(stage: &mut Stage<'_>, none: fn() -> Room) -> Played {
    able!(stage, pausing);
    able!(stage, room);
    let record = stage.record();
    let has_room = Rc::new(Cell::new(false));
    let asked = has_room.clone();
    let probe =
        Probe::new(&record).room(move || if asked.get() { Room::Shared(64) } else { none() });
    let mut line = stage.attach(&record, probe)?;
    record.forbid(Some(Invariant::NoRoomPauses));
    line.peer_sends(stage, &pattern(0, 200))?;
    stage.settle(&line)?;
    stage.settle(&line)?;
    let times = record.landings.get();
    let expected = "to be asked once, until reading is resumed";
    ensure(times <= 2, Invariant::NoRoomPauses, expected, format_args!("{times} times"))?;
    if times > 0 {
        ensure_eq(Invariant::NoRoomPauses, false, line.transport.is_reading())?;
    }
    has_room.set(true);
    stage.settle(&line)?;
    record.forbid(None);
    line.call(|t| t.resume_reading());
    received(stage, &line, 200, Invariant::ResumedIsRead)?;
    PASSED
}
