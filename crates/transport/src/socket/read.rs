//! One receive per readable event: of how much, into what memory?
//!
//! The protocol says where the bytes shall land, and is on the stack from that question until it has the
//! bytes: nobody can replace the memory in between. A short read is not followed by a second one, since the
//! socket has cleared its readiness; a full one is followed in the next turn, so that others get theirs.

use std::io::{self, ErrorKind};

use millrun_loop::{BlockSize, Panic, SMALL_BLOCK};

use super::state::FILLED;
use super::{Operation, SocketTransport};
use crate::lifecycle::Lifecycle;
use crate::{Landing, Protocol};

/// So much is read at most after a write has failed: more than a kernel buffers for a connection by
/// default (6 MiB on Linux), so it cuts off only a peer that goes on sending.
const DRAINED: usize = 8 * 1024 * 1024;

/// What became of one receive. Two words: it is returned for each.
pub(super) enum Received {
    /// Nothing came, or nothing was wanted any more.
    Nothing,
    /// Another protocol was set meanwhile: it was not asked yet.
    Replaced,
    /// So many bytes, and the protocol took them.
    Bytes(usize),
    /// The protocol has no room.
    NoRoom,
    Eof,
    /// The connection can't go on.
    Failed(Box<Failure>),
}

/// What failed, and how.
pub(super) struct Failure {
    what: &'static str,
    /// `None` for what a callback gave.
    operation: Option<Operation>,
    error: io::Error,
}

/// What a receive gave, unless nobody was home; or a panic, and of what.
type Outcome = Option<Result<Received, (Panic, Callback)>>;

/// What is called of a protocol for a receive.
#[derive(Clone, Copy)]
enum Callback {
    Landing,
    Landed,
    DataReceived,
}

impl Callback {
    const fn name(self) -> &'static str {
        match self {
            Callback::Landing => "landing",
            Callback::Landed => "landed",
            Callback::DataReceived => "data_received",
        }
    }
}

impl SocketTransport {
    #[inline(always)]
    pub(super) fn read_ready(&self) {
        let received = self.receive::<false>();
        if !matches!(received, Some(Ok(Received::Bytes(_)))) {
            self.read_rarely(received);
        }
    }

    #[inline(never)]
    fn read_rarely(&self, outcome: Outcome) {
        match self.received(outcome) {
            Received::Nothing | Received::Replaced | Received::Bytes(_) => {}
            Received::NoRoom => {
                self.step(Lifecycle::handle_pause);
                self.update_interest();
            }
            Received::Eof => self.eof(),
            Received::Failed(failure) => self.receive_failed(*failure),
        }
    }

    #[cold]
    fn receive_failed(&self, Failure { what, operation, error }: Failure) {
        self.fatal(what, operation, error);
    }

    /// What was received, if nothing panicked.
    fn received(&self, outcome: Outcome) -> Received {
        match outcome {
            Some(Ok(received)) => received,
            None => Received::Nothing,
            Some(Err((panic, callback))) => {
                self.panicked(callback.name(), panic);
                Received::Nothing
            }
        }
    }

    fn eof(&self) {
        if !self.step(Lifecycle::handle_eof) {
            return;
        }
        tracing::trace!("{self:?}: received EOF");
        if self.call("eof_received", |p| p.eof_received()) == Some(false) {
            self.begin_close(None);
        }
        self.update_interest();
    }

    /// Of `IN_DRAIN` there is a copy of its own, so that the one of each message is one function with its caller.
    #[inline(always)]
    fn receive<const IN_DRAIN: bool>(&self) -> Outcome {
        let mut callback = Callback::Landing;
        let received = self.slot.call(|p| self.receive_for(p, &mut callback))?;
        Some(received.map_err(|panic| (panic, callback)))
    }

    /// `callback` is kept at what is being called.
    #[inline(always)]
    fn receive_for(&self, protocol: &mut dyn Protocol, callback: &mut Callback) -> Received {
        let landing = protocol.landing();
        // That was user code: it may have paused, closed, or set another protocol.
        let wanted = self.state.life().delivers() && !self.slot.is_home();
        match landing {
            Landing::Shared(most) if wanted && most > 0 => {
                self.receive_shared(protocol, most, callback)
            }
            Landing::Own(memory) if wanted && !memory.is_empty() => {
                let read = self.try_read(memory);
                *callback = Callback::Landed;
                landed(protocol, read)
            }
            Landing::Own(memory) if !memory.is_empty() => {
                *callback = Callback::Landed;
                match landed(protocol, would_block()) {
                    Received::Nothing => self.unwanted(),
                    failed => failed,
                }
            }
            Landing::Failed(error) => failed("landing() (get_buffer) failed", error),
            _ if wanted => Received::NoRoom,
            _ => self.unwanted(),
        }
    }

    #[cold]
    fn unwanted(&self) -> Received {
        if self.state.life().delivers() { Received::Replaced } else { Received::Nothing }
    }

    #[inline(always)]
    fn receive_shared(
        &self,
        protocol: &mut dyn Protocol,
        most: usize,
        callback: &mut Callback,
    ) -> Received {
        let pool = self.handle().blocks();
        let large = self.state.has(FILLED);
        // A panic drops it, which is as good as giving it back.
        let mut block = pool.take(if large { BlockSize::Large } else { BlockSize::Small });
        let memory: &mut [u8] = &mut block;
        let room = most.min(memory.len());
        let n = match self.try_read(&mut memory[..room]) {
            Ok(n) if n > 0 => n,
            nothing => {
                pool.give(block);
                return conclude(nothing, Ok(()), "");
            }
        };
        // A full small block earns a large one, until less than that comes.
        if large || n >= SMALL_BLOCK {
            self.state.put(FILLED, n >= SMALL_BLOCK);
        }
        *callback = Callback::DataReceived;
        pool.lend(&block);
        let taken = protocol.data_received(&block[..n]);
        pool.give(block);
        match taken {
            Ok(()) => Received::Bytes(n),
            Err(error) => failed("data_received() failed", error),
        }
    }

    #[inline]
    fn try_read(&self, memory: &mut [u8]) -> io::Result<usize> {
        self.socket(|socket| socket.try_read(memory)).unwrap_or_else(would_block)
    }

    /// Queues one step of the drain after a failed write.
    pub(super) fn queue_drain(&self) {
        let Some(this) = self.this.upgrade() else { return };
        if self.handle().call_soon_owed(this).is_err() {
            self.end(None);
        }
    }

    /// Delivers what the kernel holds, a receive at a time, then ends with the error of the write.
    pub(super) fn drain(&self) {
        if !self.state.life().is_draining() {
            return;
        }
        if self.state.life().delivers() {
            let outcome = self.receive::<true>();
            let taken = match self.received(outcome) {
                Received::Bytes(n) => n,
                // The next one gets it. (One byte: protocols that replace each other for ever come to an end.)
                Received::Replaced => 1,
                Received::Failed(failure) => return self.receive_failed(*failure),
                Received::Nothing | Received::NoRoom | Received::Eof => 0,
            };
            let total = self.rare(|rare| {
                rare.taken += taken;
                rare.taken
            });
            if taken > 0 && total < DRAINED {
                return self.queue_drain();
            }
        }
        self.end(None);
    }
}

/// Tells the protocol what came of the memory that it lent.
#[inline(always)]
fn landed(protocol: &mut dyn Protocol, read: io::Result<usize>) -> Received {
    let n = *read.as_ref().unwrap_or(&0);
    match protocol.landed(n) {
        Ok(()) if n > 0 => Received::Bytes(n),
        taken => conclude(read, taken, "landed() (buffer_updated) failed"),
    }
}

/// Joins what the kernel said with what the protocol said.
#[inline(never)]
fn conclude(read: io::Result<usize>, taken: io::Result<()>, callback: &'static str) -> Received {
    match (read, taken) {
        (_, Err(error)) => failed(callback, error),
        (Ok(0), Ok(())) => Received::Eof,
        (Ok(n), Ok(())) => Received::Bytes(n),
        (Err(e), Ok(())) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Received::Nothing
        }
        (Err(error), Ok(())) => {
            let what = "fatal read error on socket transport";
            let operation = Some(Operation::Receive);
            Received::Failed(Box::new(Failure { what, operation, error }))
        }
    }
}

#[cold]
fn failed(what: &'static str, error: io::Error) -> Received {
    Received::Failed(Box::new(Failure { what, operation: None, error }))
}

#[cold]
fn would_block() -> io::Result<usize> {
    Err(ErrorKind::WouldBlock.into())
}
