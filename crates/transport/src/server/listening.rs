//! One listening socket and its accepting: [`Listening`].
//!
//! A readable event accepts until nothing waits, at most `backlog` times, so that a flood of
//! connections can't keep the loop from its other work (SV-011); or one, where the selector tells of the others
//! (`again.rs`). What accept can say else:
//! - an interruption, or a connection that was gone before it was accepted: the next one (SV-012);
//! - no descriptors, no memory: accepting again at once would fail again, for as long as it lasts, and the
//!   listener stays readable. One report, then the listener is not looked at for [`RETRY`]. The
//!   connections wait in the kernel's queue, and other listeners go on (SV-013, D-07);
//! - anything else: a report, and listening goes on (SV-014). If the very next accept fails so too (a
//!   descriptor that was closed behind our back fails for ever), the listener pauses as above.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{ErrorContext, TimerHandle, Watch};
use millrun_selector::{Address, Interest, Key, Listener, Readiness};

use super::again::{self, Again};
use super::socket_file::SocketFile;
use super::state::State;

/// How long a listener is left alone that can't accept for want of resources, as asyncio does.
const RETRY: Duration = Duration::from_secs(1);

/// A listening socket of a server.
pub(super) struct Listening {
    server: Rc<State>,
    address: Address,
    /// `None` once it is closed. In an `Rc` so that no borrow is held while it is called.
    listener: RefCell<Option<Rc<dyn Listener>>>,
    /// Its registration while the server serves.
    key: Cell<Option<Key>>,
    /// When it is looked at again, while it pauses.
    retry: Cell<Option<TimerHandle>>,
    /// The last accept failed in a way that says nothing of the next one.
    failing: Cell<bool>,
    again: Again,
    /// What to remove when it is closed.
    file: Option<SocketFile>,
}

impl Listening {
    pub(super) fn new(
        server: Rc<State>,
        listener: Box<dyn Listener>,
        address: Address,
        file: Option<SocketFile>,
    ) -> Rc<Listening> {
        Rc::new(Listening {
            server,
            address,
            listener: RefCell::new(Some(listener.into())),
            key: Cell::new(None),
            retry: Cell::new(None),
            failing: Cell::new(false),
            again: Again::default(),
            file,
        })
    }

    /// Begins to accept.
    pub(super) fn start(self: &Rc<Self>) -> io::Result<()> {
        self.watch(Interest::READ)
    }

    fn watch(self: &Rc<Self>, interest: Interest) -> io::Result<()> {
        let listener = self.listener.borrow().clone();
        if let (Some(listener), None) = (listener, self.key.get()) {
            let key = self.server.handle.watch(&listener, interest, self.clone())?;
            self.key.set(Some(key));
        }
        Ok(())
    }

    /// Accepts no more; the socket goes on listening.
    pub(super) fn stop(&self) {
        if let Some(timer) = self.retry.take() {
            timer.cancel();
        }
        let listener = self.listener.borrow().clone();
        if let (Some(listener), Some(key)) = (listener, self.key.take()) {
            // Fails only on a closed loop, which has forgotten the registration already.
            let _ = self.server.handle.unwatch(key, &listener);
        }
    }

    /// Closes the socket, after it was deregistered, and removes its file.
    pub(super) fn close(&self) {
        self.stop();
        let listener = self.listener.take();
        if let (Some(_), Some(file)) = (&listener, &self.file) {
            if let Err(error) = file.remove() {
                tracing::error!(address = %self.address, %error, "can't remove the socket file");
            }
        }
        drop(listener);
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    fn accept_some(self: &Rc<Self>) {
        let due = self.again.due(|| self.server.handle.metrics().io_events);
        let mut accepted = 0;
        for _ in 0..self.server.backlog {
            // Asked again each time: what was called meanwhile may have closed the server.
            let Some(listener) = self.listener.borrow().clone() else { return };
            if self.key.get().is_none() {
                return;
            }
            match listener.try_accept_bare() {
                Ok((socket, peer)) => {
                    accepted += 1;
                    self.failing.set(false);
                    let is_told_again = is_told_again(&*listener);
                    drop(listener);
                    self.server.admit(socket, peer.as_ref());
                    if is_told_again && due.is_none() {
                        return;
                    }
                    if is_told_again && accepted == again::MOST {
                        break;
                    }
                }
                Err(error) => {
                    if !self.refused(listener, error) {
                        break;
                    }
                }
            }
        }
        if let Some(events) = due {
            self.again.found(accepted, events);
        }
    }

    /// Whether the next accept may go better.
    #[cold]
    fn refused(self: &Rc<Self>, listener: Rc<dyn Listener>, error: io::Error) -> bool {
        drop(listener);
        match Refusal::of(&error) {
            Refusal::NoneWaits => self.failing.set(false),
            Refusal::NextOne => return true,
            Refusal::NoResources => {
                self.report("socket.accept() out of system resource", error);
                self.pause();
            }
            Refusal::Unknown => {
                self.report("accepting a connection failed", error);
                if self.failing.replace(true) {
                    self.pause();
                }
            }
        }
        false
    }

    fn report(&self, message: &'static str, error: io::Error) {
        let context = ErrorContext::new(message).error(error).detail("listener", &self.address);
        self.server.handle.report(context);
    }

    /// Leaves the listener alone for a while: a change of a mask and one timer.
    fn pause(self: &Rc<Self>) {
        // The report may have closed the server.
        let Some(key) = self.key.get() else { return };
        // It stays registered, so that a loop that closes finds it. A refusal has ended the registration.
        if self.server.handle.set_interest(key, Interest::NONE).is_err() {
            self.key.set(None);
            // If this fails too, the retry makes another.
            let _ = self.watch(Interest::NONE);
        }
        self.resume_later();
    }

    fn resume_later(self: &Rc<Self>) {
        let listening = self.clone();
        // Fails only on a closed loop.
        if let Ok(timer) = self.server.handle.call_later(RETRY, move || listening.resume()) {
            self.retry.set(Some(timer));
        }
    }

    /// Registers it anew: one that was not wanted is not told again any more.
    fn resume(self: &Rc<Self>) {
        self.stop();
        if let Err(error) = self.start() {
            self.report("watching a listener again failed", error);
            self.resume_later();
        }
    }
}

impl Watch for Listening {
    fn on_ready(self: Rc<Self>, _readiness: Readiness) {
        self.accept_some();
    }

    fn on_loop_close(self: Rc<Self>) {
        self.server.close();
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listening({})", self.address)
    }
}

/// The selector tells of it again for as long as somebody waits: of what has no cell it always does.
fn is_told_again(listener: &dyn Listener) -> bool {
    listener.readiness().is_none_or(|cell| cell.is_told_again())
}

/// What an error of accept means for the next one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refusal {
    /// No connection waits.
    NoneWaits,
    /// This one is gone; another may wait.
    NextOne,
    /// It will fail again until somebody gives something back.
    NoResources,
    /// Nobody knows.
    Unknown,
}

impl Refusal {
    fn of(error: &io::Error) -> Refusal {
        match error.kind() {
            io::ErrorKind::WouldBlock => Refusal::NoneWaits,
            io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => Refusal::NextOne,
            io::ErrorKind::OutOfMemory => Refusal::NoResources,
            _ => match error.raw_os_error() {
                Some(EMFILE | ENFILE | ENOBUFS | ENOMEM) => Refusal::NoResources,
                _ => Refusal::Unknown,
            },
        }
    }
}

// std has no kinds for these. The first three are the same on every Unix.
const ENOMEM: i32 = 12;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const ENOBUFS: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
    105
} else if cfg!(any(target_os = "solaris", target_os = "illumos")) {
    132
} else {
    55 // macOS and the BSDs
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sv_013_the_four_numbers_mean_a_pause() {
        for number in [EMFILE, ENFILE, ENOBUFS, ENOMEM] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(Refusal::of(&error), Refusal::NoResources, "{error}");
        }
        assert!(io::Error::from_raw_os_error(ENOBUFS).to_string().contains("buffer space"));
    }

    #[test]
    fn sv_012_aborted_and_interrupted_go_on_and_would_block_ends_the_round() {
        let refusal = |kind: io::ErrorKind| Refusal::of(&kind.into());
        assert_eq!(refusal(io::ErrorKind::ConnectionAborted), Refusal::NextOne);
        assert_eq!(refusal(io::ErrorKind::Interrupted), Refusal::NextOne);
        assert_eq!(refusal(io::ErrorKind::WouldBlock), Refusal::NoneWaits);
        assert_eq!(refusal(io::ErrorKind::PermissionDenied), Refusal::Unknown);
    }
}
