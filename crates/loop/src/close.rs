//! How does a loop end? Connections first, then tasks, then the remote queue; and it always ends.

use std::rc::Rc;

use crate::callback::Scheduled;
use crate::ready::Entry;
use crate::state::{Core, Phase};
use crate::timers::Timed;
use crate::turn::Work;
use crate::{ErrorContext, catch, here};

/// Rounds that a closing loop runs for what its connections queue. Each layer of a stack (TLS over TLS over
/// a socket) adds one or two; whoever queues more without end is cut off.
const CLOSING_ROUNDS: usize = 64;

impl Core {
    /// Closes; idempotent. Strangers' code may be called (and may call any handle), panics are reported.
    pub(crate) fn close(self: &Rc<Self>) {
        if self.phase.get() != Phase::Open {
            return;
        }
        let _here = here::enter(self);
        if self.check_process().is_err() {
            return self.abandon();
        }
        self.phase.set(Phase::Closing);
        for entry in self.ready.take_unowed() {
            self.drop_entry(entry);
        }
        self.end_connections();
        self.phase.set(Phase::Closed);
        self.drop_all();
        here::remove(self);
    }

    /// Tells each watcher, and runs what that queues (D-19).
    fn end_connections(&self) {
        let watchers = self.watches.borrow().watchers();
        for watcher in watchers {
            let _unit = self.enter_unit();
            let mut name = "";
            let end = || {
                name = watcher.name();
                watcher.on_loop_close();
            };
            if let Err(panic) = catch(end) {
                self.report(
                    ErrorContext::new("exception in a watch, of a closing loop")
                        .panic(panic)
                        .detail("watch", name),
                );
            }
        }
        let mut work = Work::default();
        for _ in 0..CLOSING_ROUNDS {
            if self.run_round(&mut work, &mut |_| {}) == 0 {
                return;
            }
        }
    }

    fn drop_all(&self) {
        let mut entries = Vec::new();
        self.ready.take(&mut entries);
        for entry in entries {
            self.drop_entry(entry);
        }
        self.close_tasks();
        #[cfg(feature = "os")]
        self.drop_signals();
        let fds = self.fds.take();
        for callback in fds.values().flat_map(|watch| watch.callbacks()) {
            self.give_up("a reader or writer of a closed loop", callback);
        }
        drop(fds);
        let watchers = self.watches.borrow_mut().take();
        for watcher in watchers {
            self.drop_reported("a watch of a closed loop", watcher);
        }
        let timers = self.timers.borrow_mut().drain();
        for timed in timers {
            match timed {
                Timed::Call(callback) => self.give_up("a timer of a closed loop", callback),
                Timed::Wake(waker) => self.drop_reported("a timer of a closed loop", waker),
            }
        }
        for item in self.remote.0.close() {
            self.drop_reported("a callback of a closed loop", item);
        }
        // Without waiting for its jobs (L-027).
        drop(self.executor.shutdown());
        self.blocks.clear();
        // It may hold a handle of this loop: a circle.
        self.handler.set(None);
        let selector = self.selector.take();
        drop(selector);
    }

    fn drop_entry(&self, entry: Entry) {
        let what = "a callback of a closed loop";
        match entry {
            Entry::Handle(callback) => self.give_up(what, callback),
            entry => self.drop_reported(what, entry),
        }
    }

    /// Drops a callback with what it captured, whoever has a handle of it: that may be the callback itself, a circle.
    pub(crate) fn give_up(&self, what: &'static str, callback: Rc<dyn Scheduled>) {
        struct GivenUp(Rc<dyn Scheduled>);
        impl Drop for GivenUp {
            fn drop(&mut self) {
                self.0.give_up();
            }
        }
        self.drop_reported(what, GivenUp(callback));
    }

    /// In a child process: the connections and the kernel's registry are shared with the parent, so nothing may
    /// be told or dropped that could write to them or wait for a thread that is not here. It is all leaked; the
    /// child's own descriptors of the registry are closed, and its signals
    /// given back, nothing else.
    fn abandon(self: &Rc<Self>) {
        self.phase.set(Phase::Closed);
        std::mem::forget(Rc::clone(self));
        #[cfg(feature = "os")]
        self.drop_signals();
        let selector = self.selector.take();
        drop(selector);
        here::remove(self);
    }
}
