//! Does the same happen everywhere? [`transcribe`] plays some lives of a connection and writes down what its two ends
//! heard, so that two kinds of transport can be compared.
//!
//! A line tells nothing that may differ from run to run: how bytes were cut is joined, there are no addresses, no times and no
//! sizes of buffers; an error is its kind.

use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

use millrun_transport::Watermarks;

use super::line::Line;
use super::probe::{Answer, Probe, Room};
use super::record::Event;
use super::stage::Stage;
use super::world::TransportWorld;
use crate::pattern::pattern;
use crate::report::{OrViolation, Step};
use crate::{Invariant, Violation};

/// What the two ends of one connection heard, line by line.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Transcript {
    /// Which life it was.
    pub scenario: &'static str,
    /// What happened.
    pub lines: Vec<String>,
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.scenario)?;
        self.lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// Plays each life in a fresh world, and gives what happened.
///
/// # Errors
/// When something that has to come does not: the transport does not keep the contract, and
/// [`check_transport`](crate::check_transport) tells more.
pub fn transcribe<W: TransportWorld>(
    mut make: impl FnMut() -> io::Result<W>,
) -> Result<Vec<Transcript>, Violation> {
    LIVES
        .iter()
        .map(|(scenario, life)| {
            let mut world = make().or_violation(Invariant::WorldIsMade, "a world")?;
            let mut stage = Stage::new(&mut world);
            stage.expect_reports();
            let mut notes = Notes::default();
            let lived = life(&mut stage, &mut notes).and_then(|()| stage.finish());
            lived.map_err(|violation| Violation { scenario, ..violation })?;
            Ok(Transcript { scenario, lines: notes.lines })
        })
        .collect()
}

type Life = fn(&mut Stage<'_>, &mut Notes) -> Step;

const LIVES: &[(&str, Life)] = &[
    ("question and answer, and an end from either side", answer),
    ("an end of file that is answered with a close", eof_closes),
    ("a close with much unsent", backlog),
    ("an abort with nothing unread", abort),
    ("an abort with bytes unread", abort_unread),
    ("a peer that leaves bytes unread", peer_unread),
    ("a peer that closes, and is written to", peer_gone),
    ("a peer that dies", peer_dies),
    ("a pause of reading, with an end behind it", paused),
    ("a protocol that refuses the bytes", refused),
    ("a failure by request", failed),
    ("a close that makes no progress", no_progress),
    ("a protocol that panics", panics),
];

/// What is written down.
#[derive(Default)]
struct Notes {
    lines: Vec<String>,
    told: usize,
    heard: usize,
}

impl Notes {
    fn say(&mut self, what: impl fmt::Display) {
        self.lines.push(what.to_string());
    }

    /// The callbacks since the last time: data joined, and of pauses and resumes the last.
    fn callbacks(&mut self, line: &Line) {
        let events = line.record.events();
        let mut joined: Vec<Event> = Vec::new();
        for event in &events[self.told..] {
            match (joined.last_mut(), event) {
                (Some(Event::Data(n)), Event::Data(more)) => *n += more,
                (Some(last @ (Event::Pause | Event::Resume)), Event::Pause | Event::Resume) => {
                    *last = event.clone();
                }
                _ => joined.push(event.clone()),
            }
        }
        self.told = events.len();
        for event in joined {
            match event {
                Event::Lost(Some((kind, _))) => self.say(format_args!("lost: {kind:?}")),
                event => self.say(format_args!("{event:?}")),
            }
        }
    }

    /// What the peer has received since the last time, in bytes and as an end.
    fn peer(&mut self, line: &Line) {
        let bytes = line.got.len() - self.heard;
        self.heard = line.got.len();
        if bytes > 0 {
            self.say(format_args!("peer: {bytes} bytes"));
        }
        self.peer_end(line);
    }

    fn peer_end(&mut self, line: &Line) {
        match line.peer_over() {
            None => {}
            Some(Ok(())) => self.say("peer: end"),
            Some(Err(kind)) => self.say(format_args!("peer: {kind:?}")),
        }
    }
}

const RULE: Invariant = Invariant::ResumedIsRead;

fn received(stage: &mut Stage<'_>, line: &Line, n: usize) -> Step {
    let record = line.record.clone();
    stage.until(line, RULE, &format!("{n} bytes"), || record.received_len() >= n)
}

/// Waits until it is over for the peer, in whichever way.
fn peer_is_over(stage: &mut Stage<'_>, line: &mut Line) -> Step {
    let record = line.record.clone();
    stage.until_of(&record, Invariant::LostAlways, "an end for the peer", || {
        line.peer_takes();
        line.peer_over().is_some()
    })
}

fn is_lost(stage: &mut Stage<'_>, notes: &mut Notes, line: &mut Line) -> Step {
    line.lost(stage)?;
    notes.callbacks(line);
    notes.say(match line.transport.close_outcome() {
        Some(millrun_transport::CloseOutcome::Flushed) => "outcome: flushed",
        Some(millrun_transport::CloseOutcome::Unsent(_)) => "outcome: bytes unsent",
        None => "outcome: none",
    });
    Ok(())
}

/// A probe that closes at the end of file.
fn closes_at_eof(probe: Probe) -> Probe {
    probe.on(|_, event| if *event == Event::Eof { Answer::Close } else { Answer::Well })
}

fn answer(stage: &mut Stage<'_>, notes: &mut Notes) -> Step {
    let mut line = stage.connect()?;
    let mut asked = 0;
    for (question, answer) in [(10, 2000), (70_000, 1), (1, 15_000)] {
        line.peer_sends(stage, &pattern(asked, question))?;
        asked += question;
        received(stage, &line, asked)?;
        notes.callbacks(&line);
        let flow = line.write(answer)?;
        notes.say(format_args!("write {answer}: {flow:?}"));
        line.peer_has_all(stage, RULE)?;
        notes.peer(&line);
    }
    line.peer.end();
    line.told(stage, Event::Eof, RULE)?;
    notes.callbacks(&line);
    line.write(500)?;
    line.call(|t| t.close());
    peer_is_over(stage, &mut line)?;
    notes.peer(&line);
    is_lost(stage, notes, &mut line)
}

fn eof_closes(stage: &mut Stage<'_>, notes: &mut Notes) -> Step {
    let mut line = stage.connect_with(closes_at_eof)?;
    line.write(1000)?;
    line.peer_sends(stage, &pattern(0, 5000))?;
    line.peer.end();
    peer_is_over(stage, &mut line)?;
    notes.peer(&line);
    is_lost(stage, notes, &mut line)
}

/// Sizes depend on what is below: only what was heard is told.
fn backlog(stage: &mut Stage<'_>, notes: &mut Notes) -> Step {
    let mut line = stage.connect()?;
    let limits = Watermarks { low: 0, high: 1000 };
    let answer = line.call(|t| t.set_write_buffer_limits(limits));
    answer.or_violation(Invariant::LimitsHold, "marks that are set")?;
    stage.fill(&mut line)?;
    let record = line.record.clone();
    stage.until(&line, Invariant::AboveHighPauses, "pause", || record.is_told_paused())?;
    notes.callbacks(&line);
    let flow = line.write(1)?;
    notes.say(format_args!("write 1: {flow:?}"));
    line.call(|t| t.close());
    let flow = line.call(|t| t.write(b"late"));
    notes.say(format_args!("write after close: {flow:?}"));
    line.peer_has_all(stage, Invariant::CloseFlushes)?;
    notes.say("peer: all of it");
    peer_is_over(stage, &mut line)?;
    notes.peer_end(&line);
    is_lost(stage, notes, &mut line)
}

fn abort(stage: &mut Stage<'_>, notes: &mut Notes) -> Step {
    let mut line = stage.connect()?;
    line.write(100)?;
    line.peer_has_all(stage, RULE)?;
    notes.peer(&line);
    line.call(|t| t.abort());
    is_lost(stage, notes, &mut line)?;
    peer_is_over(stage, &mut line)?;
    notes.peer(&line);
    Ok(())
}

/// One of the bytes can be read alone. All are sent in one piece, so the others lie unread as soon as it is there; else
/// nothing tells when they are, and a few turns have to do.
fn can_read_one(stage: &Stage<'_>) -> bool {
    stage.able.room && stage.able.pausing
}

fn abort_unread(stage: &mut Stage<'_>, notes: &mut Notes) -> Step {
    let mut line = stage.connect_with(|probe| {
        probe.room(|| Room::Shared(1)).on(|transport, event| {
            if let Event::Data(_) = event {
                transport.pause_reading();
            }
            Answer::Well
        })
    })?;
    notes.callbacks(&line);
    if can_read_one(stage) {
        line.peer_sends(stage, &pattern(0, 100))?;
        received(stage, &line, 1)?;
        // Those who can't read one alone tell the same: it is not written down.
        notes.told += 1;
    } else {
        line.call(|t| t.pause_reading());
        line.peer_sends(stage, &pattern(0, 100))?;
        stage.settle(&line)?;
    }
    line.call(|t| t.abort());
    is_lost(stage, notes, &mut line)?;
    peer_is_over(stage, &mut line)?;
    notes.peer(&line);
    Ok(())
}

fn peer_unread(stage: &mut Stage<'_>, notes: &mut Notes) -> Step {
    let mut line = stage.connect_with(closes_at_eof)?;
    line.write(100)?;
    if can_read_one(stage) {
        line.peer_has_one(stage, RULE)?;
    } else {
        stage.settle(&line)?;
    }
    line.peer.close();
    is_lost(stage, notes, &mut line)
}

/// The end of file is answered with more: sooner or later that fails.
fn peer_gone(stage: &mut Stage<'_>, notes: &mut Notes) -> Step {
    let mut line = stage.connect()?;
    line.peer.close();
    line.told(stage, Event::Eof, Invariant::EofIsTold)?;
    notes.callbacks(&line);
    for _ in 0..1000 {
        if line.record.is_lost() {
            break;
        }
        line.call(|t| t.write(b"is there anybody?"));
        // It leaves in one turn; in the next there is time for an answer.
        stage.turn(Duration::ZERO)?;
        stage.turn(Duration::from_millis(1))?;
    }
    line.lost(stage)?;
    notes.callbacks(&line);
    Ok(())
}

fn peer_dies(stage: &mut Stage<'_>, notes: &mut Notes) -> Step {
    let mut line = stage.connect_with(closes_at_eof)?;
    line.peer_sends(stage, &pattern(0, 5000))?;
    if !line.peer.reset() {
        notes.say("a peer that can't");
        return Ok(());
    }
    is_lost(stage, notes, &mut line)
}

fn paused(stage: &mut Stage<'_>, notes: &mut Notes) -> Step {
    let mut line = stage.connect()?;
    line.call(|t| t.pause_reading());
    line.peer_sends(stage, &pattern(0, 9000))?;
    line.peer.end();
    stage.settle(&line)?;
    notes.callbacks(&line);
    notes.say("resumed");
    line.call(|t| t.resume_reading());
    line.told(stage, Event::Eof, Invariant::EofIsTold)?;
    notes.callbacks(&line);
    line.call(|t| t.close());
    peer_is_over(stage, &mut line)?;
    notes.peer(&line);
    is_lost(stage, notes, &mut line)
}

fn refused(stage: &mut Stage<'_>, notes: &mut Notes) -> Step {
    let mut line = stage.connect_with(|probe| {
        probe.on(|_, event| match event {
            Event::Data(_) => Answer::Fail(ErrorKind::InvalidData.into()),
            _ => Answer::Well,
        })
    })?;
    line.peer_sends(stage, &pattern(0, 10))?;
    is_lost(stage, notes, &mut line)?;
    peer_is_over(stage, &mut line)?;
    notes.peer(&line);
    Ok(())
}

fn failed(stage: &mut Stage<'_>, notes: &mut Notes) -> Step {
    let mut line = stage.connect()?;
    line.call(|t| t.fail(ErrorKind::HostUnreachable.into()));
    is_lost(stage, notes, &mut line)
}

fn no_progress(stage: &mut Stage<'_>, notes: &mut Notes) -> Step {
    if !stage.able.close_timeout {
        notes.say("no time that can be set");
        return Ok(());
    }
    let mut line = stage.connect()?;
    stage.fill(&mut line)?;
    line.call(|t| t.set_close_timeout(Duration::from_millis(50)));
    line.call(|t| t.close());
    line.lost(stage)?;
    // Whether it was told to pause before that is a matter of sizes.
    notes.say(format_args!("{:?}", line.record.lost().flatten().map(|(kind, _)| kind)));
    Ok(())
}

fn panics(stage: &mut Stage<'_>, notes: &mut Notes) -> Step {
    if cfg!(panic = "abort") {
        notes.say("no panics that unwind");
        return Ok(());
    }
    let mut line = stage.connect_with(|probe| {
        probe.on(|_, event| {
            assert!(!matches!(event, Event::Data(_)), "as told");
            Answer::Well
        })
    })?;
    line.peer_sends(stage, &pattern(0, 10))?;
    is_lost(stage, notes, &mut line)?;
    peer_is_over(stage, &mut line)?;
    notes.peer(&line);
    Ok(())
}
