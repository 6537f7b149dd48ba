//! [`Host`]: one machine of a world, with its loop and its main future.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use millrun_loop::{EventLoop, Failure, Inline, JoinError, JoinHandle};
use millrun_sim::SimHost;

use crate::log::Log;
use crate::note;
use crate::world::Inner;

/// One host of a [`World`](crate::World). Clones are the same one.
#[derive(Clone)]
pub struct Host {
    pub(crate) world: Weak<Inner>,
    pub(crate) state: Rc<HostState>,
}

impl Host {
    /// Says that the world need not wait for it: a server that runs for ever.
    pub fn background(&self) -> &Host {
        self.state.background.set(true);
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// The simulated machine: addresses, faults, limits, open sockets.
    pub fn machine(&self) -> &SimHost {
        &self.state.sim
    }

    /// Cuts its power off: its connections are gone without a word, and its loop with all futures is dropped; what their
    /// destructors do reaches nobody. See [`SimHost::crash`]. The world does not wait for a host that is away, unless
    /// it is [restarted](Host::restart). One that is away already stays so.
    pub fn crash(&self) {
        if !self.state.sim.is_up() {
            return;
        }
        self.state.sim.crash();
        self.state.end();
        match self.state.event_loop.take() {
            // Its own code says so: the driver drops the loop when its turn is over.
            None => self.state.crashed_in_turn.set(true),
            Some(event_loop) => {
                let log = self.world.upgrade().map(|world| Rc::clone(&world.log));
                let _here = log.map(|log| note::enter(&log, &self.state.name));
                drop(event_loop);
            }
        }
    }

    /// Makes a host that has crashed reachable again, with a new loop and a new main future.
    ///
    /// # Panics
    /// When it has not crashed.
    #[track_caller]
    pub fn restart<F: Future<Output: HostOutput> + 'static>(&self, future: F) {
        assert!(!self.state.sim.is_up(), "{} has not crashed", self.state.name);
        let Some(world) = self.world.upgrade() else { return };
        self.state.sim.restart();
        let started = self.state.start(&world.log, future);
        // All parts are given, and the simulated selector never fails to be made.
        assert!(started.is_ok(), "a loop over the simulation: {started:?}");
    }

    /// Its main future has ended.
    pub fn is_done(&self) -> bool {
        self.state.is_done()
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("name", &self.state.name)
            .field("background", &self.state.background.get())
            .field("done", &self.state.is_done())
            .finish_non_exhaustive()
    }
}

/// What the main future of a host may give: nothing, a result whose error fails the world, or never anything.
pub trait HostOutput: 'static {
    /// The failure, if it is one.
    fn failure(self) -> Option<Box<dyn Error>>;
}

impl HostOutput for () {
    fn failure(self) -> Option<Box<dyn Error>> {
        None
    }
}

impl<E: Into<Box<dyn Error>> + 'static> HostOutput for Result<(), E> {
    fn failure(self) -> Option<Box<dyn Error>> {
        self.err().map(Into::into)
    }
}

/// A main future that never ends has the type `!`, which can't be written yet but as what a function gives.
impl HostOutput for <fn() -> ! as Function>::Output {
    fn failure(self) -> Option<Box<dyn Error>> {
        self
    }
}

/// A function, and what it gives.
pub trait Function {
    /// What it gives.
    type Output;
}

impl<T> Function for fn() -> T {
    type Output = T;
}

type Main = JoinHandle<Option<Box<dyn Error>>>;

/// A host as the driver sees it.
pub(crate) struct HostState {
    pub(crate) name: Rc<str>,
    pub(crate) sim: SimHost,
    pub(crate) background: Cell<bool>,
    /// It crashed while it turned.
    pub(crate) crashed_in_turn: Cell<bool>,
    /// `None` while it turns, and when it is gone.
    pub(crate) event_loop: RefCell<Option<EventLoop>>,
    /// `None` when its end was heard of.
    pub(crate) main: RefCell<Option<Main>>,
    /// What panicked here, and was not the main future.
    pub(crate) panicked: RefCell<Option<String>>,
}

/// How a main future ended.
pub(crate) enum Ending {
    Well,
    Failed(String),
    Panicked(String),
}

impl HostState {
    pub(crate) fn new(sim: SimHost) -> HostState {
        HostState {
            name: sim.name(),
            sim,
            background: Cell::new(false),
            crashed_in_turn: Cell::new(false),
            event_loop: RefCell::new(None),
            main: RefCell::new(None),
            panicked: RefCell::new(None),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.main.borrow().is_none()
    }

    /// Nobody waits for its main future any more.
    fn end(&self) {
        let main = self.main.take();
        drop(main);
    }

    /// Gives it a loop, with this main future on it.
    #[track_caller]
    pub(crate) fn start<F>(self: &Rc<Self>, log: &Rc<Log>, future: F) -> std::io::Result<()>
    where
        F: Future<Output: HostOutput> + 'static,
    {
        let event_loop = EventLoop::builder()
            .selector(self.sim.selector())
            .clock(self.sim.clock())
            .network(self.sim.network())
            .resolver(self.sim.resolver())
            .executor(Rc::new(Inline::new()))
            .build()?;
        let handle = event_loop.handle();
        let (host, log) = (Rc::downgrade(self), Rc::clone(log));
        handle.set_exception_handler(Some(Rc::new(move |_, context| {
            let Some(host) = host.upgrade() else { return };
            log.note(&host.name, format!("reports: {context}"));
            if matches!(context.error, Some(Failure::Panic(_))) {
                host.panicked.borrow_mut().get_or_insert_with(|| context.to_string());
            }
        })));
        *self.main.borrow_mut() = Some(handle.spawn(MainFuture(Box::pin(future))));
        *self.event_loop.borrow_mut() = Some(event_loop);
        Ok(())
    }

    /// How the main future ended, if it did since the last time.
    pub(crate) fn ending(&self) -> Option<Ending> {
        if let Some(what) = self.panicked.take() {
            return Some(Ending::Panicked(what));
        }
        let mut main = self.main.borrow_mut();
        main.as_ref().filter(|main| main.is_finished())?;
        let polled = Pin::new(main.as_mut()?).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(output) = polled else { return None };
        *main = None;
        Some(match output {
            Ok(None) => Ending::Well,
            Ok(Some(error)) => Ending::Failed(text_of(&*error)),
            Err(JoinError::Panicked(panic)) => Ending::Panicked(panic.to_string()),
            Err(other) => Ending::Failed(other.to_string()),
        })
    }
}

/// The main future, by a name of its own: a report of who waits is easier to read.
struct MainFuture<F>(Pin<Box<F>>);

impl<F: Future<Output: HostOutput>> Future for MainFuture<F> {
    type Output = Option<Box<dyn Error>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context).map(HostOutput::failure)
    }
}

fn text_of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(", caused by: {error}"));
        cause = error.source();
    }
    text
}
