//! What is a loop made of? Its parts, each of which can be chosen: [`Builder`].

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use millrun_selector::{Clock, Network, Resolver, Selector};

use crate::errors::ExceptionHandler;
use crate::state::{Core, Flags, Phase, SLOW_CALLBACK};
use crate::task::Polled;
use crate::{EventLoop, Executor, Remote, here};

/// Chooses the parts of an [`EventLoop`]. What is not chosen is the operating system's (feature `os`).
#[derive(Debug, Default)]
pub struct Builder {
    selector: Option<Box<dyn Selector>>,
    clock: Option<Rc<dyn Clock>>,
    network: Option<Rc<dyn Network>>,
    resolver: Option<Arc<dyn Resolver>>,
    executor: Option<Rc<dyn Executor>>,
    debug: bool,
    measure: bool,
}

impl Builder {
    /// What waits for readiness. Unless given: mio (epoll, kqueue).
    #[must_use]
    pub fn selector(mut self, selector: Box<dyn Selector>) -> Builder {
        self.selector = Some(selector);
        self
    }

    /// Where time comes from. Unless given: the system's monotonic clock.
    #[must_use]
    pub fn clock(mut self, clock: Rc<dyn Clock>) -> Builder {
        self.clock = Some(clock);
        self
    }

    /// What makes sockets. Unless given: the operating system.
    #[must_use]
    pub fn network(mut self, network: Rc<dyn Network>) -> Builder {
        self.network = Some(network);
        self
    }

    /// What knows names. Unless given: the system's resolver.
    #[must_use]
    pub fn resolver(mut self, resolver: Arc<dyn Resolver>) -> Builder {
        self.resolver = Some(resolver);
        self
    }

    /// Where blocking work runs. Unless given: a small pool of threads, started when they are needed.
    #[must_use]
    pub fn executor(mut self, executor: Rc<dyn Executor>) -> Builder {
        self.executor = Some(executor);
        self
    }

    /// Debug mode from the start; see [`LoopHandle::set_debug`](crate::LoopHandle::set_debug).
    #[must_use]
    pub const fn debug(mut self, on: bool) -> Builder {
        self.debug = on;
        self
    }

    /// Measures the times of [`Metrics`](crate::Metrics): two looks at the clock for each callback.
    #[must_use]
    pub const fn measure(mut self, on: bool) -> Builder {
        self.measure = on;
        self
    }

    /// Makes the loop.
    ///
    /// # Errors
    /// What the kernel refuses for the selector; `Unsupported`, naming the part, when one was not given and
    /// the feature `os` is off.
    pub fn build(self) -> io::Result<EventLoop> {
        let selector = given(self.selector, "selector", defaults::selector)?;
        let clock = given(self.clock, "clock", defaults::clock)?;
        let network = given(self.network, "network", defaults::network)?;
        let resolver = given(self.resolver, "resolver", defaults::resolver)?;
        let executor = self.executor.unwrap_or_else(defaults::executor);
        let remote = Remote::new(selector.waker());
        let core = Rc::new_cyclic(|this| Core {
            this: this.clone(),
            clock,
            network,
            resolver,
            executor,
            selector: RefCell::new(Some(selector)),
            remote,
            ready: Default::default(),
            timers: Default::default(),
            watches: Default::default(),
            #[cfg(feature = "os")]
            signals: Default::default(),
            fds: RefCell::new(HashMap::new()),
            tasks: Default::default(),
            polled: Polled::new(),
            units: Default::default(),
            blocks: Default::default(),
            handler: ExceptionHandler::new(),
            counts: Default::default(),
            phase: Cell::new(Phase::Open),
            running: Cell::new(false),
            flags: Flags::default(),
            root_generation: Cell::new(0),
            pid: Cell::new(std::process::id()),
            debug: Cell::default(),
            measure: self.measure,
            slow: Cell::new(SLOW_CALLBACK),
            spin: Cell::default(),
        });
        core.set_debug(self.debug);
        here::add(&core);
        Ok(EventLoop::from_core(core))
    }
}

fn given<T>(
    part: Option<T>,
    name: &'static str,
    default: impl FnOnce(&'static str) -> io::Result<T>,
) -> io::Result<T> {
    part.map_or_else(|| default(name), Ok)
}

#[cfg(feature = "os")]
mod defaults {
    use std::io;
    use std::rc::Rc;
    use std::sync::Arc;

    use millrun_selector::{
        Clock, MioSelector, Monotonic, Network, OsNetwork, Resolver, Selector, SystemResolver,
    };

    use crate::{Executor, ThreadPool};

    pub(super) fn selector(_: &'static str) -> io::Result<Box<dyn Selector>> {
        Ok(Box::new(MioSelector::new()?))
    }

    pub(super) fn clock(_: &'static str) -> io::Result<Rc<dyn Clock>> {
        Ok(Rc::new(Monotonic::default()))
    }

    pub(super) fn network(_: &'static str) -> io::Result<Rc<dyn Network>> {
        Ok(Rc::new(OsNetwork))
    }

    pub(super) fn resolver(_: &'static str) -> io::Result<Arc<dyn Resolver>> {
        Ok(Arc::new(SystemResolver))
    }

    pub(super) fn executor() -> Rc<dyn Executor> {
        Rc::new(ThreadPool::new())
    }
}

#[cfg(not(feature = "os"))]
mod defaults {
    use std::io;
    use std::rc::Rc;
    use std::sync::Arc;

    use millrun_selector::{Clock, Network, Resolver, Selector};

    use crate::{Executor, Inline};

    fn missing<T>(part: &'static str) -> io::Result<T> {
        let text = format!("a loop needs a {part}: give one, or enable the feature \"os\"");
        Err(io::Error::new(io::ErrorKind::Unsupported, text))
    }

    pub(super) fn selector(part: &'static str) -> io::Result<Box<dyn Selector>> {
        missing(part)
    }

    pub(super) fn clock(part: &'static str) -> io::Result<Rc<dyn Clock>> {
        missing(part)
    }

    pub(super) fn network(part: &'static str) -> io::Result<Rc<dyn Network>> {
        missing(part)
    }

    pub(super) fn resolver(part: &'static str) -> io::Result<Arc<dyn Resolver>> {
        missing(part)
    }

    pub(super) fn executor() -> Rc<dyn Executor> {
        Rc::new(Inline::new())
    }
}
