//! Signals as callbacks: `add_signal_handler`. The driver catches them; here is whom they concern.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};

use millrun_selector::{Foreign, Interest, Key, Readiness};

use crate::Watch;
use crate::callback::Scheduled;
use crate::ready::Entry;
use crate::signal::{Signal, SignalDriver};
use crate::state::Core;

/// The signals of one loop.
#[derive(Default)]
pub(crate) struct Signals {
    /// There as long as a signal is handled: it costs two descriptors.
    driver: RefCell<Option<SignalDriver>>,
    key: Cell<Option<Key>>,
    handlers: RefCell<Vec<(Signal, Rc<dyn Scheduled>)>>,
}

impl Core {
    /// Takes a signal, or replaces the callback of one that it has (L-111).
    pub(crate) fn add_signal(&self, signal: Signal, callback: Rc<dyn Scheduled>) -> io::Result<()> {
        self.check_open()?;
        self.start_driver()?;
        let installed = match &mut *self.signals.driver.borrow_mut() {
            Some(driver) => driver.install(signal),
            None => Ok(()),
        };
        if let Err(error) = installed {
            self.stop_idle_driver();
            return Err(error);
        }
        let before = self.take_handler(signal);
        self.signals.handlers.borrow_mut().push((signal, callback));
        if let Some(before) = before {
            before.cancel(None);
        }
        Ok(())
    }

    /// Gives a signal back, and cancels its callback (L-110).
    pub(crate) fn remove_signal(&self, signal: Signal) -> bool {
        let handler = self.take_handler(signal);
        if let Some(driver) = &mut *self.signals.driver.borrow_mut() {
            driver.remove(signal);
        }
        self.stop_idle_driver();
        let was_there = handler.is_some();
        if let Some(handler) = handler {
            handler.cancel(None);
        }
        was_there
    }

    /// Gives all signals back (L-113).
    pub(crate) fn drop_signals(&self) {
        let driver = self.signals.driver.take();
        drop(driver);
        let handlers = self.signals.handlers.take();
        for (_, handler) in handlers {
            self.give_up("a signal handler of a closed loop", handler);
        }
    }

    fn take_handler(&self, signal: Signal) -> Option<Rc<dyn Scheduled>> {
        let mut handlers = self.signals.handlers.borrow_mut();
        let index = handlers.iter().position(|(present, _)| *present == signal)?;
        Some(handlers.remove(index).1)
    }

    fn start_driver(&self) -> io::Result<()> {
        if self.signals.driver.borrow().is_some() {
            return Ok(());
        }
        let driver = SignalDriver::new()?;
        let watch = Rc::new(SignalWatch(self.this.clone()));
        let key = self.watch(&Foreign::new(&driver), Interest::READ, watch)?;
        self.signals.key.set(Some(key));
        *self.signals.driver.borrow_mut() = Some(driver);
        Ok(())
    }

    /// Without signals there is no driver.
    fn stop_idle_driver(&self) {
        if !self.signals.driver.borrow().as_ref().is_some_and(SignalDriver::is_empty) {
            return;
        }
        let driver = self.signals.driver.take();
        if let (Some(driver), Some(key)) = (&driver, self.signals.key.take()) {
            // It was watched since it was made, so this can't fail; and it is closed in any case.
            let _ = self.unwatch(key, &Foreign::new(driver));
        }
    }

    /// Queues the callbacks of what came: they run in a later round, not in here (L-105).
    fn queue_signals(&self) {
        let mut came = Vec::new();
        if let Some(driver) = &mut *self.signals.driver.borrow_mut() {
            driver.drain(&mut |signal| came.push(signal));
        }
        for signal in came {
            let handlers = self.signals.handlers.borrow();
            let found = handlers.iter().find(|(present, _)| *present == signal);
            let handler = found.map(|(_, handler)| Rc::clone(handler));
            drop(handlers);
            match handler {
                // Cancelled by its handle: the signal goes back (L-115).
                Some(handler) if handler.is_cancelled() => {
                    self.remove_signal(signal);
                }
                Some(handler) => self.ready.push(|| Entry::Handle(handler)),
                None => {} // L-114
            }
        }
    }
}

struct SignalWatch(Weak<Core>);

impl Watch for SignalWatch {
    fn on_ready(self: Rc<Self>, _: Readiness) {
        let Some(core) = self.0.upgrade() else { return };
        core.queue_signals();
    }

    fn name(&self) -> &'static str {
        "the pipe of signals"
    }
}
