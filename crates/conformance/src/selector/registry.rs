//! Are interests masks, and keys names?

use std::io::{self, ErrorKind};
use std::time::Duration;

use millrun_selector::{Event, Interest, Key, Readiness};

use crate::desk::{Desk, End, Ends, PASSED, Scenario};
use crate::report::{OrViolation, Outcome, Played, Step, ensure, ensure_eq};
use crate::{Invariant, Violation};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("interests that change", interests),
    ("both directions at once", both),
    ("events behind others", appended),
    ("many at a time", many),
    ("a key that is gone", gone_key),
    ("a key that is gone, and its successor", successor),
    ("leaving and coming back", again),
    ("one that is always ready", hot),
    ("a foreign source", foreign),
];

fn readable(desk: &mut Desk<'_>, key: Key) -> Step {
    let invariant = Invariant::NewBytesAreReported;
    desk.wait(key, Readiness::is_readable, invariant, "READABLE").map(drop)
}

fn interests(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    let key = ends.near.key;
    desk.send(&ends.far, b"x")?;
    let wanted = Invariant::OnlyTheWantedIsReported;
    for round in 0..2 {
        desk.want(key, Interest::READ)?;
        let came =
            if round == 0 { Invariant::NewBytesAreReported } else { Invariant::ResumedIsReported };
        let said = desk.wait(key, Readiness::is_readable, came, "READABLE: a byte waits")?;
        ensure(!said.is_writable(), wanted, "READABLE alone", format_args!("{said:?}"))?;
        desk.want(key, Interest::WRITE)?;
        let said =
            desk.wait(key, Readiness::is_writable, Invariant::ResumedIsReported, "WRITABLE")?;
        ensure(!said.is_readable(), wanted, "WRITABLE alone", format_args!("{said:?}"))?;
        desk.want(key, Interest::NONE)?;
        let said = desk.look(key)?;
        ensure(said.is_none(), wanted, "silence: nothing is wanted", format_args!("{said:?}"))?;
    }
    // Exhausted, silent, and filled again meanwhile.
    ends.near.socket.try_read(&mut [0; 8]).or_violation(Invariant::SocketWorks, "a byte")?;
    desk.send(&ends.far, b"while it was not wanted")?;
    desk.select(Duration::ZERO)?;
    desk.want(key, Interest::READ)?;
    let expected = "READABLE: bytes came meanwhile";
    desk.wait(key, Readiness::is_readable, Invariant::ResumedIsReported, expected)?;
    PASSED
}

fn both(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    let key = ends.near.key;
    desk.send(&ends.far, b"x")?;
    desk.want(key, Interest::READ)?;
    readable(desk, key)?;
    desk.want(key, Interest::BOTH)?;
    // Two events of the key would be a violation by themselves: `select` looks at that.
    let is_both = |said: Readiness| said.is_readable() && said.is_writable();
    desk.wait(key, is_both, Invariant::OneEventPerKey, "READABLE|WRITABLE in one event")?;
    PASSED
}

fn appended(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    desk.send(&ends.far, b"x")?;
    desk.want(ends.near.key, Interest::READ)?;
    readable(desk, ends.near.key)?;
    let other = Event { key: Key { index: u32::MAX, generation: 7 }, readiness: Readiness::NONE };
    let mut events = vec![other];
    let selected = desk.selector.select(Some(Duration::ZERO), &mut events);
    selected.or_violation(Invariant::SelectSucceeds, "a select")?;
    let is_behind = events.len() == 2 && events[0] == other && events[1].key == ends.near.key;
    let expected = "the event that was there, and one more";
    ensure(is_behind, Invariant::EventsAreAppended, expected, format_args!("{events:?}"))?;
    PASSED
}

fn many(desk: &mut Desk<'_>) -> Played {
    let ends = (0..64).map(|_| desk.ends()).collect::<Step<Vec<_>>>()?;
    for end in &ends {
        desk.want(end.near.key, Interest::READ)?;
    }
    let speaks = |i: usize| i % 3 == 0;
    for (_, end) in ends.iter().enumerate().filter(|(i, _)| speaks(*i)) {
        desk.send(&end.far, b"x")?;
        let expected = "READABLE of whom a byte was sent to";
        let key = end.near.key;
        desk.wait(key, Readiness::is_readable, Invariant::EachKeyIsItsOwn, expected)?;
    }
    let events = desk.select(Duration::ZERO)?;
    for (i, end) in ends.iter().enumerate() {
        let is_said = events.iter().any(|e| e.key == end.near.key);
        let got = format_args!("{is_said} of number {i}, {:?}", end.near.key);
        ensure(is_said == speaks(i), Invariant::EachKeyIsItsOwn, speaks(i), got)?;
    }
    PASSED
}

/// An event is due, but its key goes first.
fn gone_key(desk: &mut Desk<'_>) -> Played {
    for seen in [false, true] {
        let ends = desk.ends()?;
        let key = ends.near.key;
        desk.want(key, Interest::BOTH)?;
        desk.send(&ends.far, b"x")?;
        if seen {
            readable(desk, key)?;
        }
        desk.deregister(&ends.near)?;
        is_silent(desk, key)?;
        is_refused(desk, &ends.near)?;
        drop(ends.near);
        is_silent(desk, key)?;
        desk.close(ends.far)?;
    }
    PASSED
}

fn is_silent(desk: &mut Desk<'_>, key: Key) -> Step {
    for _ in 0..2 {
        let events = desk.select(Duration::ZERO)?;
        let said = events.iter().any(|e| e.key == key);
        let expected = format_args!("nothing of {key:?}");
        ensure(!said, Invariant::GoneKeyIsSilent, expected, format_args!("{events:?}"))?;
    }
    Ok(())
}

fn is_refused(desk: &mut Desk<'_>, gone: &End) -> Step {
    let changed = desk.selector.set_interest(gone.key, Interest::BOTH);
    let removed = desk.selector.deregister(gone.key, &gone.socket);
    for result in [changed, removed] {
        let kind = result.map_err(|e: io::Error| e.kind());
        ensure_eq(Invariant::GoneKeyIsRefused, Err(ErrorKind::NotFound), kind)?;
    }
    Ok(())
}

/// The place of a key is given to another socket.
fn successor(desk: &mut Desk<'_>) -> Played {
    let old = desk.ends()?;
    desk.want(old.near.key, Interest::BOTH)?;
    desk.send(&old.far, b"x")?;
    readable(desk, old.near.key)?;
    desk.deregister(&old.near)?;
    let new = desk.ends()?;
    desk.want(new.near.key, Interest::READ)?;
    let names = [new.near.key, new.far.key];
    let expected = format_args!("keys that are not {:?}", old.near.key);
    let is_new = !names.contains(&old.near.key);
    ensure(is_new, Invariant::GoneKeyIsRefused, expected, format_args!("{names:?}"))?;
    is_silent(desk, old.near.key)?;
    is_refused(desk, &old.near)?;
    let events = desk.select(Duration::ZERO)?;
    let expected = "silence: nothing was sent to the new one";
    let said = events.iter().find(|e| names.contains(&e.key));
    ensure(said.is_none(), Invariant::GoneKeyIsSilent, expected, format_args!("{said:?}"))?;
    desk.send(&new.far, b"y")?;
    let expected = "READABLE: its interest is still its own";
    desk.wait(new.near.key, Readiness::is_readable, Invariant::GoneKeyIsRefused, expected)?;
    PASSED
}

fn again(desk: &mut Desk<'_>) -> Played {
    let Ends { mut near, far } = desk.ends()?;
    desk.send(&far, b"x")?;
    desk.want(near.key, Interest::READ)?;
    readable(desk, near.key)?;
    for wanted in [Interest::READ, Interest::NONE] {
        desk.deregister(&near)?;
        near.key = desk.register(&near.socket, wanted)?;
        desk.want(near.key, Interest::READ)?;
        let expected = "READABLE: the byte still waits";
        desk.wait(near.key, Readiness::is_readable, Invariant::RegisteredAgain, expected)?;
    }
    PASSED
}

fn hot(desk: &mut Desk<'_>) -> Played {
    let (hot, cold) = (desk.ends()?, desk.ends()?);
    desk.send(&hot.far, b"never read")?;
    desk.want(hot.near.key, Interest::BOTH)?;
    desk.want(cold.near.key, Interest::READ)?;
    readable(desk, hot.near.key)?;
    desk.send(&cold.far, b"x")?;
    let expected = "READABLE of the other one";
    desk.wait(cold.near.key, Readiness::is_readable, Invariant::HotDoesNotStarve, expected)?;
    let said = desk.look(hot.near.key)?;
    let got = format_args!("{said:?}");
    ensure(said.is_readable(), Invariant::UnreadIsReportedAgain, "READABLE of the first", got)?;
    PASSED
}

fn foreign(desk: &mut Desk<'_>) -> Played {
    let Some(mut end) = desk.world.foreign() else {
        return Ok(Outcome::Skipped("needs foreign sources"));
    };
    let level = Invariant::ForeignIsLevelTriggered;
    let registered = desk.selector.register(&end.source, Interest::READ);
    let key = registered.or_violation(level, "a registration")?;
    let twice = desk.selector.register(&end.source, Interest::READ);
    let kind = twice.map_err(|e| e.kind());
    ensure_eq(Invariant::ForeignTwiceIsRefused, Err(ErrorKind::AlreadyExists), kind)?;
    for _ in 0..2 {
        let said = desk.look(key)?;
        ensure(said.is_none(), level, "silence: it is empty", format_args!("{said:?}"))?;
        (end.fill)().or_violation(Invariant::WorldIsMade, "a foreign source is filled")?;
        for _ in 0..3 {
            desk.wait(key, Readiness::is_readable, level, "READABLE, again and again")?;
        }
        (end.empty)().or_violation(Invariant::WorldIsMade, "a foreign source is emptied")?;
    }
    let gone = desk.selector.deregister(key, &end.source);
    gone.or_violation(level, "to deregister what is registered")?;
    (end.fill)().or_violation(Invariant::WorldIsMade, "a foreign source is filled")?;
    is_silent(desk, key)?;
    let removed = desk.selector.deregister(key, &end.source).map_err(|e| e.kind());
    if removed != Err(ErrorKind::NotFound) {
        let got = format_args!("{removed:?}");
        return Err(Violation::new(Invariant::GoneKeyIsRefused, "NotFound", got));
    }
    PASSED
}
