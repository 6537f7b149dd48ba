//! What is known of one connection, and what must hold of it after whatever was done.

use std::cell::{Cell, RefCell};

use std::rc::Rc;

use millrun_sim::SimPeer;
use millrun_transport::{CloseOutcome, Flow, SocketTransport, Transport};

/// Byte `at` of what connection `which` writes (or, for 2 and 3, its peer).
pub(super) fn byte(which: usize, at: usize) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 8).wrapping_mul(7) ^ which.wrapping_mul(101)) as u8
}

pub(super) fn bytes(which: usize, from: usize, n: usize) -> Vec<u8> {
    (from..from + n).map(|at| byte(which, at)).collect()
}

/// How far the callbacks have come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Stage {
    New,
    Made,
    Eof,
    Lost,
}

pub(super) struct Side {
    which: usize,
    pub(super) peer: SimPeer,
    /// Until it is over, and the driver has let go.
    pub(super) transport: RefCell<Option<Rc<SocketTransport>>>,
    pub(super) stage: Cell<Stage>,
    /// A callback is on the stack.
    pub(super) inside: Cell<bool>,
    /// The protocol in place was told to pause.
    pub(super) told: Cell<bool>,
    /// Protocols that were made and not dropped.
    pub(super) protocols: Cell<usize>,
    /// Bytes that writes took, and those that came out below.
    pub(super) accepted: Cell<usize>,
    on_wire: Cell<usize>,
    /// Bytes that the peer sent before it ended, and those that the protocols got.
    pub(super) sent: Cell<usize>,
    pub(super) received: Cell<usize>,
    pub(super) peer_ended: Cell<bool>,
    /// Nobody but the peer has ended, hindered or delayed this connection: what the peer sent must arrive.
    pub(super) undisturbed: Cell<bool>,
    /// Nobody has cut this connection off, and no call of its socket has failed: what was written must arrive.
    pub(super) unharmed: Cell<bool>,
    broken: RefCell<Vec<String>>,
}

impl Side {
    pub(super) fn new(which: usize, peer: SimPeer) -> Side {
        Side {
            which,
            peer,
            transport: RefCell::default(),
            stage: Cell::new(Stage::New),
            inside: Cell::new(false),
            told: Cell::new(false),
            protocols: Cell::new(0),
            accepted: Cell::new(0),
            on_wire: Cell::new(0),
            sent: Cell::new(0),
            received: Cell::new(0),
            peer_ended: Cell::new(false),
            undisturbed: Cell::new(true),
            unharmed: Cell::new(true),
            broken: RefCell::default(),
        }
    }

    /// Somebody has cut it off.
    pub(super) fn harm(&self) {
        self.undisturbed.set(false);
        self.unharmed.set(false);
    }

    /// Kept for [`verify`](Side::verify): a panic inside a callback would be caught, and end the connection.
    pub(super) fn must(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            let text = format!("connection {}, {:?}: {}", self.which, self.stage.get(), what());
            self.broken.borrow_mut().push(text);
        }
    }

    /// Panics if anything that was expected did not hold.
    pub(super) fn verify(&self) {
        let broken = self.broken.borrow();
        assert!(broken.is_empty(), "{broken:#?}");
    }

    /// Bytes came.
    pub(super) fn got(&self, data: &[u8]) {
        self.must(self.stage.get() == Stage::Made, || "data out of order".into());
        self.must(!data.is_empty(), || "data without a byte".into());
        let from = self.received.get();
        let right = data.iter().enumerate().all(|(i, b)| *b == byte(self.which + 2, from + i));
        self.must(right, || format!("other bytes came than were sent, from {from} on"));
        self.received.set(from + data.len());
    }

    /// All that the peer sent has been delivered: nothing is lost before an end.
    pub(super) fn must_have_all(&self, at: &str) {
        let (got, sent) = (self.received.get(), self.sent.get());
        self.must(got == sent, || format!("{at} after {got} of {sent} bytes"));
    }

    /// What a write said, which was of `n` bytes.
    pub(super) fn wrote(&self, t: &SocketTransport, n: usize, flow: Flow) {
        let (size, marks) = (t.write_buffer_size(), t.write_buffer_limits());
        match flow {
            Flow::Closed => {}
            Flow::Open | Flow::Paused => self.accepted.set(self.accepted.get() + n),
        }
        let said = match flow {
            Flow::Open => size <= marks.high,
            Flow::Paused => size > marks.low,
            // Some writes end their connection themselves.
            Flow::Closed => true,
        };
        self.must(said, || format!("{flow:?} with {size} bytes of {marks:?}"));
    }

    /// The size is one counter, and no byte is lost, changed or doubled on its way out (invariant 4).
    pub(super) fn check(&self) {
        let wire = self.peer.take_received();
        let from = self.on_wire.get();
        let right = wire.iter().enumerate().all(|(i, b)| *b == byte(self.which, from + i));
        self.must(right, || format!("the wire has other bytes than were written, from {from} on"));
        self.on_wire.set(from + wire.len());
        let (accepted, on_wire) = (self.accepted.get(), self.on_wire.get());
        self.must(on_wire <= accepted, || format!("{on_wire} bytes left of {accepted}"));
        let Some(t) = self.transport.borrow().clone() else { return };
        let (left, size) = (accepted.saturating_sub(on_wire), t.write_buffer_size());
        let outcome = t.close_outcome();
        let counts = match outcome {
            // A failed write is known before its end is queued.
            None if t.is_closing() => size <= left,
            None => size == left,
            Some(CloseOutcome::Flushed) => left == 0 && size == 0,
            Some(CloseOutcome::Unsent(unsent)) => left == unsent && size == 0,
        };
        self.must(counts, || format!("size {size}, {left} left, outcome {outcome:?}"));
        if self.peer.saw_eof() && !matches!(outcome, Some(CloseOutcome::Unsent(_))) {
            self.must(left == 0 || t.is_closing(), || format!("an end before {left} bytes"));
        }
    }

    /// When nothing waits to be run, what was told is what is true (invariant 5).
    pub(super) fn check_at_rest(&self) {
        let Some(t) = self.transport.borrow().clone() else { return };
        if t.is_closing() {
            return;
        }
        let (size, marks, told) = (t.write_buffer_size(), t.write_buffer_limits(), self.told.get());
        let true_and_told = !(size > marks.high && !told || size <= marks.low && told);
        self.must(true_and_told, || format!("{size} of {marks:?}, told to pause: {told}"));
    }
}
