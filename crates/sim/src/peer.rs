//! [`SimPeer`]: a test plays the peer, and the kernel, of one socket.

use std::net::Shutdown;
use std::rc::Rc;

use crate::endpoint::{Endpoint, Id, State};
use crate::kernel::Kernel;
use crate::record::Log;
use crate::wire::Payload;
use crate::{Call, Counters, Failure, Fault, Syscall};

/// The other end of a scripted socket, and the kernel between.
///
/// What the socket writes is taken over at once and kept for [`received`](SimPeer::received); a
/// [`send window`](SimPeer::set_send_window) limits it. Clones are the same peer. Dropping it does nothing:
/// the peer lives as long as the simulation.
#[derive(Clone, Debug)]
pub struct SimPeer {
    pub(crate) kernel: Rc<Kernel>,
    /// The socket under test.
    pub(crate) socket: Id,
    /// The end that the test plays.
    pub(crate) far: Id,
}

/// As the peer: what comes over the wire.
impl SimPeer {
    /// Sends bytes. As many as one likes; the socket's receive buffer takes what it has room for, and the rest waits.
    /// Nothing happens after [`send_eof`](SimPeer::send_eof) or when the connection is over.
    pub fn send(&self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref().to_vec();
        let open = self.far(|far| far.state == State::Connected && !far.write_shut);
        if open && !bytes.is_empty() {
            self.transmit(Payload::Data(bytes));
        }
    }

    /// Will send no more (FIN). It still receives.
    pub fn send_eof(&self) {
        if self.far(|far| far.state == State::Connected && far.shut(Shutdown::Write)) {
            self.transmit(Payload::Fin);
        }
    }

    /// Resets the connection: what the socket has not read stays readable, then comes ECONNRESET.
    pub fn reset(&self) {
        self.fail(Failure::ECONNRESET);
    }

    /// As [`reset`](SimPeer::reset) with another error, such as [`Failure::ETIMEDOUT`].
    pub fn fail(&self, failure: impl Into<Failure>) {
        self.transmit(Payload::Reset(failure.into()));
        self.far(|far| far.die(Failure::ECONNRESET));
    }

    /// All bytes that the socket has sent, but for those that were [taken](SimPeer::take_received).
    pub fn received(&self) -> Vec<u8> {
        self.far(|far| far.received.iter().copied().collect())
    }

    /// As [`received`](SimPeer::received), and forgets them.
    pub fn take_received(&self) -> Vec<u8> {
        self.far(|far| far.received.drain(..).collect())
    }

    /// The socket has shut down its write half, or was closed: FIN has come, after all bytes.
    pub fn saw_eof(&self) -> bool {
        self.far(|far| far.fin_received)
    }

    /// The socket was closed with bytes unread or with SO_LINGER zero, or bytes were sent to it after it was
    /// closed: a reset has come.
    pub fn saw_reset(&self) -> bool {
        self.far(|far| far.was_reset)
    }

    /// Moves a packet of the far end to the socket.
    fn transmit(&self, payload: Payload) {
        self.kernel.tables.borrow_mut().send(self.far, payload);
        self.kernel.settle();
    }

    fn far<R: Default>(&self, f: impl FnOnce(&mut Endpoint) -> R) -> R {
        let mut tables = self.kernel.tables.borrow_mut();
        // The far end is never removed.
        tables.endpoints.get_mut(&self.far).map(f).unwrap_or_default()
    }
}

/// As the kernel: what the socket's calls meet.
impl SimPeer {
    /// From now on the kernel takes this many bytes from the socket in all, then says `WouldBlock`.
    /// `usize::MAX` lifts the limit, which is how it starts. If the socket met the end of the window
    /// and there is room now, it becomes writable.
    pub fn set_send_window(&self, bytes: usize) {
        self.socket(|end| end.window = Some(bytes).filter(|bytes| *bytes != usize::MAX));
        self.kernel.tables.borrow_mut().room_made(self.socket);
    }

    /// The next read that is made fails with this. Several queue up, also with short ones. After a
    /// `WouldBlock` the next select finds the socket readable again, if it is.
    pub fn fail_next_read(&self, failure: impl Into<Failure>) {
        self.socket(|end| end.read_script.push_back(Fault::Error(failure.into())));
    }

    /// The next plain or vectored write that is made fails with this. As
    /// [`fail_next_read`](SimPeer::fail_next_read).
    pub fn fail_next_write(&self, failure: impl Into<Failure>) {
        self.socket(|end| end.write_script.push_back(Fault::Error(failure.into())));
    }

    /// The next read gives at most this many bytes (at least one).
    pub fn short_next_read(&self, bytes: usize) {
        self.socket(|end| end.read_script.push_back(Fault::Short(bytes.max(1))));
    }

    /// The next write takes at most this many bytes; 0 is legal and rare.
    pub fn short_next_write(&self, bytes: usize) {
        self.socket(|end| end.write_script.push_back(Fault::Short(bytes)));
    }

    /// How many arrived bytes the socket has not read.
    pub fn unread(&self) -> usize {
        self.socket(|end| end.received.len()).unwrap_or_default()
    }

    /// The socket has not been closed.
    pub fn is_open(&self) -> bool {
        self.socket(|_| ()).is_some()
    }

    fn socket<R>(&self, f: impl FnOnce(&mut Endpoint) -> R) -> Option<R> {
        self.kernel.tables.borrow_mut().endpoints.get_mut(&self.socket).map(f)
    }
}

/// What the socket did.
impl SimPeer {
    /// Every call on the socket so far: reads, writes, shutdowns. Kept when it is closed.
    pub fn calls(&self) -> Vec<Syscall> {
        self.log(|log| log.calls.clone())
    }

    /// As [`calls`](SimPeer::calls), and forgets them.
    pub fn take_calls(&self) -> Vec<Syscall> {
        self.log(|log| std::mem::take(&mut log.calls))
    }

    /// The calls that were plain or vectored writes.
    pub fn sends(&self) -> Vec<Syscall> {
        let mut calls = self.calls();
        calls.retain(|c| matches!(c.call, Call::Write | Call::WriteVectored { .. }));
        calls
    }

    /// The calls that were reads.
    pub fn reads(&self) -> Vec<Syscall> {
        let mut calls = self.calls();
        calls.retain(|c| c.call == Call::Read);
        calls
    }

    /// How many calls there were, by kind.
    pub fn counters(&self) -> Counters {
        self.log(|log| log.counters)
    }

    fn log<R: Default>(&self, f: impl FnOnce(&mut Log) -> R) -> R {
        self.kernel.tables.borrow_mut().logs.get_mut(&self.socket).map(f).unwrap_or_default()
    }
}
