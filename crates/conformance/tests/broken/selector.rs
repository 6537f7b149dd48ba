//! A selector that breaks one rule.

use std::collections::{HashMap, HashSet};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use millrun_conformance::Invariant;
use millrun_selector::{Event, Interest, Key, Readiness, Selector, Source, Wake};
use millrun_sim::Sim;

use super::{Bug, Seen};

#[derive(Debug)]
pub struct BrokenSelector {
    inner: Box<dyn Selector>,
    bug: Option<Bug>,
    seen: Rc<Seen>,
    sim: Option<Sim>,
    wanted: HashMap<Key, Interest>,
    dead: Vec<Key>,
    muted: HashSet<Key>,
    foreign: HashSet<Key>,
    cells: HashSet<usize>,
    reported: HashMap<Key, Readiness>,
    selects: u32,
    woken: Arc<Sticky>,
}

impl BrokenSelector {
    pub fn new(
        inner: Box<dyn Selector>,
        bug: Option<Bug>,
        seen: Rc<Seen>,
        sim: Option<Sim>,
    ) -> BrokenSelector {
        let woken = Arc::new(Sticky { inner: inner.waker(), woken: AtomicBool::new(false) });
        BrokenSelector {
            inner,
            bug,
            seen,
            sim,
            wanted: HashMap::new(),
            dead: Vec::new(),
            muted: HashSet::new(),
            foreign: HashSet::new(),
            cells: HashSet::new(),
            reported: HashMap::new(),
            selects: 0,
            woken,
        }
    }

    fn is(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// What becomes of an event; `None`: it is lost.
    fn change(&mut self, event: Event) -> Option<Event> {
        let said = event.readiness;
        let all_but = |bits: Readiness| Event { readiness: said.but(bits), ..event };
        let event = match self.bug? {
            Invariant::UnreadIsReportedAgain => {
                (self.reported.insert(event.key, said) != Some(said)).then_some(event)?
            }
            Invariant::NewBytesAreReported if self.seen.short_read.get() => {
                all_but(Readiness::READABLE)
            }
            Invariant::RoomIsReported if self.seen.full.get() => all_but(Readiness::WRITABLE),
            Invariant::EndIsReported => all_but(Readiness::READ_CLOSED),
            Invariant::GonePeerIsReported if said.is_read_closed() => return None,
            Invariant::ErrorIsHeardEitherWay
                if said.is_error() && self.wanted[&event.key] == Interest::WRITE =>
            {
                return None;
            }
            Invariant::ResumedIsReported | Invariant::RegisteredAgain => {
                (!self.muted.contains(&event.key)).then_some(event)?
            }
            Invariant::EachKeyIsItsOwn if self.wanted.len() > 4 => {
                Event { key: Key { index: event.key.index ^ 2, ..event.key }, ..event }
            }
            Invariant::ForeignIsLevelTriggered if self.foreign.contains(&event.key) => {
                (self.reported.insert(event.key, said) != Some(said)).then_some(event)?
            }
            _ => event,
        };
        (!event.readiness.is_none()).then_some(event)
    }

    /// Events that nobody should hear of.
    fn make_up(&self, out: &mut Vec<Event>) {
        let mut add = |key: Key, readiness| {
            if out.iter().all(|e| e.key != key) {
                out.push(Event { key, readiness });
            }
        };
        for (key, wanted) in &self.wanted {
            match self.bug {
                Some(Invariant::IdleIsSilent) if wanted.reads() => add(*key, Readiness::READABLE),
                Some(Invariant::WouldBlockEndsTheReport) if wanted.writes() => {
                    add(*key, Readiness::WRITABLE);
                }
                _ => {}
            }
        }
        if self.is(Invariant::GoneKeyIsSilent) {
            self.dead.iter().for_each(|key| add(*key, Readiness::READABLE));
        }
    }

    fn timeout(&self, timeout: Option<Duration>) -> Option<Duration> {
        match self.bug {
            Some(Invariant::TimeoutIsWaitedOut) => timeout.map(|t| t / 2),
            Some(Invariant::WakeIsUsedUp) if self.woken.woken.load(Ordering::SeqCst) => {
                Some(Duration::ZERO)
            }
            _ => timeout,
        }
    }
}

impl Selector for BrokenSelector {
    fn register(&mut self, source: &dyn Source, interest: Interest) -> io::Result<Key> {
        let inside =
            if self.is(Invariant::OnlyTheWantedIsReported) { Interest::BOTH } else { interest };
        let registered = self.inner.register(source, inside);
        if registered.is_err() && self.is(Invariant::ForeignTwiceIsRefused) {
            return Ok(Key { index: 77, generation: 77 });
        }
        let key = registered?;
        self.wanted.insert(key, interest);
        match source.readiness() {
            None => drop(self.foreign.insert(key)),
            Some(cell) if self.is(Invariant::RegisteredAgain) => {
                if !self.cells.insert(Rc::as_ptr(cell) as usize) {
                    self.muted.insert(key);
                }
            }
            Some(_) => {}
        }
        Ok(key)
    }

    fn set_interest(&mut self, key: Key, interest: Interest) -> io::Result<()> {
        if self.is(Invariant::GoneKeyIsRefused) && !self.wanted.contains_key(&key) {
            return Ok(());
        }
        if self.is(Invariant::ResumedIsReported) && interest.is_none() {
            self.muted.insert(key);
        }
        self.wanted.insert(key, interest);
        let inside =
            if self.is(Invariant::OnlyTheWantedIsReported) { Interest::BOTH } else { interest };
        self.inner.set_interest(key, inside)
    }

    fn deregister(&mut self, key: Key, source: &dyn Source) -> io::Result<()> {
        assert!(!self.is(Invariant::NoPanic), "a selector of little patience");
        self.inner.deregister(key, source)?;
        self.wanted.remove(&key);
        self.dead.push(key);
        Ok(())
    }

    fn select(&mut self, timeout: Option<Duration>, out: &mut Vec<Event>) -> io::Result<()> {
        self.selects += 1;
        if self.is(Invariant::SelectSucceeds) && self.selects > 1 {
            return Err(io::Error::other("once is enough"));
        }
        if self.is(Invariant::EventsAreAppended) {
            out.clear();
        }
        if let (true, Some(sim), Some(timeout)) =
            (self.is(Invariant::ReadyEndsTheWait), &self.sim, timeout)
        {
            sim.advance(timeout);
        }
        let mut events = Vec::new();
        self.inner.select(self.timeout(timeout), &mut events)?;
        if self.bug.is_some() {
            events = events.into_iter().filter_map(|event| self.change(event)).collect();
        }
        self.make_up(&mut events);
        if self.is(Invariant::HotDoesNotStarve) {
            events.sort_by_key(|e| e.key.index);
            events.truncate(1);
        }
        for event in events {
            let said = event.readiness;
            let in_two = said.is_readable() && said.is_writable();
            if in_two && self.is(Invariant::OneEventPerKey) {
                out.push(Event { readiness: said.wanted(Interest::READ), ..event });
                out.push(Event { readiness: said.wanted(Interest::WRITE), ..event });
            } else {
                out.push(event);
            }
        }
        Ok(())
    }

    fn waker(&self) -> Arc<dyn Wake> {
        match self.bug {
            Some(Invariant::WakeEndsTheWait) => Arc::new(Deaf),
            Some(Invariant::WakeIsUsedUp) => self.woken.clone(),
            _ => self.inner.waker(),
        }
    }
}

#[derive(Debug)]
struct Deaf;

impl Wake for Deaf {
    fn wake(&self) {}
}

/// Once woken, it does not sleep any more.
#[derive(Debug)]
struct Sticky {
    inner: Arc<dyn Wake>,
    woken: AtomicBool,
}

impl Wake for Sticky {
    fn wake(&self) {
        self.woken.store(true, Ordering::SeqCst);
        self.inner.wake();
    }
}

const BITS: [Readiness; 6] = [
    Readiness::READABLE,
    Readiness::WRITABLE,
    Readiness::READ_CLOSED,
    Readiness::WRITE_CLOSED,
    Readiness::ERROR,
    Readiness::URGENT,
];

trait Bits {
    fn but(self, others: Readiness) -> Readiness;
}

impl Bits for Readiness {
    fn but(self, others: Readiness) -> Readiness {
        let left = |bit: &Readiness| self.contains(*bit) && !others.contains(*bit);
        BITS.into_iter().filter(left).fold(Readiness::NONE, |a, b| a | b)
    }
}
