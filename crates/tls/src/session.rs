//! What do the two faces share? A [`Session`]: the machine, what is on its way in both directions, the application's protocol.
//!
//! The rules of re-entrancy are those of any transport: a protocol is in its slot or on the stack; a `RefCell` is borrowed by leaf
//! code alone, never across a call to a transport or a protocol; state is read again after every such call.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::io;
use std::rc::{Rc, Weak};

use millrun_loop::{LoopHandle, TimerHandle, UnitEnd};
use millrun_transport::buffer::WriteBuffer;
use millrun_transport::lifecycle::Lifecycle;
use millrun_transport::pressure::Pressure;
use millrun_transport::slot::ProtocolSlot;
use millrun_transport::{Opener, Transport, Watermarks};

use crate::inbound::Inbound;
use crate::machine::Machine;
use crate::settings::Settings;
use crate::spill::Spill;
use crate::state::Stage;

/// One TLS connection.
pub(crate) struct Session {
    pub(crate) this: Weak<Session>,
    pub(crate) handle: LoopHandle,
    pub(crate) settings: Settings,
    /// The transport below.
    pub(crate) below: OnceCell<Rc<dyn Transport>>,
    pub(crate) stage: Cell<Stage>,
    pub(crate) machine: RefCell<Machine>,
    /// Ciphertext that has come. The lower face takes it out while the transport below receives into it.
    pub(crate) inbound: RefCell<Inbound>,
    /// Plaintext that has no taker yet.
    pub(crate) spill: RefCell<Spill>,
    /// Plaintext that is not sealed yet.
    pub(crate) outbound: RefCell<WriteBuffer>,
    /// The application's.
    pub(crate) slot: ProtocolSlot,
    pub(crate) life: Cell<Lifecycle>,
    pub(crate) pressure: Cell<Pressure>,
    pub(crate) marks: Cell<Watermarks>,
    pub(crate) marked: Cell<u16>,
    /// How long a close waits without progress.
    pub(crate) shutdown_timeout: Cell<std::time::Duration>,
    /// Of the handshake, then of the close.
    pub(crate) timer: Cell<Option<TimerHandle>>,
    /// For the application's `connection_lost`.
    pub(crate) error: Cell<Option<io::Error>>,
    /// Plaintext bytes that were dropped.
    pub(crate) unsent: Cell<usize>,
    pub(crate) closing: Cell<Closing>,
    /// Who waits for the handshake.
    pub(crate) opened: Cell<Option<Opener>>,
}

/// How far a close has come.
#[derive(Clone, Copy, Default)]
pub(crate) struct Closing {
    /// What the transport below held when it was last looked at, in bytes.
    pub(crate) left: usize,
    /// Plaintext discarded since.
    pub(crate) discarded: usize,
    /// Over by then, progress or not.
    pub(crate) by: Option<millrun_selector::Time>,
}

/// The application has had its `connection_made`: TLS was begun on a live connection.
pub(crate) const ALREADY_MADE: u16 = 1 << 0;
/// The transport below said pause: nothing is sealed until it says resume, or the connection closes.
pub(crate) const BELOW_PAUSED: u16 = 1 << 1;
/// Small writes of one unit are sealed together.
pub(crate) const GATHERS: u16 = 1 << 2;
/// Work is left for the end of the unit.
pub(crate) const LEFT: u16 = 1 << 3;
/// An event of our own runs, which does that work when it ends.
pub(crate) const WORKING: u16 = 1 << 4;
/// The peer said that it sends no more.
pub(crate) const PEER_CLOSED: u16 = 1 << 5;
/// The transport below reached its end of file.
pub(crate) const BELOW_EOF: u16 = 1 << 6;
/// The transport below is gone.
pub(crate) const BELOW_LOST: u16 = 1 << 7;
/// We said that we send no more.
pub(crate) const SENT_CLOSE: u16 = 1 << 8;
/// Something that failed is behind the plaintext that waits; the error is set.
pub(crate) const FAILED: u16 = 1 << 9;
/// The ciphertext is lent to the transport below, which receives into it: nothing is opened or sealed meanwhile.
pub(crate) const LENT: u16 = 1 << 11;
/// `work` is queued for a later round.
pub(crate) const QUEUED: u16 = 1 << 10;

impl Session {
    pub(crate) fn is(&self, marks: u16) -> bool {
        self.marked.get() & marks != 0
    }

    pub(crate) fn mark(&self, mark: u16) {
        self.marked.set(self.marked.get() | mark);
    }

    pub(crate) fn unmark(&self, mark: u16) {
        self.marked.set(self.marked.get() & !mark);
    }

    pub(crate) fn step<R>(&self, f: impl FnOnce(&mut Lifecycle) -> R) -> R {
        let mut life = self.life.get();
        let next = f(&mut life);
        self.life.set(life);
        next
    }

    /// Moves to the next stage. A move that the table does not have is a mistake of ours: it is not made.
    pub(crate) fn go(&self, to: Stage) {
        match self.stage.get().to(to) {
            Ok(stage) => self.stage.set(stage),
            Err(wrong) => {
                debug_assert!(false, "{wrong}");
                tracing::error!("{self:?}: {wrong}");
            }
        }
    }

    pub(crate) fn below(&self) -> Option<&Rc<dyn Transport>> {
        self.below.get()
    }

    /// The application's face.
    pub(crate) fn transport(&self) -> Option<Rc<dyn Transport>> {
        self.this.upgrade().map(|this| this as Rc<dyn Transport>)
    }

    /// Sends ciphertext.
    pub(crate) fn send(&self, ciphertext: &[u8]) {
        if let Some(below) = self.below().filter(|_| !ciphertext.is_empty()) {
            below.write(ciphertext);
        }
    }

    /// Accepted plaintext, and ciphertext that the transport below holds, in bytes.
    pub(crate) fn buffered(&self) -> usize {
        let below = self.below().map_or(0, |below| below.write_buffer_size());
        self.outbound.borrow().len() + below
    }

    pub(crate) fn cancel_timer(&self) {
        if let Some(timer) = self.timer.take() {
            timer.cancel();
        }
    }

    /// Leaves work for the end of the unit, once.
    pub(crate) fn leave_work(&self) {
        if self.is(LEFT | WORKING) {
            return;
        }
        if let Some(this) = self.this.upgrade() {
            self.mark(LEFT);
            self.handle.at_unit_end(this);
        }
    }

    /// Runs `f` as an event of our own: what it leaves to be done is done when it ends.
    pub(crate) fn event(&self, f: impl FnOnce()) {
        if self.is(WORKING) {
            return f();
        }
        self.mark(WORKING);
        let _done = Working(self);
        f();
        self.finish();
    }
}

/// Until it is dropped an event of our own runs: also by a panic, of a stranger's transport below.
struct Working<'a>(&'a Session);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.unmark(WORKING);
    }
}

/// The end of a unit in which something was written, or became true.
impl UnitEnd for Session {
    fn unit_end(self: Rc<Self>) {
        self.unmark(LEFT);
        self.event(|| {});
    }

    fn name(&self) -> &'static str {
        "TlsTransport"
    }
}

/// The text form of asyncio's transports.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<TlsTransport")?;
        let life = self.life.get();
        if life.is_closing() {
            f.write_str(if life.is_lost() { " closed" } else { " closing" })?;
        }
        let unsealed = self.outbound.try_borrow().map_or(0, |outbound| outbound.len());
        write!(f, " stage={:?} unsealed={unsealed} below={:?}>", self.stage.get(), self.below())
    }
}
