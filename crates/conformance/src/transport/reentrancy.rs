//! May any method be called from inside any callback, of this or another connection?

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use millrun_selector::{SocketOption, SocketOptionName};
use millrun_transport::{Transport, Watermarks};

use super::line::Line;
use super::probe::{Answer, Probe};
use super::record::{Event, Record};
use super::stage::{PASSED, Scenario, Stage};
use crate::pattern::pattern;
use crate::report::{Played, Step};
use crate::{Invariant, Violation};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("every call from inside every callback", |stage| everywhere(stage, Whose::Own)),
    ("every call from inside another connection's callbacks", |stage| {
        everywhere(stage, Whose::Other)
    }),
    ("every call when it is over", over),
];

type Method = (&'static str, fn(&dyn Transport, &Rc<Record>));

/// All of them. Those that end the connection come last.
pub(super) const METHODS: &[Method] = &[
    ("write", |t, _| {
        let _ = t.write(b"abc");
    }),
    ("write, much", |t, _| {
        let _ = t.write(&pattern(0, 40_000));
    }),
    ("write_bytes", |t, _| {
        let _ = t.write_bytes(bytes::Bytes::from_static(b"abc"));
    }),
    ("writelines", |t, _| {
        let _ = t.writelines(&[b"a", b"bc"]);
    }),
    ("flush", |t, _| t.flush()),
    ("pause_reading", |t, _| t.pause_reading()),
    ("pause_reading and resume_reading", |t, _| {
        t.pause_reading();
        t.resume_reading();
    }),
    ("resume_reading", |t, _| t.resume_reading()),
    ("set_protocol", |t, record| t.set_protocol(Box::new(Probe::second(record)))),
    ("set_protocol, twice", |t, record| {
        t.set_protocol(Box::new(Probe::second(record)));
        t.set_protocol(Box::new(Probe::second(record)));
    }),
    ("set_write_buffer_limits", |t, _| {
        let _ = t.set_write_buffer_limits(Watermarks { low: 0, high: 0 });
        let _ = t.set_write_buffer_limits(Watermarks { low: 1, high: 0 });
        let _ = t.set_write_buffer_limits(Watermarks { low: usize::MAX, high: usize::MAX });
    }),
    ("set_gathering", |t, _| {
        t.write(b"abc");
        t.set_gathering(false);
        t.set_gathering(true);
    }),
    ("set_close_timeout", |t, _| t.set_close_timeout(Duration::from_secs(20))),
    ("what only asks", |t, _| {
        let _ = (t.is_closing(), t.is_reading(), t.close_outcome(), t.error());
        let _ = t.write_buffer_size();
        let _ = (t.write_buffer_limits(), t.can_write_eof(), t.can_pause_reading());
        let _ = (t.local_addr(), t.peer_addr(), t.option(SocketOptionName::NoDelay));
        let _ = t.set_option(SocketOption::KeepAlive(false));
        let _ = (millrun_transport::extra_info::<u8>(t), format!("{t:?}"));
    }),
    ("write_eof", |t, _| {
        if t.can_write_eof() {
            t.write_eof()
        }
    }),
    ("close", |t, _| t.close()),
    ("close_within", |t, _| t.close_within(Duration::from_secs(1))),
    ("write and close", |t, _| {
        t.write(b"abc");
        t.close();
    }),
    ("abort", |t, _| t.abort()),
    ("fail", |t, _| t.fail(ErrorKind::InvalidData.into())),
    ("close and abort", |t, _| {
        t.close();
        t.abort();
    }),
];

/// The callbacks in which they are called.
const CALLBACKS: &[&str] = &["made", "landing", "data", "eof", "pause", "resume", "lost"];

fn name(event: &Event) -> &'static str {
    match event {
        Event::Made => "made",
        Event::Data(_) => "data",
        Event::Eof => "eof",
        Event::Lost(_) => "lost",
        Event::Pause => "pause",
        Event::Resume => "resume",
    }
}

/// Of whose transport the methods are called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    Own,
    Other,
}

fn everywhere(stage: &mut Stage<'_>, whose: Whose) -> Played {
    for callback in CALLBACKS {
        for (method, call) in METHODS {
            let of = |violation: Violation| Violation {
                expected: format!("{} ({method} of {whose:?} in {callback})", violation.expected),
                ..violation
            };
            once(stage, callback, *call, whose).map_err(of)?;
        }
    }
    PASSED
}

fn once(
    stage: &mut Stage<'_>,
    callback: &'static str,
    call: fn(&dyn Transport, &Rc<Record>),
    whose: Whose,
) -> Step {
    let mut other = match whose {
        Whose::Own => None,
        Whose::Other => Some(stage.connect()?),
    };
    let record = stage.record();
    let target = other.as_ref().map(|line| (line.transport.clone(), line.record.clone()));
    let act = {
        let record = record.clone();
        move || {
            let own = || record.transport().map(|transport| (transport, record.clone()));
            let Some((transport, of)) = target.clone().or_else(own) else { return };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| call(&*transport, &of))) {
                drop(panic);
                let rule = Invariant::AnyCallFromAnyCallback;
                record.broken(Violation::new(rule, "no panic", "one"));
            }
        }
    };
    let in_landing = act.clone();
    let probe = Probe::new(&record).on(move |_, event| {
        if name(event) == callback {
            act();
        }
        Answer::Well
    });
    let probe = probe.room(move || {
        if callback == "landing" {
            in_landing();
        }
        super::probe::Room::Shared(1 << 16)
    });
    let mut line = stage.attach(&record, probe)?;
    live(stage, &mut line, callback)?;
    if let Some(other) = &mut other {
        other.record.violation()?;
        other.call(|t| t.abort());
        other.lost(stage)?;
    }
    Ok(())
}

/// A whole life, as far as it comes: the call may end it anywhere.
fn live(stage: &mut Stage<'_>, line: &mut Line, callback: &str) -> Step {
    let record = line.record.clone();
    let rule = Invariant::AnyCallFromAnyCallback;
    let over = || record.is_lost() || line.transport.is_closing();
    stage.until(line, rule, "made", || record.is_made() || over())?;
    let _ = line.peer.send(b"x");
    let paused = || line.transport.can_pause_reading() && !line.transport.is_reading();
    stage.until(line, rule, "data", || record.received_len() > 0 || paused() || over())?;
    if matches!(callback, "pause" | "resume") && !over() {
        let _ = line.call(|t| t.set_write_buffer_limits(Watermarks { low: 0, high: 0 }));
        let has_paused = || record.has(&Event::Pause) || over();
        // Not by `fill`: what else is written by the call is not the pattern.
        let heap = pattern(0, stage.heap());
        for _ in 0..512 {
            if !has_paused() {
                line.call(|t| t.write(&heap));
                stage.turn(Duration::ZERO)?;
                stage.turn(Duration::from_millis(1))?;
            }
        }
        stage.until(line, rule, "pause", has_paused)?;
        let end = line.transport.clone();
        let over = || record.is_lost() || end.is_closing();
        let peer = &mut line.peer;
        let mut buffer = vec![0; 1 << 16];
        stage.until_of(&record, rule, "resume", || {
            while peer.receive(&mut buffer).is_ok_and(|n| n > 0) {}
            // A protocol that was set meanwhile may never have been told to pause.
            let has_left = callback == "pause" && end.write_buffer_size() == 0;
            record.has(&Event::Resume) || has_left || over()
        })?;
    }
    let over = || record.is_lost() || line.transport.is_closing();
    if !over() {
        line.call(|t| t.resume_reading());
        line.peer.end();
        stage.until(line, rule, "eof", || record.has(&Event::Eof) || paused() || over())?;
    }
    line.call(|t| t.abort());
    line.lost(stage)?;
    Ok(())
}

fn over(stage: &mut Stage<'_>) -> Played {
    for (method, call) in METHODS {
        let mut line = stage.connect()?;
        line.call(|t| t.abort());
        line.lost(stage)?;
        let rule = Invariant::OverIsHarmless;
        let of = |got: &str| Violation::new(rule, format_args!("{method} changes nothing"), got);
        let outcome = line.transport.close_outcome();
        let record = line.record.clone();
        let called = catch_unwind(AssertUnwindSafe(|| line.call(|t| call(t, &record))));
        if called.is_err() {
            return Err(of("a panic"));
        }
        stage.settle(&line)?;
        let transport = &line.transport;
        let is_over = transport.is_closing()
            && !transport.is_reading()
            && transport.write_buffer_size() == 0
            && transport.close_outcome() == outcome
            && outcome.is_some();
        if !is_over {
            return Err(of(&format!("{transport:?}, {:?}", transport.close_outcome())));
        }
    }
    PASSED
}
