//! Do the callbacks come in their order, with the bytes as they were sent?

use super::probe::{Answer, Probe};
use super::record::Event;
use super::stage::{PASSED, Scenario, Stage};
use crate::Invariant;
use crate::pattern::{is_pattern, pattern};
use crate::report::{Outcome, Played, ensure, ensure_eq};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("bytes and an end that are there before it is made", before_it_is_made),
    ("pieces of all sizes", pieces),
    ("the last words and the end at once", last_words),
    ("an end of file that is answered with a close", eof_closes),
    ("a peer that closes", peer_closes),
    ("a peer that dies", peer_dies),
];

fn before_it_is_made(stage: &mut Stage<'_>) -> Played {
    let record = stage.record();
    let mut line = stage.attach(&record, Probe::new(&record))?;
    let early = record.events();
    let got = format_args!("{early:?}");
    ensure(early.is_empty(), Invariant::MadeFirst, "no callback from inside attaching", got)?;
    line.peer_sends(stage, &pattern(0, 5000))?;
    line.peer.end();
    line.told(stage, Event::Eof, Invariant::EofIsTold)?;
    ensure_eq(Invariant::MadeFirst, Some(&Event::Made), record.events().first())?;
    is_pattern(&record.received(), 5000, Invariant::BytesBeforeEof)?;
    PASSED
}

fn pieces(stage: &mut Stage<'_>) -> Played {
    let mut line = stage.connect()?;
    let mut sent = 0;
    for size in [1, 2, 3, 250, 1000, 4095, 4096, 4097, 65_535, 65_536, 300_000, 7] {
        line.peer_sends(stage, &pattern(sent, size))?;
        sent += size;
        let record = line.record.clone();
        let expected = format!("{sent} bytes");
        stage.until(&line, Invariant::BytesAreTrue, &expected, || record.received_len() >= sent)?;
    }
    is_pattern(&line.record.received(), sent, Invariant::BytesAreTrue)?;
    PASSED
}

fn last_words(stage: &mut Stage<'_>) -> Played {
    let mut line = stage.connect()?;
    stage.settle(&line)?;
    line.peer_sends(stage, &pattern(0, 1234))?;
    line.peer.end();
    line.told(stage, Event::Eof, Invariant::EofIsTold)?;
    is_pattern(&line.record.received(), 1234, Invariant::BytesBeforeEof)?;
    // No second one, however often the loop turns.
    stage.settle(&line)?;
    if stage.able.half_close {
        let closing = line.transport.is_closing();
        ensure_eq(Invariant::EofKeepsWriting, false, closing)?;
        line.write(100)?;
        line.peer_has_all(stage, Invariant::EofKeepsWriting)?;
    }
    line.call(|t| t.close());
    line.lost_in_peace(stage)?;
    PASSED
}

fn eof_closes(stage: &mut Stage<'_>) -> Played {
    let mut line = stage.connect_with(|probe| {
        probe.on(|transport, event| match event {
            Event::Eof => {
                transport.write(&pattern(0, 300));
                Answer::Close
            }
            _ => Answer::Well,
        })
    })?;
    line.peer_sends(stage, b"x")?;
    line.peer.end();
    line.told(stage, Event::Eof, Invariant::EofIsTold)?;
    line.lost_to_a_reader(stage, Invariant::EofCloses)?;
    ensure_eq(Invariant::LostTellsWhy, Some(None), line.record.lost())?;
    if stage.able.half_close {
        line.sent = 300;
        line.peer_has_all(stage, Invariant::EofCloses)?;
        line.peer_sees_the_end(stage, Invariant::EofCloses)?;
    }
    PASSED
}

fn peer_closes(stage: &mut Stage<'_>) -> Played {
    let mut line = stage.connect_with(|probe| {
        probe.on(|_, event| if *event == Event::Eof { Answer::Close } else { Answer::Well })
    })?;
    line.peer_sends(stage, &pattern(0, 70_000))?;
    line.peer.close();
    line.lost_in_peace(stage)?;
    is_pattern(&line.record.received(), 70_000, Invariant::BytesBeforeEof)?;
    ensure(line.record.has(&Event::Eof), Invariant::EofIsTold, "eof before lost", "none")?;
    PASSED
}

fn peer_dies(stage: &mut Stage<'_>) -> Played {
    let mut line = stage.connect_with(|probe| {
        probe.on(|_, event| if *event == Event::Eof { Answer::Close } else { Answer::Well })
    })?;
    line.peer_sends(stage, &pattern(0, 5000))?;
    if !line.peer.reset() {
        return Ok(Outcome::Skipped("needs a peer that can die"));
    }
    line.lost(stage)?;
    is_pattern(&line.record.received(), 5000, Invariant::BytesBeforeError)?;
    PASSED
}
