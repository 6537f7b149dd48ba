//! asyncio's way to watch a descriptor: a reader and a writer callback for each (`add_reader` and its kin).
//!
//! For descriptors of others ("foreign" ones): whatever reads them, nobody here sees it, so the
//! selector asks the kernel again after each report. Both callbacks of a descriptor share one watch.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::{Rc, Weak};

use millrun_selector::{Foreign, Interest, Key, Readiness, ReadyCell, Source};

use crate::callback::Scheduled;
use crate::state::{Core, Phase};
use crate::{ErrorContext, Watch, catch};

/// A descriptor that a watch of another kind owns: a transport's socket, say. Inside an `io::Error` of kind
/// `ResourceBusy` (L-087).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DescriptorInUse {
    /// The descriptor.
    pub fd: RawFd,
}

/// Which of the two callbacks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Reader,
    Writer,
}

/// The two callbacks of one descriptor.
pub(crate) struct FdWatch {
    core: Weak<Core>,
    fd: RawFd,
    key: Cell<Option<Key>>,
    reader: RefCell<Option<Added>>,
    writer: RefCell<Option<Added>>,
}

#[derive(Clone)]
struct Added {
    callback: Rc<dyn Scheduled>,
    /// The turn in which it was added: an event of that turn was meant for its predecessor.
    turn: u64,
}

impl Core {
    /// Adds or replaces one callback (L-080, L-081, L-083).
    pub(crate) fn add_side(
        &self,
        fd: BorrowedFd<'_>,
        side: Side,
        callback: Rc<dyn Scheduled>,
    ) -> io::Result<()> {
        self.check_open()?;
        let added = Added { callback, turn: self.counts.turns.get() };
        let raw = fd.as_raw_fd();
        let present = self.fds.borrow().get(&raw).cloned();
        let own = present.as_ref().and_then(|watch| watch.key.get());
        if self.watches.borrow().is_used(raw, own) {
            let refused = DescriptorInUse { fd: raw };
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, refused));
        }
        if let Some(watch) = present {
            watch.put(side, Some(added.clone()));
            match watch.key.get().map(|key| self.confirm_interest(key, watch.interest())) {
                Some(Ok(())) => return Ok(()),
                // The descriptor was closed behind its registration, and its number was given to another:
                // the callbacks that were there are for the old one.
                _ => watch.forget_all_but(&added.callback),
            }
            self.fds.borrow_mut().remove(&raw);
        }
        self.add_first_side(fd, side, added)
    }

    fn add_first_side(&self, fd: BorrowedFd<'_>, side: Side, added: Added) -> io::Result<()> {
        let raw = fd.as_raw_fd();
        let watch = Rc::new(FdWatch {
            core: self.this.clone(),
            fd: raw,
            key: Cell::new(None),
            reader: RefCell::new(None),
            writer: RefCell::new(None),
        });
        watch.put(side, Some(added));
        let key =
            self.watch(&Foreign::new(&fd), side.interest(), Rc::clone(&watch) as Rc<dyn Watch>)?;
        watch.key.set(Some(key));
        self.fds.borrow_mut().insert(raw, watch);
        Ok(())
    }

    /// Removes one callback, if it is there, and cancels it (L-082, L-083).
    pub(crate) fn remove_side(&self, fd: RawFd, side: Side) -> bool {
        if self.phase.get() == Phase::Closed {
            return false;
        }
        let watch = self.fds.borrow().get(&fd).cloned();
        watch.is_some_and(|watch| self.take_side(&watch, side))
    }

    fn take_side(&self, watch: &Rc<FdWatch>, side: Side) -> bool {
        if !watch.put(side, None) {
            return false;
        }
        let Some(key) = watch.key.get() else { return true };
        let left = watch.interest();
        // What the kernel refuses now was closed behind our back: nothing is left to remove (SEL-005).
        let gone = if left.is_none() {
            let _ = self.unwatch(key, &Gone);
            true
        } else {
            self.set_interest(key, left).is_err()
        };
        if gone {
            let present = self.fds.borrow_mut().remove(&watch.fd);
            drop(present);
        }
        true
    }
}

impl FdWatch {
    const fn slot(&self, side: Side) -> &RefCell<Option<Added>> {
        match side {
            Side::Reader => &self.reader,
            Side::Writer => &self.writer,
        }
    }

    /// Of both sides.
    pub(crate) fn callbacks(&self) -> impl Iterator<Item = Rc<dyn Scheduled>> {
        let sides = [Side::Reader, Side::Writer];
        sides.into_iter().filter_map(|side| Some(self.present(side)?.callback))
    }

    fn present(&self, side: Side) -> Option<Added> {
        self.slot(side).borrow().clone()
    }

    /// Sets one side and cancels what was there, which must not run any more even if its event is
    /// queued (L-089). Says whether there was something.
    fn put(&self, side: Side, added: Option<Added>) -> bool {
        let before = self.slot(side).replace(added);
        match before {
            Some(before) => {
                before.callback.cancel(None);
                true
            }
            None => false,
        }
    }

    fn interest(&self) -> Interest {
        let mut interest = Interest::NONE;
        for side in [Side::Reader, Side::Writer] {
            if self.slot(side).borrow().is_some() {
                interest = interest | side.interest();
            }
        }
        interest
    }

    fn forget_all_but(&self, callback: &Rc<dyn Scheduled>) {
        for side in [Side::Reader, Side::Writer] {
            let before = self.slot(side).take();
            match before {
                Some(before) if !Rc::ptr_eq(&before.callback, callback) => {
                    before.callback.cancel(None);
                }
                _ => {}
            }
        }
    }

    fn call(self: &Rc<Self>, core: &Core, side: Side, added: &Added) {
        if added.callback.is_cancelled() {
            // By its handle: the registration goes with it (L-084). If it was removed or replaced, that is done.
            let is_present =
                self.present(side).is_some_and(|p| Rc::ptr_eq(&p.callback, &added.callback));
            if is_present {
                core.take_side(self, side);
            }
        } else if added.turn != core.counts.turns.get() {
            if let Err(panic) = catch(|| added.callback.run()) {
                core.report(
                    ErrorContext::new(format!("exception in callback {}", added.callback.name()))
                        .panic(panic)
                        .detail("handle", format_args!("added at {}", added.callback.location()))
                        .detail("fd", self.fd),
                );
            }
        }
    }
}

impl Watch for FdWatch {
    /// The reader before the writer (L-085), each as it was when the event came.
    fn on_ready(self: Rc<Self>, readiness: Readiness) {
        let Some(core) = self.core.upgrade() else { return };
        let reader = self.present(Side::Reader).filter(|_| readiness.is_readable());
        let writer = self.present(Side::Writer).filter(|_| readiness.is_writable());
        if let Some(reader) = reader {
            self.call(&core, Side::Reader, &reader);
        }
        if let Some(writer) = writer {
            self.call(&core, Side::Writer, &writer);
        }
    }

    fn name(&self) -> &'static str {
        let side = if self.reader.borrow().is_some() { &self.reader } else { &self.writer };
        side.borrow().as_ref().map_or("a reader or writer", |added| added.callback.name())
    }
}

impl Side {
    const fn interest(self) -> Interest {
        match self {
            Side::Reader => Interest::READ,
            Side::Writer => Interest::WRITE,
        }
    }
}

/// A foreign descriptor that need not be there any more: a selector knows it by its key.
#[derive(Debug)]
struct Gone;

impl Source for Gone {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn readiness(&self) -> Option<&Rc<ReadyCell>> {
        None
    }
}

impl fmt::Display for DescriptorInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "descriptor {} is used by a transport or another watch", self.fd)
    }
}

impl std::error::Error for DescriptorInUse {}
