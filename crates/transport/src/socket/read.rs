//! One receive per readable event: of how much, into what memory?
//!
//! The protocol says where the bytes shall land, and is on the stack from that question until it has the
//! bytes: nobody can replace the memory in between. A short read is not followed by a second one, since the
//! socket has cleared its readiness; a full one is followed in the next turn, so that others get theirs.

use std::io::{self, ErrorKind};

use millrun_loop::{Block, BlockPool, BlockSize, SMALL_BLOCK};

use super::SocketTransport;
use super::flags::FILLED;
use crate::lifecycle::Lifecycle;
use crate::{Landing, Protocol};

/// So much is read at most after a write has failed: more than a kernel buffers for a connection by
/// default (6 MiB on Linux), so it cuts off only a peer that goes on sending.
const DRAINED: usize = 8 * 1024 * 1024;

/// What became of one receive.
pub(super) enum Received {
    /// Nothing came, or nothing was wanted any more.
    Nothing,
    /// So many bytes, and the protocol took them.
    Bytes(usize),
    /// The protocol has no room.
    NoRoom,
    Eof,
    /// The connection can't go on, and what failed.
    Failed(&'static str, io::Error),
}

impl SocketTransport {
    pub(super) fn read_ready(&self) {
        match self.receive() {
            Received::Nothing | Received::Bytes(_) => {}
            Received::NoRoom => {
                self.step(Lifecycle::handle_pause);
                self.update_interest();
            }
            Received::Eof => self.eof(),
            Received::Failed(what, error) => self.fatal(what, error),
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

    fn receive(&self) -> Received {
        let mut callback = "landing";
        match self.slot.call(|p| self.receive_for(p, &mut callback)) {
            None => Received::Nothing,
            Some(Ok(received)) => received,
            Some(Err(panic)) => {
                self.panicked(callback, panic);
                Received::Nothing
            }
        }
    }

    /// `callback` is kept at the name of what is being called.
    fn receive_for(&self, protocol: &mut dyn Protocol, callback: &mut &'static str) -> Received {
        let landing = protocol.landing();
        // That was user code: it may have paused, closed, or set another protocol.
        let wanted = self.life.get().delivers() && !self.slot.is_home();
        match landing {
            Landing::Failed(error) => Received::Failed("landing() (get_buffer) failed", error),
            Landing::Shared(_) if !wanted => Received::Nothing,
            Landing::Shared(0) => Received::NoRoom,
            Landing::Shared(most) => self.receive_shared(protocol, most, callback),
            Landing::Own([]) if !wanted => Received::Nothing,
            Landing::Own([]) => Received::NoRoom,
            Landing::Own(memory) => {
                let read = if wanted { self.try_read(memory) } else { would_block() };
                *callback = "landed";
                let landed = protocol.landed(*read.as_ref().unwrap_or(&0));
                conclude(read, landed, "landed() (buffer_updated) failed")
            }
        }
    }

    fn receive_shared(
        &self,
        protocol: &mut dyn Protocol,
        most: usize,
        callback: &mut &'static str,
    ) -> Received {
        let size = if self.flags.has(FILLED) { BlockSize::Large } else { BlockSize::Small };
        let mut lent = LentBlock::take(self.handle().blocks(), size);
        let block = lent.memory();
        let room = most.min(block.len());
        let n = match self.try_read(&mut block[..room]) {
            Ok(n) if n > 0 => n,
            nothing => return conclude(nothing, Ok(()), ""),
        };
        // A full small block earns a large one, until less than that comes.
        self.flags.put(FILLED, n >= SMALL_BLOCK);
        *callback = "data_received";
        match protocol.data_received(&lent.lend()[..n]) {
            Ok(()) => Received::Bytes(n),
            Err(error) => Received::Failed("data_received() failed", error),
        }
    }

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
        if !self.life.get().is_draining() {
            return;
        }
        if self.life.get().delivers() {
            match self.receive() {
                Received::Bytes(n) => {
                    let total = self.rare(|rare| {
                        rare.taken += n;
                        rare.taken
                    });
                    if total < DRAINED {
                        return self.queue_drain();
                    }
                }
                Received::Failed(what, error) => self.fatal(what, error),
                Received::Nothing | Received::NoRoom | Received::Eof => {}
            }
        }
        self.end(None);
    }
}

/// Joins what the kernel said with what the protocol said.
fn conclude(read: io::Result<usize>, taken: io::Result<()>, callback: &'static str) -> Received {
    match (read, taken) {
        (_, Err(error)) => Received::Failed(callback, error),
        (Ok(0), Ok(())) => Received::Eof,
        (Ok(n), Ok(())) => Received::Bytes(n),
        (Err(e), Ok(())) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Received::Nothing
        }
        (Err(error), Ok(())) => Received::Failed("fatal read error on socket transport", error),
    }
}

fn would_block() -> io::Result<usize> {
    Err(ErrorKind::WouldBlock.into())
}

/// A block of the loop's, given back also when the protocol panics.
pub(super) struct LentBlock<'a> {
    block: Option<Block>,
    pool: &'a BlockPool,
}

impl LentBlock<'_> {
    pub(super) fn take(pool: &BlockPool, size: BlockSize) -> LentBlock<'_> {
        LentBlock { block: Some(pool.take(size)), pool }
    }

    pub(super) fn memory(&mut self) -> &mut [u8] {
        self.block.as_deref_mut().unwrap_or_default()
    }

    /// Its bytes are given to user code, which may write them back: then they need not be copied.
    #[inline]
    fn lend(&self) -> &[u8] {
        match &self.block {
            Some(block) => {
                self.pool.lend(block);
                block
            }
            None => &[],
        }
    }
}

impl Drop for LentBlock<'_> {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            self.pool.give(block);
        }
    }
}
