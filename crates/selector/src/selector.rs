//! The registry's own boundary: [`Selector`], what it registers ([`Source`]) and how another thread
//! ends its wait ([`Wake`]).

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::{Event, Interest, Key, ReadyCell};

/// Something that can be registered.
///
/// An *owned* source (a socket of this crate, or of a simulation) shares a [`ReadyCell`] with the
/// selector and clears its bits itself. A *foreign* source has none: nobody here sees its reads, so
/// the selector asks the kernel again after each report.
pub trait Source: fmt::Debug {
    /// The descriptor; `None` for a simulated source.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// The cell of an owned source; `None` means foreign.
    fn readiness(&self) -> Option<&Rc<ReadyCell>>;

    /// Nobody else holds a duplicate of the descriptor, so that closing it takes it out of the
    /// kernel's registry too. False for an adopted descriptor: deregistering it then asks the kernel.
    fn is_exclusive(&self) -> bool {
        true
    }

    /// An owned source that would rather hear of its readiness again at each look, from a kernel that can, than
    /// try until a call fails: where such a call is dear. A listener is so, since an accept that finds nobody makes a
    /// socket first and throws it away.
    ///
    /// The selector says in the cell whether it does so ([`ReadyCell::is_told_again`]). Then what was read is as good as
    /// exhausted: the source clears its bit after each read, whether or not there is more.
    fn prefers_level(&self) -> bool {
        false
    }
}

/// What a pointer points to is a source through the pointer too, so that a `&Box<dyn Socket>` is a
/// `&dyn Source` (turning a `&dyn Socket` into one needs Rust 1.86).
macro_rules! source_through {
    ($($pointer:ty),*) => {$(
        impl<T: Source + ?Sized> Source for $pointer {
            fn fd(&self) -> Option<BorrowedFd<'_>> {
                (**self).fd()
            }

            fn readiness(&self) -> Option<&Rc<ReadyCell>> {
                (**self).readiness()
            }

            fn is_exclusive(&self) -> bool {
                (**self).is_exclusive()
            }

            fn prefers_level(&self) -> bool {
                (**self).prefers_level()
            }
        }
    )*};
}

source_through!(&T, Box<T>, Rc<T>);

/// A descriptor that is somebody else's, to be watched as asyncio's `add_reader` does: a foreign
/// [`Source`].
#[derive(Clone, Copy, Debug)]
pub struct Foreign<'fd>(BorrowedFd<'fd>);

impl<'fd> Foreign<'fd> {
    /// Borrows the descriptor of a socket, a pipe, a terminal, …
    pub fn new(fd: &'fd (impl AsFd + ?Sized)) -> Foreign<'fd> {
        Foreign(fd.as_fd())
    }
}

impl Source for Foreign<'_> {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0)
    }

    fn readiness(&self) -> Option<&Rc<ReadyCell>> {
        None
    }

    fn is_exclusive(&self) -> bool {
        false
    }
}

/// A registry that answers "what is ready?", level-triggered.
///
/// The contract, whatever the kernel's own mechanism is:
/// - [`select`](Selector::select) reports a key for as long as it is ready and wanted (SEL-010).
/// - Changing the interest of an owned source is a change of a mask, without a system call.
/// - A key that was deregistered is never reported again, even if its event was in flight.
/// - Register a socket after its connect was issued, never before.
pub trait Selector: fmt::Debug {
    /// Adds a source and names it.
    ///
    /// # Errors
    /// What the kernel refuses (a regular file under epoll: `PermissionDenied`), and
    /// `AlreadyExists` for a foreign descriptor that is registered (SEL-001). Nothing is
    /// registered then (SEL-009).
    fn register(&mut self, source: &dyn Source, interest: Interest) -> io::Result<Key>;

    /// Changes what a registration wants to hear.
    ///
    /// # Errors
    /// `NotFound` for a key that is not registered (SEL-006); what the kernel refuses for a foreign
    /// source, which is then deregistered (SEL-008).
    fn set_interest(&mut self, key: Key, interest: Interest) -> io::Result<()>;

    /// Forgets a registration. Call it before the descriptor is closed.
    ///
    /// # Errors
    /// `NotFound` for a key that is not registered (SEL-004). A descriptor that was closed behind
    /// our back is no error (SEL-005).
    fn deregister(&mut self, key: Key, source: &dyn Source) -> io::Result<()>;

    /// Waits until something is ready, the time is over or another thread wakes it, and appends
    /// what is ready to `out`, one event a key.
    ///
    /// `None` waits without end; zero only looks. A positive timeout is waited out whole, rounded up
    /// to what the kernel can tell apart (SEL-012). May return early with nothing (a signal,
    /// a wake-up): nothing is lost by it.
    ///
    /// # Errors
    /// Only what makes the registry itself unusable.
    fn select(&mut self, timeout: Option<Duration>, out: &mut Vec<Event>) -> io::Result<()>;

    /// What ends a wait from another thread. All wakers of a selector are the same one.
    fn waker(&self) -> Arc<dyn Wake>;
}

/// Ends the wait of a selector, from any thread, also when the selector is gone.
pub trait Wake: Send + Sync + fmt::Debug {
    /// The present wait, or else the next one, returns at once. Never blocks, never fails: what the
    /// kernel refuses here (the selector is gone) needs no waking.
    fn wake(&self);
}
