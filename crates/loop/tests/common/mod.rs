//! A loop over a script: a selector that reports what the test says, and a clock that waiting moves.
#![allow(dead_code, reason = "each test file uses what it needs of this")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use millrun_loop::{Builder, ErrorContext, EventLoop, Failure, Inline, LoopHandle};
use millrun_selector::{Clock, Event, Interest, Key, Readiness, Selector, Source, Time, Wake};
use millrun_sim::Sim;

/// What the loop asked of its selector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Call {
    Register(RawFd, Interest),
    SetInterest(Key, Interest),
    Deregister(Key),
    Select(Option<Duration>),
}

/// The test's side of the loop's selector and clock.
#[derive(Debug, Default)]
pub(crate) struct Script {
    calls: RefCell<Vec<Call>>,
    events: RefCell<VecDeque<io::Result<Vec<Event>>>>,
    refusals: RefCell<VecDeque<io::Error>>,
    now: Cell<Time>,
    keys: Cell<u32>,
    wakes: Arc<Wakes>,
}

#[derive(Debug, Default)]
pub(crate) struct Wakes(AtomicUsize);

#[derive(Debug)]
struct ScriptSelector(Rc<Script>);

#[derive(Debug)]
struct ScriptClock(Rc<Script>);

/// What happened, in order.
pub(crate) type Log = Rc<RefCell<Vec<String>>>;

impl Script {
    pub(crate) fn new() -> Rc<Script> {
        Rc::default()
    }

    pub(crate) fn builder(self: &Rc<Self>) -> Builder {
        let sim = Sim::new(0);
        EventLoop::builder()
            .selector(Box::new(ScriptSelector(Rc::clone(self))))
            .clock(Rc::new(ScriptClock(Rc::clone(self))))
            .network(sim.network())
            .resolver(sim.resolver())
            .executor(Rc::new(Inline::new()))
    }

    pub(crate) fn build(self: &Rc<Self>) -> EventLoop {
        self.builder().build().unwrap()
    }

    /// The next select that is asked reports this.
    pub(crate) fn report(&self, events: &[(Key, Readiness)]) {
        let event = |&(key, readiness)| Event { key, readiness };
        self.events.borrow_mut().push_back(Ok(events.iter().map(event).collect()));
    }

    /// The next select that is asked fails so.
    pub(crate) fn fail_select(&self, kind: io::ErrorKind) {
        self.events.borrow_mut().push_back(Err(kind.into()));
    }

    /// The next `set_interest` fails so.
    pub(crate) fn refuse(&self, kind: io::ErrorKind) {
        self.refusals.borrow_mut().push_back(kind.into());
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.now.set(self.now.get() + by);
    }

    pub(crate) fn now(&self) -> Time {
        self.now.get()
    }

    /// What was asked since this was last called.
    pub(crate) fn take_calls(&self) -> Vec<Call> {
        self.calls.take()
    }

    /// The timeouts of the selects since the calls were last taken.
    pub(crate) fn take_timeouts(&self) -> Vec<Option<Duration>> {
        let timeout = |call| match call {
            Call::Select(timeout) => Some(timeout),
            _ => None,
        };
        self.take_calls().into_iter().filter_map(timeout).collect()
    }

    pub(crate) fn last_key(&self) -> Key {
        Key { index: self.keys.get() - 1, generation: 7 }
    }

    pub(crate) fn wakes(&self) -> usize {
        self.wakes.0.load(SeqCst)
    }
}

impl Selector for ScriptSelector {
    fn register(&mut self, source: &dyn Source, interest: Interest) -> io::Result<Key> {
        let fd = source.fd().map_or(-1, |fd| fd.as_raw_fd());
        self.0.calls.borrow_mut().push(Call::Register(fd, interest));
        self.0.keys.set(self.0.keys.get() + 1);
        Ok(self.0.last_key())
    }

    fn set_interest(&mut self, key: Key, interest: Interest) -> io::Result<()> {
        self.0.calls.borrow_mut().push(Call::SetInterest(key, interest));
        self.0.refusals.borrow_mut().pop_front().map_or(Ok(()), Err)
    }

    fn deregister(&mut self, key: Key, _: &dyn Source) -> io::Result<()> {
        self.0.calls.borrow_mut().push(Call::Deregister(key));
        Ok(())
    }

    fn select(&mut self, timeout: Option<Duration>, out: &mut Vec<Event>) -> io::Result<()> {
        self.0.calls.borrow_mut().push(Call::Select(timeout));
        if let Some(events) = self.0.events.borrow_mut().pop_front() {
            out.extend(events?);
            return Ok(());
        }
        match timeout {
            Some(timeout) => self.0.advance(timeout),
            None => {
                return Err(io::Error::other("the script is over: nothing would end this wait"));
            }
        }
        Ok(())
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::clone(&self.0.wakes) as Arc<dyn Wake>
    }
}

impl Wake for Wakes {
    fn wake(&self) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Clock for ScriptClock {
    fn now(&self) -> Time {
        self.0.now.get()
    }
}

/// A callback that logs.
pub(crate) fn note(log: &Log, what: &str) -> impl FnOnce() + 'static + use<> {
    let (log, what) = (Rc::clone(log), what.to_owned());
    move || log.borrow_mut().push(what)
}

/// Logs what is reported: `message|panic text`.
pub(crate) fn log_reports(handle: &LoopHandle) -> Log {
    let log = Log::default();
    let into = Rc::clone(&log);
    handle.set_exception_handler(Some(Rc::new(move |_, context: &ErrorContext| {
        let error = match &context.error {
            Some(Failure::Panic(panic)) => panic.text().to_owned(),
            Some(Failure::Error(error)) => error.to_string(),
            _ => String::new(),
        };
        into.borrow_mut().push(format!("{}|{error}", context.message));
    })));
    log
}

/// Runs rounds until nothing is queued.
pub(crate) fn run_ready(event_loop: &mut EventLoop) {
    while event_loop.has_ready() {
        event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
}
