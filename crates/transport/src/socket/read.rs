//! One receive per readable event: of how much, into what memory?
//!
//! The protocol says where the bytes shall land, and is on the stack from that question until it has the
//! bytes: nobody can replace the memory in between. A short read is not followed by a second one, since the
//! socket has cleared its readiness; a full one is followed in the next turn, so that others get theirs.

use std::io::{self, ErrorKind};

use millrun_loop::{Block, BlockSize, Panic, SMALL_BLOCK, catch};

use super::state::{ANYWHERE, FILLED};
use super::{Operation, SocketTransport};
use crate::lifecycle::Lifecycle;
use crate::{Landing, Protocol};

/// So much is read at most after a write has failed: more than a kernel buffers for a connection by
/// default (6 MiB on Linux), so it cuts off only a peer that goes on sending.
const DRAINED: usize = 8 * 1024 * 1024;

/// What became of one receive. Plain, so that what is returned for each message has nothing to be dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
enum Received {
    /// Bytes, and the protocol took them.
    Bytes,
    /// Nothing came, or nothing was wanted any more.
    Nothing,
    /// Another protocol was set meanwhile: it was not asked yet.
    Replaced,
    /// The protocol has no room.
    NoRoom,
    Eof,
    /// The connection can't go on: the rare part has the [`Failure`].
    Failed,
}

/// What failed, and how.
pub(super) enum Failure {
    /// What the kernel said of the receive.
    Receive(io::Error),
    /// What a callback gave, and the words for it.
    Callback(&'static str, io::Error),
    /// A panic of this callback.
    Panic(&'static str, Panic),
}

/// Whether it is a step of the drain after a failed write. Of that there is a copy of its own, so that the receive of each
/// message is one function with its caller.
type InDrain = bool;

impl SocketTransport {
    #[inline(always)]
    pub(super) fn read_ready(&self) {
        let received = self.receive::<false>();
        if received != Received::Bytes {
            self.read_rarely(received);
        }
    }

    #[inline(never)]
    fn read_rarely(&self, received: Received) {
        match received {
            Received::Nothing | Received::Replaced | Received::Bytes => {}
            Received::NoRoom => self.no_room(),
            Received::Eof => self.eof(),
            Received::Failed => self.receive_failed(),
        }
    }

    #[inline(never)]
    fn no_room(&self) {
        self.step(Lifecycle::handle_pause);
        self.update_interest();
    }

    #[cold]
    fn receive_failed(&self) {
        match self.peek(|rare| rare.failure.take()) {
            Some(Failure::Receive(error)) => {
                let what = "fatal read error on socket transport";
                self.fatal(what, Some(Operation::Receive), error);
            }
            Some(Failure::Callback(what, error)) => self.fatal(what, None, error),
            Some(Failure::Panic(callback, panic)) => self.panicked(callback, panic),
            None => {}
        }
    }

    fn eof(&self) {
        if !self.step(Lifecycle::handle_eof) {
            return;
        }
        tracing::trace!("{self:?}: received EOF");
        // Mostly it is closed before there is another event, here or by a task that was woken; one that comes first finds that it
        // is not wanted.
        if self.call("eof_received", |p| p.eof_received()) == Some(false) {
            self.begin_close(None);
        }
    }

    #[inline(always)]
    fn receive<const IN_DRAIN: InDrain>(&self) -> Received {
        let received = self.slot.call(|protocol| {
            let most = if self.state.has(ANYWHERE) {
                usize::MAX
            } else {
                match self.ask_where::<IN_DRAIN>(protocol) {
                    Ok(most) => most,
                    Err(received) => return received,
                }
            };
            self.receive_shared::<IN_DRAIN>(protocol, most)
        });
        match received {
            Some(Ok(received)) => received,
            Some(Err(panic)) => self.fail(Failure::Panic("data_received", panic)),
            None => Received::Nothing,
        }
    }

    /// How many bytes may land in a block that is lent; or what came of landing elsewhere. Catches its own panics, so that
    /// who is not asked need not remember which callback runs.
    #[inline(always)]
    fn ask_where<const IN_DRAIN: InDrain>(
        &self,
        protocol: &mut dyn Protocol,
    ) -> Result<usize, Received> {
        let mut callback = "landing";
        let asked = catch(|| {
            let landing = protocol.landing();
            // That was user code: it may have paused, closed, or set another protocol.
            let wanted = self.state.life().delivers() && !self.slot.is_home();
            match landing {
                Landing::Own(memory) if wanted && !memory.is_empty() => {
                    let read = self.try_read(memory);
                    callback = "landed";
                    Err(match read {
                        Ok(n) if n > 0 => self.landed::<IN_DRAIN>(protocol, n),
                        other => self.not_landed(protocol, other),
                    })
                }
                Landing::Own(memory) if !memory.is_empty() => {
                    callback = "landed";
                    Err(match self.not_landed(protocol, would_block()) {
                        Received::Nothing => self.unwanted(),
                        failed => failed,
                    })
                }
                Landing::Failed(error) => {
                    let what = "landing() (get_buffer) failed";
                    Err(self.fail(Failure::Callback(what, error)))
                }
                _ if !wanted => Err(self.unwanted()),
                Landing::Own(_) | Landing::Shared(0) => Err(Received::NoRoom),
                Landing::Shared(most) => Ok(most),
                Landing::Anywhere => {
                    self.state.set(ANYWHERE);
                    Ok(usize::MAX)
                }
            }
        });
        asked.unwrap_or_else(|panic| Err(self.fail(Failure::Panic(callback, panic))))
    }

    #[cold]
    fn unwanted(&self) -> Received {
        if self.state.life().delivers() { Received::Replaced } else { Received::Nothing }
    }

    #[inline(always)]
    fn receive_shared<const IN_DRAIN: InDrain>(
        &self,
        protocol: &mut dyn Protocol,
        most: usize,
    ) -> Received {
        let pool = self.handle().blocks();
        let large = self.state.has(FILLED);
        // A panic drops it, which is as good as giving it back.
        let mut block = if large { self.take_large() } else { pool.take(BlockSize::Small) };
        let memory: &mut [u8] = &mut block;
        let room = most.min(memory.len());
        let n = match self.try_read(&mut memory[..room]) {
            Ok(0) => {
                pool.give(block);
                return Received::Eof;
            }
            Err(error) => {
                pool.give(block);
                return self.not_read(error);
            }
            Ok(n) => n,
        };
        // A full small block earns a large one, until less than that comes.
        if large || n >= SMALL_BLOCK {
            self.state.put(FILLED, n >= SMALL_BLOCK);
        }
        pool.lend(&block);
        let taken = protocol.data_received(&block[..n]);
        pool.give(block);
        match taken {
            Ok(()) => self.taken::<IN_DRAIN>(n),
            Err(error) => self.fail(Failure::Callback("data_received() failed", error)),
        }
    }

    /// Not inlined, so that the size of most is a constant.
    #[inline(never)]
    fn take_large(&self) -> Block {
        self.handle().blocks().take(BlockSize::Large)
    }

    /// Tells the protocol that bytes came into the memory that it lent.
    #[inline(always)]
    fn landed<const IN_DRAIN: InDrain>(&self, protocol: &mut dyn Protocol, n: usize) -> Received {
        match protocol.landed(n) {
            Ok(()) => self.taken::<IN_DRAIN>(n),
            Err(error) => self.not_taken(error),
        }
    }

    #[cold]
    fn not_taken(&self, error: io::Error) -> Received {
        self.fail(Failure::Callback("landed() (buffer_updated) failed", error))
    }

    /// So many bytes were, by the protocol.
    #[inline(always)]
    fn taken<const IN_DRAIN: InDrain>(&self, n: usize) -> Received {
        if IN_DRAIN {
            self.rare(|rare| rare.taken += n);
        }
        Received::Bytes
    }

    /// Tells it that none did, and joins what the kernel said with what the protocol says.
    #[inline(never)]
    fn not_landed(&self, protocol: &mut dyn Protocol, read: io::Result<usize>) -> Received {
        match (protocol.landed(0), read) {
            (Err(error), _) => self.not_taken(error),
            (Ok(()), Ok(_)) => Received::Eof,
            (Ok(()), Err(error)) => self.not_read(error),
        }
    }

    #[cold]
    fn not_read(&self, error: io::Error) -> Received {
        if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) {
            Received::Nothing
        } else {
            self.fail(Failure::Receive(error))
        }
    }

    /// Keeps a failure until the protocol is home.
    #[cold]
    fn fail(&self, failure: Failure) -> Received {
        self.rare(|rare| rare.failure = Some(failure));
        Received::Failed
    }

    #[inline]
    fn try_read(&self, memory: &mut [u8]) -> io::Result<usize> {
        match self.lend_socket().get() {
            Some(socket) => socket.try_read(memory),
            None => would_block(),
        }
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
            let goes_on = match self.receive::<true>() {
                Received::Bytes => true,
                // The next one gets it. (One byte: protocols that replace each other for ever come to an end.)
                Received::Replaced => {
                    self.taken::<true>(1);
                    true
                }
                Received::Failed => return self.receive_failed(),
                Received::Nothing | Received::NoRoom | Received::Eof => false,
            };
            if goes_on && self.rare(|rare| rare.taken) < DRAINED {
                return self.queue_drain();
            }
        }
        self.end(None);
    }
}

#[cold]
fn would_block() -> io::Result<usize> {
    Err(ErrorKind::WouldBlock.into())
}
