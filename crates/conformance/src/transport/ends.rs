//! Does `connection_lost` come after each end, once, and with the reason?

use std::io::{self, ErrorKind};

use millrun_transport::Transport;

use super::line::Line;
use super::probe::{Answer, Room};
use super::record::Event;
use super::stage::{PASSED, Scenario, Stage, able};
use crate::Invariant;
use crate::pattern::pattern;
use crate::report::{Played, ensure, ensure_eq};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("a close, an abort, a failure", each_end),
    ("an end after an end", second_end),
    ("an end before it is made", early_end),
    ("a protocol that can't take the bytes", refused),
    ("a protocol that can't say where the bytes shall land", no_landing),
    ("a loop that closes", loop_closes),
];

fn other(text: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, text)
}

type End = fn(&dyn Transport);

fn each_end(stage: &mut Stage<'_>) -> Played {
    let ends: [(End, Option<&str>); 3] = [
        (|t| t.close(), None),
        (|t| t.abort(), None),
        (|t| t.fail(other("as told")), Some("as told")),
    ];
    for (end, text) in ends {
        let mut line = stage.connect()?;
        let error = |line: &Line| line.call(|t| t.error()).map(|e| e.to_string());
        ensure_eq(Invariant::ErrorIsTold, None, error(&line))?;
        line.call(|t| {
            end(t);
            end(t);
        });
        let told = error(&line);
        let right = told.is_none() || told.as_deref() == text;
        let expected = format_args!("{text:?}, or None");
        ensure(right, Invariant::ErrorIsTold, expected, format_args!("{told:?}"))?;
        ensure_eq(Invariant::ClosingIsTold, true, line.transport.is_closing())?;
        let lost = line.lost(stage)?;
        ensure_eq(Invariant::ErrorIsTold, None, error(&line))?;
        ensure_eq(Invariant::LostTellsWhy, text, lost.as_ref().map(|(_, text)| text.as_str()))?;
        let kind = text.map(|_| ErrorKind::InvalidData);
        ensure_eq(Invariant::LostTellsWhy, kind, lost.as_ref().map(|(kind, _)| *kind))?;
        stage.settle(&line)?;
    }
    PASSED
}

fn second_end(stage: &mut Stage<'_>) -> Played {
    // A close that waits for the peer is no end yet.
    let too_late = (!stage.able.lone_close).then_some("too late");
    let ends: [(End, Option<&str>); 4] = [
        (
            |t| {
                t.abort();
                t.fail(other("too late"));
            },
            None,
        ),
        (
            |t| {
                t.fail(other("first"));
                t.fail(other("too late"));
            },
            Some("first"),
        ),
        (
            |t| {
                t.fail(other("first"));
                t.abort();
                t.close();
            },
            Some("first"),
        ),
        (
            |t| {
                t.close();
                t.fail(other("too late"));
                t.close();
            },
            too_late,
        ),
    ];
    for (end, text) in ends {
        let mut line = stage.connect()?;
        line.call(end);
        let error = line.lost(stage)?.map(|(_, text)| text);
        ensure_eq(Invariant::FirstEndWins, text, error.as_deref())?;
    }
    PASSED
}

/// Whoever never heard of a connection need not hear of its end; but it ends, and in order.
fn early_end(stage: &mut Stage<'_>) -> Played {
    let ends: [End; 2] = [|t| t.abort(), |t| t.close()];
    for end in ends {
        let record = stage.record();
        let line = stage.attach(&record, super::probe::Probe::new(&record))?;
        line.call(end);
        let is_over = || record.is_lost() || !record.is_made() && record.probes.get() == 0;
        stage.until(&line, Invariant::LostAlways, "made and lost, or neither", is_over)?;
    }
    PASSED
}

fn refused(stage: &mut Stage<'_>) -> Played {
    stage.expect_reports();
    for own in [false, true] {
        let mut line = stage.connect_with(|probe| {
            let probe = probe.on(|_, event| match event {
                Event::Data(_) => Answer::Fail(other("indigestible")),
                _ => Answer::Well,
            });
            if own { probe.room(|| Room::Own(64)) } else { probe }
        })?;
        line.peer_sends(stage, &pattern(0, 50))?;
        let record = line.record.clone();
        let rule = Invariant::RefusedBytesEndIt;
        stage.until(&line, rule, "an end: the protocol failed", || record.is_lost())?;
        let error = line.record.lost().flatten();
        ensure_eq(rule, Some((ErrorKind::InvalidData, "indigestible".to_owned())), error)?;
    }
    PASSED
}

fn no_landing(stage: &mut Stage<'_>) -> Played {
    able!(stage, room);
    stage.expect_reports();
    let mut line =
        stage.connect_with(|probe| probe.room(|| Room::Failed(other("nowhere to land"))))?;
    let rule = Invariant::FailedLandingEndsIt;
    line.peer_speaks(stage, rule)?;
    let record = line.record.clone();
    stage.until(&line, rule, "an end: the protocol failed", || record.is_lost())?;
    let error = line.record.lost().flatten();
    ensure_eq(rule, Some((ErrorKind::InvalidData, "nowhere to land".to_owned())), error)?;
    ensure_eq(rule, 0, line.record.received_len())?;
    PASSED
}

fn loop_closes(stage: &mut Stage<'_>) -> Played {
    able!(stage, loop_close);
    let idle = stage.connect()?;
    let mut busy = stage.connect()?;
    stage.fill(&mut busy)?;
    let closing = stage.connect()?;
    closing.call(|t| t.close());
    // Bytes wait for one that will not ask for them any more.
    let mut unread = stage.connect_with(|probe| {
        probe.on(|transport, event| {
            if let Event::Data(_) = event {
                transport.pause_reading();
            }
            Answer::Well
        })
    })?;
    unread.peer_sends(stage, &pattern(0, stage.heap()))?;
    stage.settle(&unread)?;
    stage.close_loop();
    for line in [&idle, &busy, &closing, &unread] {
        line.record.violation()?;
        ensure_eq(Invariant::LoopCloseTellsEach, true, line.record.is_lost())?;
    }
    PASSED
}
