//! [`MioSelector`]: the kernel's registry under the table of `readiness.rs`.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Poll, Registry, Token};

use super::kernel;
use super::readiness::{Edge, Link, MAX_INDEX, Name, Table};
use super::refusal::{closed_behind, registered, unknown, without_descriptor};
use crate::{Event, Interest, Key, ReadyCell, Selector, Source, Wake};

/// How many events one wait takes from the kernel; the rest waits there. What a loop receives for them lies in memory until
/// it is read: so many events, and the tasks that they wake, are run while it is still in the cache (see
/// docs/decisions.md).
const EVENTS: usize = 128;

/// No key's: it has the last place of all, which is never given away.
const WAKE: Token = Token(usize::MAX);

/// The [`Selector`] over epoll (Linux) and kqueue (macOS, the BSDs).
///
/// Owned sources are registered with the kernel once, for both directions: changing their
/// interest and deregistering them are no system calls (an adopted descriptor, which may have
/// duplicates, is taken out explicitly). Foreign ones cost one call for each report and each change of
/// interest.
///
/// ```
/// use millrun_selector::{Interest, MioSelector, Network, OsNetwork, Selector, Socket};
///
/// # fn main() -> std::io::Result<()> {
/// let mut selector = MioSelector::new()?;
/// let (left, right) = OsNetwork::pair()?;
/// let key = selector.register(&right, Interest::READ)?;
///
/// left.try_write(b"hello")?;
/// let mut events = Vec::new();
/// selector.select(None, &mut events)?;
/// assert_eq!(events[0].key, key);
/// assert!(events[0].readiness.is_readable());
/// # Ok(())
/// # }
/// ```
pub struct MioSelector {
    poll: Poll,
    events: Events,
    waker: Arc<MioWake>,
    table: Table<{ !kernel::REFUSES_TWICE }>,
    /// Which foreign registration is in the kernel's registry for a descriptor's number.
    foreign: HashMap<RawFd, Key>,
    /// Foreign ones to be armed anew, if they are still `Reported`; and what is told in vain, if it still is.
    rearm: Vec<Key>,
    control_calls: u64,
}

impl MioSelector {
    /// An empty registry.
    ///
    /// # Errors
    /// What the kernel refuses: two descriptors are needed.
    pub fn new() -> io::Result<MioSelector> {
        let poll = Poll::new()?;
        let waker = Arc::new(MioWake(mio::Waker::new(poll.registry(), WAKE)?));
        Ok(MioSelector {
            poll,
            events: Events::with_capacity(EVENTS),
            waker,
            table: Table::default(),
            foreign: HashMap::new(),
            rearm: Vec::new(),
            control_calls: 0,
        })
    }

    /// How often the kernel's registry was changed so far (`epoll_ctl`, `kevent`): once for an owned
    /// source's whole life.
    pub fn control_calls(&self) -> u64 {
        self.control_calls
    }

    fn register_owned(
        &mut self,
        fd: BorrowedFd<'_>,
        cell: &Rc<ReadyCell>,
        interest: Interest,
        prefers_level: bool,
    ) -> io::Result<Key> {
        let source = fd;
        let fd = fd.as_raw_fd();
        let key = self.next_key()?;
        // A cell that only its socket holds is in no table: the common case needs no look around.
        let is_claimed = |s: &MioSelector| {
            s.foreign.contains_key(&fd)
                || (Rc::strong_count(cell) > 1 && s.table.any(|e| e.shares(cell)))
        };
        let is_level = prefers_level && interest.reads() && kernel::HAS_LEVEL;
        let link = if is_level {
            self.admit(fd, kernel::level(source, token(key)), is_claimed)?;
            Link::Level
        } else {
            self.admit(fd, kernel::edges(fd, token(key), kernel::OWNED), is_claimed)?;
            Link::Owned
        };
        cell.set_told_again(is_level);
        self.table.insert(key, Some(Rc::clone(cell)), fd, interest, link);
        Ok(key)
    }

    #[inline(never)]
    fn register_foreign(&mut self, fd: BorrowedFd<'_>, interest: Interest) -> io::Result<Key> {
        let fd = fd.as_raw_fd();
        let key = self.next_key()?;
        let link = self.admit_foreign(fd, key, interest)?;
        self.table.insert(key, None, fd, interest, link);
        Ok(key)
    }

    fn admit_foreign(&mut self, fd: RawFd, key: Key, interest: Interest) -> io::Result<Link> {
        if interest.is_none() {
            return Ok(Link::Parked);
        }
        self.admit(fd, kernel::edges(fd, token(key), kernel::wanted(interest)), |s| {
            s.foreign.contains_key(&fd) || s.table.any(|e| e.is_owned() && e.fd == fd)
        })?;
        self.foreign.insert(fd, key);
        Ok(Link::Armed)
    }

    /// Puts a descriptor into the kernel's registry, as `put` does, which is told whether it is known there.
    ///
    /// The kernel is the judge of who holds a number. What it accepts as new replaces a
    /// foreign registration of that number: its file must have been closed. What it knows already
    /// is either registered here (`is_claimed`), or is left from an owned source that was
    /// deregistered and is not closed: then it is given the new name.
    ///
    /// kqueue takes a second registration for a change of the first, so there the table is the judge:
    /// a number that was lost behind our back must be deregistered before it is used again.
    fn admit(
        &mut self,
        fd: RawFd,
        put: impl Fn(&Registry, bool) -> io::Result<()>,
        is_claimed: impl Fn(&MioSelector) -> bool,
    ) -> io::Result<()> {
        if !kernel::REFUSES_TWICE && is_claimed(self) {
            return Err(registered(fd));
        }
        if let Err(error) = self.control(|r| put(r, false)) {
            self.admit_again(error, fd, put, is_claimed)?;
        }
        // Mostly there is none, and a look into an empty map is as dear as the rest of a registration.
        if !self.foreign.is_empty() {
            self.lose_foreign(fd);
        }
        Ok(())
    }

    /// Whoever had this number has lost it.
    #[inline(never)]
    fn lose_foreign(&mut self, fd: RawFd) {
        let old = self.foreign.remove(&fd);
        if let Some(entry) = old.and_then(|old| self.table.get_mut(old)) {
            entry.link = Link::Lost;
        }
    }

    /// It was refused, with this error.
    #[cold]
    fn admit_again(
        &mut self,
        error: io::Error,
        fd: RawFd,
        put: impl Fn(&Registry, bool) -> io::Result<()>,
        is_claimed: impl Fn(&MioSelector) -> bool,
    ) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::AlreadyExists if is_claimed(self) => Err(registered(fd)),
            io::ErrorKind::AlreadyExists => self.control(|r| put(r, true)),
            _ => Err(error),
        }
    }

    fn set_foreign_interest(&mut self, key: Key, interest: Interest) -> io::Result<()> {
        let Some(entry) = self.table.get_mut(key) else { return Err(unknown(key)) };
        let fd = entry.fd;
        entry.interest = interest;
        let link = match entry.link {
            Link::Armed | Link::Reported if interest.is_none() => {
                self.foreign.remove(&fd);
                self.withdraw(fd);
                Ok(Link::Parked)
            }
            // Also when nothing changes: the kernel alone knows whether the number is still that file's.
            Link::Armed | Link::Reported => self.arm(fd, key, interest).map(|()| Link::Armed),
            Link::Parked => self.admit_foreign(fd, key, interest),
            _ if interest.is_none() => return Ok(()),
            Link::Owned | Link::Level | Link::Lost | Link::Vacant => Err(closed_behind(fd)),
        };
        match (link, self.table.get_mut(key)) {
            (Ok(link), Some(entry)) => entry.link = link,
            (Ok(_), None) => {}
            (Err(e), _) => {
                self.forget_foreign(fd, key);
                self.table.remove(key);
                return Err(e);
            }
        }
        Ok(())
    }

    /// Takes the number's claim away, if it is this key's.
    fn forget_foreign(&mut self, fd: RawFd, key: Key) {
        if self.foreign.get(&fd) == Some(&key) {
            self.foreign.remove(&fd);
        }
    }

    /// Makes the kernel report what is ready now and what becomes so.
    fn arm(&mut self, fd: RawFd, key: Key, interest: Interest) -> io::Result<()> {
        self.control(|r| kernel::edges(fd, token(key), kernel::wanted(interest))(r, true))
    }

    /// Takes a descriptor out of the kernel's registry. If it isn't there, it was closed (SEL-005).
    fn withdraw(&mut self, fd: RawFd) {
        let _ = self.control(|r| r.deregister(&mut SourceFd(&fd)));
    }

    /// Arms what was reported, before the next wait. What can't be armed was closed behind our back.
    #[inline(never)]
    fn rearm(&mut self) {
        for i in 0..self.rearm.len() {
            let key = self.rearm[i];
            let Some(entry) = self.table.get(key) else { continue };
            if entry.is_told_in_vain() {
                self.silence(key);
                continue;
            }
            if entry.link != Link::Reported {
                continue;
            }
            let (fd, interest) = (entry.fd, entry.interest);
            let link = match self.arm(fd, key, interest) {
                Ok(()) => Link::Armed,
                Err(_) => {
                    self.forget_foreign(fd, key);
                    Link::Lost
                }
            };
            if let Some(entry) = self.table.get_mut(key) {
                entry.link = link;
            }
        }
        self.rearm.clear();
    }

    /// Has the kernel tell of edges alone, once of what is ready now. If it can't, the descriptor was closed behind our back,
    /// and it tells nothing.
    #[cold]
    fn silence(&mut self, key: Key) {
        let Some(entry) = self.table.get_mut(key) else { return };
        entry.is_told_of_edges();
        let fd = entry.fd;
        let _ = self.control(|r| kernel::edges(fd, token(key), kernel::OWNED)(r, true));
    }

    /// Reports what the kernel said. The reports of this select begin at `first`.
    #[inline]
    fn report_edges(&mut self, first: usize, out: &mut Vec<Event>) {
        let mut is_stale = false;
        for event in &self.events {
            // The wake-up's token names no place: there is nothing to report of it.
            let bits = kernel::readiness(event);
            match self.table.edge(event.token().0, bits, out) {
                Edge::Done => {}
                Edge::Again => is_stale = true,
                Edge::Foreign(key) => self.table.foreign_edge(key, bits, out, &mut self.rearm),
                Edge::InVain(key) => self.rearm.push(key),
            }
        }
        if is_stale {
            self.table.refresh(&mut out[first..]);
        }
    }

    /// Of what is not the kernel's as an owned source.
    #[inline(never)]
    fn deregister_rarely(&mut self, key: Key, source: &dyn Source) -> io::Result<()> {
        let entry = self.table.remove(key).ok_or_else(|| unknown(key))?;
        match entry.link {
            Link::Owned | Link::Parked | Link::Lost | Link::Vacant => {}
            Link::Level => {
                if let Some(cell) = source.readiness() {
                    cell.set_told_again(false);
                }
                self.withdraw(entry.fd);
            }
            Link::Armed | Link::Reported => {
                self.forget_foreign(entry.fd, key);
                self.withdraw(entry.fd);
            }
        }
        Ok(())
    }

    fn control(&mut self, f: impl FnOnce(&Registry) -> io::Result<()>) -> io::Result<()> {
        self.control_calls += 1;
        f(self.poll.registry())
    }

    fn next_key(&self) -> io::Result<Key> {
        let key = self.table.next_key().filter(|k| (k.index as usize) < MAX_INDEX);
        key.ok_or_else(|| {
            io::Error::new(io::ErrorKind::OutOfMemory, "more registrations than keys can name")
        })
    }
}

impl Selector for MioSelector {
    fn register(&mut self, source: &dyn Source, interest: Interest) -> io::Result<Key> {
        let Some(fd) = source.fd() else { return Err(without_descriptor(source)) };
        match source.readiness() {
            Some(cell) => self.register_owned(fd, cell, interest, source.prefers_level()),
            None => self.register_foreign(fd, interest),
        }
    }

    fn set_interest(&mut self, key: Key, interest: Interest) -> io::Result<()> {
        match self.table.get(key) {
            None => Err(unknown(key)),
            Some(entry) if entry.is_owned() => {
                self.table.set_interest(key, interest);
                Ok(())
            }
            Some(_) => self.set_foreign_interest(key, interest),
        }
    }

    fn deregister(&mut self, key: Key, source: &dyn Source) -> io::Result<()> {
        if !self.table.remove_owned(key) {
            return self.deregister_rarely(key, source);
        }
        if !source.is_exclusive() {
            if let Some(fd) = source.fd() {
                self.withdraw(fd.as_raw_fd());
            }
        }
        Ok(())
    }

    fn select(&mut self, timeout: Option<Duration>, out: &mut Vec<Event>) -> io::Result<()> {
        if !self.rearm.is_empty() {
            self.rearm();
        }
        self.table.settle(self.events.iter().map(|event| event.token().0));
        let before = out.len();
        let standing = self.table.report_standing(out);
        // What is due already must not wait, and must not starve the others: look, don't wait.
        let timeout = if standing > 0 { Some(Duration::ZERO) } else { timeout };
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => self.report_edges(before, out),
            // A signal ended the wait. Nothing was taken from the kernel, and what is due stays so.
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.waker.clone()
    }
}

impl fmt::Debug for MioSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MioSelector")
            .field("table", &self.table)
            .field("control_calls", &self.control_calls)
            .finish_non_exhaustive()
    }
}

/// Has a descriptor of its own, so it can be used when the selector is gone.
#[derive(Debug)]
struct MioWake(mio::Waker);

impl Wake for MioWake {
    fn wake(&self) {
        // It fails when the selector is gone (kqueue): then nobody waits.
        let _ = self.0.wake();
    }
}

fn token(key: Key) -> Token {
    Token(Name::of(key).token())
}
