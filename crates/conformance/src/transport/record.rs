//! What was a connection's protocol told, and which of it may never be? [`Record`].

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::ErrorKind;
use std::rc::{Rc, Weak};

use millrun_transport::Transport;

use crate::{Invariant, Violation};

/// What a protocol was told.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Made,
    /// So many bytes, by `data_received` or by `landed`.
    Data(usize),
    Eof,
    Lost(Option<(ErrorKind, String)>),
    Pause,
    Resume,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Made => f.write_str("made"),
            Event::Data(n) => write!(f, "data({n})"),
            Event::Eof => f.write_str("eof"),
            Event::Lost(None) => f.write_str("lost"),
            Event::Lost(Some((kind, text))) => write!(f, "lost({kind:?}: {text})"),
            Event::Pause => f.write_str("pause"),
            Event::Resume => f.write_str("resume"),
        }
    }
}

/// What a connection's protocols were told, in order.
#[derive(Default)]
pub(crate) struct Record {
    pub(super) events: RefCell<Vec<Event>>,
    pub(super) received: RefCell<Vec<u8>>,
    transport: RefCell<Option<Weak<dyn Transport>>>,
    violation: RefCell<Option<Violation>>,
    /// Data and the end of file may not come now, by this rule.
    forbidden: Cell<Option<Invariant>>,
    /// A callback is on the stack.
    inside: Cell<bool>,
    /// A method of the transport is on the stack, and no callback below it.
    calling: Cell<bool>,
    phase: Cell<Phase>,
    pub(super) may_exceed_room: Cell<bool>,
    /// Probes that live.
    pub(crate) probes: Cell<usize>,
    pub(crate) landings: Cell<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
enum Phase {
    #[default]
    New,
    Made,
    Eof,
    Lost,
}

impl Record {
    pub(crate) fn new(may_exceed_room: bool) -> Rc<Record> {
        let record = Record::default();
        record.may_exceed_room.set(may_exceed_room);
        Rc::new(record)
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.borrow().clone()
    }

    pub(crate) fn has(&self, event: &Event) -> bool {
        self.events.borrow().contains(event)
    }

    pub(crate) fn received(&self) -> Vec<u8> {
        self.received.borrow().clone()
    }

    pub(crate) fn received_len(&self) -> usize {
        self.received.borrow().len()
    }

    pub(crate) fn is_made(&self) -> bool {
        self.phase.get() > Phase::New
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.phase.get() == Phase::Lost
    }

    /// What `connection_lost` was given.
    pub(crate) fn lost(&self) -> Option<Option<(ErrorKind, String)>> {
        self.events.borrow().iter().rev().find_map(|event| match event {
            Event::Lost(error) => Some(error.clone()),
            _ => None,
        })
    }

    /// The last thing that was told of the write buffer was a pause.
    pub(crate) fn is_told_paused(&self) -> bool {
        let events = self.events.borrow();
        let told = |e: &&Event| matches!(e, Event::Pause | Event::Resume);
        events.iter().rev().find(told) == Some(&Event::Pause)
    }

    /// From here on data and the end of file break this rule; `None`: they may come.
    pub(crate) fn forbid(&self, by: Option<Invariant>) {
        self.forbidden.set(by);
    }

    pub(crate) fn transport(&self) -> Option<Rc<dyn Transport>> {
        self.transport.borrow().as_ref().and_then(Weak::upgrade)
    }

    pub(crate) fn set_transport(&self, transport: &Rc<dyn Transport>) {
        *self.transport.borrow_mut() = Some(Rc::downgrade(transport));
    }

    /// For the protocol that takes another one's place: what came before is not its own.
    pub(crate) fn begin_in_the_middle(&self, transport: &Rc<dyn Transport>) {
        self.set_transport(transport);
        self.phase.set(self.phase.get().max(Phase::Made));
    }

    /// For the protocol whose place was taken: it hears nothing more, not the end either.
    pub(crate) fn end_here(&self) {
        self.phase.set(Phase::Lost);
    }

    /// Calls the transport from outside of any callback: none may come from inside.
    pub(crate) fn calling<R>(&self, f: impl FnOnce() -> R) -> R {
        let was = self.calling.replace(!self.inside.get());
        let value = f();
        self.calling.set(was);
        value
    }

    /// The first that was noticed.
    pub(crate) fn violation(&self) -> Result<(), Violation> {
        self.violation.borrow().clone().map_or(Ok(()), Err)
    }

    pub(crate) fn broken(&self, violation: Violation) {
        self.violation.borrow_mut().get_or_insert(violation);
    }

    pub(super) fn notice(&self, is_so: bool, invariant: Invariant, expected: &str, got: &Event) {
        if !is_so {
            let got = format_args!("{got:?} after {:?}", Told(&self.events.borrow()));
            self.broken(Violation::new(invariant, expected, got));
        }
    }

    /// What holds of every callback.
    pub(super) fn watch(&self, event: &Event, is_first: bool) {
        let phase = self.phase.get();
        let outside = "a callback from the loop, not from inside a call of the transport";
        self.notice(!self.calling.get(), Invariant::CallsDoNotCallBack, outside, event);
        self.notice(!self.inside.get(), Invariant::CallbacksDoNotNest, "one at a time", event);
        self.notice(phase < Phase::Lost, Invariant::LostIsLast, "nothing after lost", event);
        match event {
            Event::Made => {
                let once = phase == Phase::New && is_first;
                self.notice(once, Invariant::MadeFirst, "made first, and once", event);
                self.phase.set(phase.max(Phase::Made));
            }
            Event::Data(n) => {
                self.notice(*n > 0, Invariant::DataIsNeverEmpty, "a byte at least", event);
                self.notice_order(phase, event);
            }
            Event::Eof => {
                self.notice_order(phase, event);
                self.phase.set(phase.max(Phase::Eof));
            }
            Event::Lost(_) => {
                self.notice(phase > Phase::New, Invariant::MadeFirst, "made before lost", event);
                self.phase.set(Phase::Lost);
            }
            Event::Pause | Event::Resume => {
                self.notice(phase > Phase::New, Invariant::MadeFirst, "made before all", event);
                let closing = self.transport().is_some_and(|t| t.is_closing());
                let expected = "no word of the buffer to one who is closing";
                self.notice(!closing, Invariant::NoPressureWhenClosing, expected, event);
            }
        }
    }

    fn notice_order(&self, phase: Phase, event: &Event) {
        self.notice(phase != Phase::New, Invariant::MadeFirst, "made before all", event);
        let before_eof = phase < Phase::Eof || phase == Phase::Lost;
        self.notice(before_eof, Invariant::NothingAfterEof, "no data, no second eof", event);
        if let Some(invariant) = self.forbidden.get() {
            self.notice(false, invariant, "silence", event);
        }
    }
}

/// The last of them: there may be thousands.
struct Told<'a>(&'a [Event]);

impl fmt::Debug for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.0.len().saturating_sub(8);
        if last > 0 {
            write!(f, "({last} more) ")?;
        }
        f.debug_list().entries(&self.0[last..]).finish()
    }
}

/// A callback is on the stack until this is dropped, also by a panic.
pub(super) struct Inside {
    record: Rc<Record>,
    was: bool,
    was_calling: bool,
}

impl Inside {
    pub(super) fn enter(record: &Rc<Record>) -> Inside {
        let (was, was_calling) = (record.inside.replace(true), record.calling.replace(false));
        Inside { record: record.clone(), was, was_calling }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.record.inside.set(self.was);
        self.record.calling.set(self.was_calling);
    }
}
