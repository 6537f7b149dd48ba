//! The one unsafe module of this crate: a signal handler, and `sigaction` to install it.
//!
//! # What the kernel does
//!
//! A signal interrupts any thread of the process, between any two instructions: within `malloc`,
//! under a lock. The handler may therefore use only what POSIX lists as async-signal-safe, and must leave
//! `errno` as it was. A disposition belongs to the process, so one handler serves all loops in it.
//!
//! # What the handler does
//!
//! It looks in a static table of atomics, one slot a signal, counts the signal there, and, if it was the
//! first since the loop last looked, writes the signal's number as one byte to the slot's descriptor, which
//! wakes the loop. Counts can't be lost when the pipe is full, as bytes could. It does nothing in a
//! forked child (`owner`): the child shares the pipe, and the parent would hear of the child's signals.
//!
//! # Why the descriptor is not closed under a handler's feet
//!
//! Another thread may be in the handler while the signal is removed. The handler first adds itself
//! to `running`, then reads `fd`; the remover first clears `fd`, then waits until `running` is 0. All
//! four are sequentially consistent, so either the handler reads the cleared `fd`, or the remover
//! sees it running and waits (it never waits for a handler on its own thread: that one would have ended
//! before the remover goes on). Only then may the descriptor be closed.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering::SeqCst};

use libc::c_int;

/// Slots of the table: more than any Unix has signals (FreeBSD: 128).
const TABLE: usize = 129;

/// No loop has the signal.
const FREE: c_int = -1;

/// A loop is about to have it.
const RESERVED: c_int = -2;

struct Slot {
    /// Where to write: a descriptor that stays open until `running` was seen as 0 after this was
    /// cleared; or `FREE`, or `RESERVED`.
    fd: AtomicI32,
    /// The process that installed it.
    owner: AtomicU32,
    /// How many came since the loop last took them.
    pending: AtomicU32,
    /// How many threads are in the handler now.
    running: AtomicU32,
}

static SLOTS: [Slot; TABLE] = [const {
    Slot {
        fd: AtomicI32::new(FREE),
        owner: AtomicU32::new(0),
        pending: AtomicU32::new(0),
        running: AtomicU32::new(0),
    }
}; TABLE];

/// A signal that is ours. Dropping it brings the disposition back that was found (unless someone else has
/// put another one in place of ours meanwhile), and then lets the descriptor go.
pub(super) struct Installed {
    signal: c_int,
    slot: &'static Slot,
    /// What was found.
    old: libc::sigaction,
    /// Kept open for the handler.
    _wake: Rc<OwnedFd>,
}

impl Installed {
    /// Takes `signal` for this process: it writes a byte to `wake` (which must not block) when it
    /// comes.
    ///
    /// # Errors
    /// `ResourceBusy` if another loop of this process has it; what the kernel says (`EINVAL` for a
    /// signal that the C library keeps for itself). Nothing is changed then (L-109).
    pub(super) fn new(signal: c_int, wake: &Rc<OwnedFd>) -> io::Result<Installed> {
        let slot = usize::try_from(signal).ok().and_then(|index| SLOTS.get(index));
        let slot = slot.ok_or(io::ErrorKind::InvalidInput)?;
        if slot.fd.compare_exchange(FREE, RESERVED, SeqCst, SeqCst).is_err() {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        slot.owner.store(std::process::id(), SeqCst);
        slot.pending.store(0, SeqCst);
        slot.fd.store(wake.as_raw_fd(), SeqCst);
        match set_action(signal, &our_action()) {
            Ok(old) => Ok(Installed { signal, slot, old, _wake: Rc::clone(wake) }),
            Err(error) => {
                slot.fd.store(FREE, SeqCst);
                Err(error)
            }
        }
    }

    /// How many came since this was last asked.
    pub(super) fn take_pending(&self) -> u32 {
        self.slot.pending.swap(0, SeqCst)
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        if action(self.signal).is_ok_and(|now| now.sa_sigaction == our_action().sa_sigaction) {
            // It can't fail: the signal was valid when it was installed, and the old action came
            // from the kernel.
            let _ours = set_action(self.signal, &self.old);
        }
        let forked = self.slot.owner.load(SeqCst) != std::process::id();
        self.slot.fd.store(FREE, SeqCst);
        if forked {
            // This is the only thread; others that the count tells of were the parent's and never end here.
            self.slot.running.store(0, SeqCst);
        }
        while self.slot.running.load(SeqCst) != 0 {
            std::thread::yield_now();
        }
    }
}

impl fmt::Debug for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Installed").field(&self.signal).finish()
    }
}

/// The handler. Async-signal-safe: atomics, `getpid`, `write`; no allocation, no lock, no panic.
extern "C" fn on_signal(signal: c_int) {
    let Some(slot) = SLOTS.get(signal as usize) else { return };
    slot.running.fetch_add(1, SeqCst);
    let fd = slot.fd.load(SeqCst);
    // SAFETY: getpid has no preconditions.
    let pid = unsafe { libc::getpid() } as u32;
    if fd >= 0 && slot.owner.load(SeqCst) == pid && slot.pending.fetch_add(1, SeqCst) == 0 {
        let byte = signal as u8;
        // SAFETY: `errno_location` gives a pointer to this thread's errno, valid while it lives.
        let errno = unsafe { errno_location() };
        // SAFETY: as above; and nothing else accesses this thread's errno while we are here.
        let saved = unsafe { *errno };
        // SAFETY: the buffer is one byte of our stack. The descriptor is open: see the module's
        // documentation. It does not block; when it is full, a wake-up is under way already.
        unsafe { libc::write(fd, ptr::from_ref(&byte).cast(), 1) };
        // SAFETY: as for reading it.
        unsafe { *errno = saved };
    }
    slot.running.fetch_sub(1, SeqCst);
}

/// Our handler, with system calls restarted (`asyncio` does so by `siginterrupt`) and on the alternate stack
/// where a thread has one.
fn our_action() -> libc::sigaction {
    // SAFETY: `sigaction` is a plain struct of integers, for which zeroes are a valid value.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = on_signal as extern "C" fn(c_int) as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: the mask is ours to write. It can't fail.
    unsafe { libc::sigemptyset(&raw mut action.sa_mask) };
    action
}

/// Sets the action of a signal, and gives the one before.
fn set_action(signal: c_int, new: &libc::sigaction) -> io::Result<libc::sigaction> {
    let mut old = MaybeUninit::uninit();
    // SAFETY: `new` is a valid action: ours, whose handler is async-signal-safe and lives for ever, or
    // one that the kernel gave us; `old` has the room that is written to.
    let result = unsafe { libc::sigaction(signal, new, old.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: sigaction has succeeded, so it has written the old action.
    Ok(unsafe { old.assume_init() })
}

/// The present action of a signal.
fn action(signal: c_int) -> io::Result<libc::sigaction> {
    let mut now = MaybeUninit::uninit();
    // SAFETY: a null new action only asks; `now` has the room that is written to.
    let result = unsafe { libc::sigaction(signal, ptr::null(), now.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: sigaction has succeeded, so it has written the present action.
    Ok(unsafe { now.assume_init() })
}

/// Where this thread's errno is: each system names the function differently.
unsafe fn errno_location() -> *mut c_int {
    #[cfg(any(target_os = "solaris", target_os = "illumos"))]
    use libc::___errno as location;
    #[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
    use libc::__errno as location;
    #[cfg(any(target_os = "linux", target_os = "dragonfly"))]
    use libc::__errno_location as location;
    #[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
    use libc::__error as location;
    // SAFETY: no preconditions; async-signal-safe, since errno itself must be.
    unsafe { location() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::rc::Rc;
    use std::sync::atomic::Ordering::SeqCst;

    use super::Installed;

    /// As if this process were a child that was forked while another thread was in the handler: that thread
    /// is not here, so nobody may wait for it, now or when the signal is used anew.
    #[test]
    fn a_child_process_does_not_wait_for_threads_of_its_parent() {
        let wake = Rc::new(UnixStream::pair().unwrap().0.into());
        let inherited = Installed::new(libc::SIGTTIN, &wake).unwrap();
        inherited.slot.owner.store(std::process::id() ^ 1, SeqCst);
        inherited.slot.running.store(1, SeqCst);
        drop(inherited);
        let own = Installed::new(libc::SIGTTIN, &wake).unwrap();
        let waited_for = own.slot.running.swap(0, SeqCst);
        drop(own);
        assert_eq!(waited_for, 0);
    }
}
