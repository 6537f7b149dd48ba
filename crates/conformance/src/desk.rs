//! What the scenarios on selectors and sockets share: a [`Desk`] with a selector at which one waits, and two
//! [`Ends`].

use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use millrun_selector::{Clock, Event, Interest, Key, Readiness, Selector, Socket, Source};

use crate::report::{OrViolation, Outcome, Played, Report, Step, ensure};
use crate::{Invariant, SocketAbilities, SocketWorld, Violation};

/// A selector that reports something, but never what is waited for, does not let a virtual clock go on: then it is
/// asked so many times.
const LOOKS: usize = 2_000;

/// A socket that is said to be ready may refuse a call, but not so often in a row.
const REFUSALS: usize = 1_000;

/// More than any honest buffer between two sockets holds.
pub(crate) const TOO_MUCH: usize = 64 << 20;

/// A scenario of this world.
pub(crate) type Scenario = (&'static str, fn(&mut Desk<'_>) -> Played);

/// Plays them, each in a world of its own.
pub(crate) fn play<W: SocketWorld>(
    scenarios: &[&[Scenario]],
    mut make: impl FnMut() -> io::Result<W>,
) -> Report {
    let mut report = Report::default();
    for (name, scenario) in scenarios.iter().copied().flatten() {
        report.play(name, || {
            let mut world = make().or_violation(Invariant::WorldIsMade, "a world")?;
            scenario(&mut Desk::new(&mut world)?)
        });
    }
    report
}

/// A scenario needs this ability.
macro_rules! needs {
    ($desk:expr, $ability:ident) => {
        if !$desk.world.abilities().$ability {
            return Ok($crate::report::Outcome::Skipped(concat!("needs ", stringify!($ability))));
        }
    };
}
pub(crate) use needs;

pub(crate) const PASSED: Played = Ok(Outcome::Passed);

/// A world, and the selector at which one waits for it.
pub(crate) struct Desk<'w> {
    pub(crate) world: &'w mut dyn SocketWorld,
    pub(crate) selector: Box<dyn Selector>,
    pub(crate) clock: Rc<dyn Clock>,
}

impl<'w> Desk<'w> {
    fn new(world: &'w mut dyn SocketWorld) -> Step<Desk<'w>> {
        let selector = world.selector().or_violation(Invariant::WorldIsMade, "a selector")?;
        let clock = world.clock();
        Ok(Desk { world, selector, clock })
    }

    pub(crate) fn pair(&mut self) -> Step<(Box<dyn Socket>, Box<dyn Socket>)> {
        self.world.pair().or_violation(Invariant::WorldIsMade, "two connected sockets")
    }

    /// Two connected sockets, both registered and silent, on which writes are possible.
    pub(crate) fn ends(&mut self) -> Step<Ends> {
        let (near, far) = self.pair()?;
        let near = self.end(near)?;
        let far = self.end(far)?;
        Ok(Ends { near, far })
    }

    pub(crate) fn end(&mut self, socket: Box<dyn Socket>) -> Step<End> {
        let key = self.register(&socket, Interest::NONE)?;
        Ok(End { socket, key })
    }

    pub(crate) fn register(&mut self, source: &dyn Source, wanted: Interest) -> Step<Key> {
        let key = self.selector.register(source, wanted);
        key.or_violation(Invariant::SelectSucceeds, "a registration")
    }

    pub(crate) fn want(&mut self, key: Key, wanted: Interest) -> Step {
        let changed = self.selector.set_interest(key, wanted);
        changed.or_violation(Invariant::SelectSucceeds, "a change of interest")
    }

    /// Deregisters and closes.
    pub(crate) fn close(&mut self, end: End) -> Step {
        self.deregister(&end)?;
        drop(end);
        Ok(())
    }

    pub(crate) fn deregister(&mut self, end: &End) -> Step {
        let gone = self.selector.deregister(end.key, &end.socket);
        gone.or_violation(Invariant::SelectSucceeds, "to deregister what is registered")
    }

    pub(crate) fn select(&mut self, timeout: Duration) -> Step<Vec<Event>> {
        let mut events = Vec::new();
        let selected = self.selector.select(Some(timeout), &mut events);
        selected.or_violation(Invariant::SelectSucceeds, "a select")?;
        let doubled = events.iter().find(|e| events.iter().filter(|o| o.key == e.key).count() > 1);
        ensure(
            doubled.is_none(),
            Invariant::OneEventPerKey,
            "one event a key",
            format_args!("{events:?}"),
        )?;
        Ok(events)
    }

    /// What is said of a key now.
    pub(crate) fn look(&mut self, key: Key) -> Step<Readiness> {
        let events = self.select(Duration::ZERO)?;
        Ok(events.iter().find(|e| e.key == key).map(|e| e.readiness).unwrap_or_default())
    }

    /// Waits until a key is reported so, which has to come.
    pub(crate) fn wait(
        &mut self,
        key: Key,
        is_so: impl Fn(Readiness) -> bool,
        invariant: Invariant,
        expected: &str,
    ) -> Step<Readiness> {
        let SocketAbilities { real_time, patience, .. } = self.world.abilities();
        let (end, mut looks) = (self.clock.now() + patience, 0);
        let mut last = Readiness::NONE;
        while self.clock.now() < end && (real_time || looks < LOOKS) {
            looks += 1;
            let events = self.select(patience / 10)?;
            last = events.iter().find(|e| e.key == key).map(|e| e.readiness).unwrap_or_default();
            if is_so(last) {
                return Ok(last);
            }
        }
        Err(Violation::new(invariant, expected, format_args!("{last:?} for {patience:?}")))
    }

    /// Waits until this end can be read.
    pub(crate) fn readable(&mut self, end: &End, invariant: Invariant, expected: &str) -> Step {
        self.want(end.key, Interest::READ)?;
        self.wait(end.key, Readiness::is_readable, invariant, expected)?;
        self.want(end.key, Interest::NONE)
    }

    /// Waits until this end can be written.
    pub(crate) fn writable(&mut self, end: &End, invariant: Invariant, expected: &str) -> Step {
        self.want(end.key, Interest::WRITE)?;
        self.wait(end.key, Readiness::is_writable, invariant, expected)?;
        self.want(end.key, Interest::NONE)
    }

    /// Reads until there are `n` bytes or the end of file, waiting for what is missing.
    pub(crate) fn receive(&mut self, end: &End, n: usize, invariant: Invariant) -> Step<Vec<u8>> {
        let (mut got, mut refused) = (Vec::new(), 0);
        let mut buffer = vec![0; 1 << 16];
        while got.len() < n {
            let most = buffer.len().min(n - got.len());
            match end.socket.try_read(&mut buffer[..most]) {
                Ok(0) => break,
                Ok(taken) => {
                    let fits = taken <= most;
                    ensure(fits, invariant, format_args!("at most {most} bytes"), taken)?;
                    got.extend_from_slice(&buffer[..taken]);
                    refused = 0;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    let expected = format!("{n} bytes; {} have come", got.len());
                    self.readable(end, invariant, &expected)?;
                    refused += 1;
                    ensure(refused < REFUSALS, invariant, expected, "WouldBlock, READABLE or not")?;
                }
                Err(error) => return Err(Violation::new(invariant, "bytes", error)),
            }
        }
        Ok(got)
    }

    /// Writes all of it, waiting for room.
    pub(crate) fn send(&mut self, end: &End, mut bytes: &[u8]) -> Step {
        while !bytes.is_empty() {
            let n = self.send_some(end, bytes)?;
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// One write that takes something, waiting for room.
    pub(crate) fn send_some(&mut self, end: &End, bytes: &[u8]) -> Step<usize> {
        let most = bytes.len();
        for _ in 0..REFUSALS {
            match end.socket.try_write(bytes) {
                Ok(n) => {
                    let expected = format_args!("at most {most} bytes");
                    ensure(n <= most, Invariant::WriteCountIsTrue, expected, n)?;
                    return Ok(n);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.writable(end, Invariant::RoomIsReported, "room: the peer reads")?;
                }
                Err(error) => return Err(Violation::new(Invariant::SocketWorks, "a write", error)),
            }
        }
        Err(Violation::new(Invariant::RoomComesBack, "a write that is taken", "WouldBlock"))
    }

    /// Writes until it would block and is not said to be writable any more; `write` says how much it took. Gives
    /// the number of bytes.
    pub(crate) fn fill(
        &mut self,
        end: &End,
        mut write: impl FnMut(&dyn Socket, usize) -> io::Result<usize>,
    ) -> Step<usize> {
        let mut sent = 0;
        let mut refused = 0;
        self.want(end.key, Interest::WRITE)?;
        loop {
            match write(&*end.socket, sent) {
                Ok(n) => {
                    (sent, refused) = (sent + n, 0);
                    let full = "WouldBlock within 64 MiB";
                    ensure(sent < TOO_MUCH, Invariant::FullWouldBlock, full, sent)?;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    // A real network carries bytes on by itself for a while.
                    if !self.look(end.key)?.is_writable() {
                        break;
                    }
                    refused += 1;
                    let expected = "no report while writes would block";
                    ensure(
                        refused < REFUSALS,
                        Invariant::WouldBlockEndsTheReport,
                        expected,
                        refused,
                    )?;
                }
                Err(error) => {
                    return Err(Violation::new(Invariant::SocketWorks, "a write", error));
                }
            }
        }
        self.want(end.key, Interest::NONE)?;
        Ok(sent)
    }
}

/// A registered socket.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) socket: Box<dyn Socket>,
    pub(crate) key: Key,
}

/// Two of them, connected.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) near: End,
    pub(crate) far: End,
}
