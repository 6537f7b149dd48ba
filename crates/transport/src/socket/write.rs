//! When does a write leave, and with what else?
//!
//! A send costs a system call, which is dearer than copying some KiB. So small writes of one unit are
//! *gathered*: copied into one block of the buffer, and sent together when the unit ends, or as soon as there is
//! enough of them. A large write is not worth a copy: it goes out at once, behind what was gathered
//! before it, in one vectored send. Once the kernel takes less than it was offered (*blocked*), everything
//! is only buffered until the socket is writable.

use std::io::ErrorKind;

use super::SocketTransport;
use super::flags::{BLOCKED, GATHERS, SENT};
use super::outgoing::{Data, Outgoing};
use crate::lifecycle::{Lifecycle, Next};
use crate::{Flow, Watermarks};

/// A write of at least this many bytes goes out at once. Copying 16 KiB (into a block that is in cache) costs
/// about as much as the shortest send; below it, a gathered write can only win.
const LARGE_WRITE: usize = 16 * 1024;

/// Gathered bytes leave at this size, unit or no unit: what one large block holds, and about what one send
/// over loopback takes.
const GATHERED: usize = 64 * 1024;

/// Owned bytes shorter than this are copied to their neighbours when they have to wait: as a piece of their own
/// they would cost more memory and a slice in each send.
const COPIED: usize = 1024;

impl SocketTransport {
    pub(super) fn write_data(&self, data: Data<'_>) -> Flow {
        if !self.life.get().takes_writes() {
            return Flow::Closed;
        }
        let len = data.len();
        if len == 0 {
            return self.flow();
        }
        if self.flags.has(BLOCKED) {
            self.buffer(|buffer| data.keep(0, COPIED, buffer, self.handle().blocks()));
            self.update_pressure();
        } else if self.gathers(len) {
            self.buffer(|buffer| data.keep(0, LARGE_WRITE, buffer, self.handle().blocks()));
            self.leave_work();
        } else {
            self.send(data);
        }
        self.flow()
    }

    /// A write of `len` bytes is worth a copy, and is not the one that makes it enough.
    fn gathers(&self, len: usize) -> bool {
        self.flags.has(GATHERS)
            && len < LARGE_WRITE
            && self.buffered() + len < self.marks().high.min(GATHERED)
    }

    /// Sends what is buffered, as far as the kernel takes it.
    pub(super) fn send_buffered(&self) {
        if !self.flags.has(BLOCKED) && self.buffered() > 0 && self.life.get().sends() {
            self.send(Data::Borrowed(&[]));
        }
    }

    /// The kernel has room again.
    pub(super) fn write_ready(&self) {
        self.flags.clear(BLOCKED);
        self.send_buffered();
        self.update_interest();
    }

    /// One send of what is buffered and of `data`; what does not leave is buffered.
    fn send(&self, data: Data<'_>) {
        let pool = self.handle().blocks();
        let mut out = Outgoing::take(&self.buffer);
        let (before, behind) = (out.buffer.len(), data.len());
        let result = self.socket(|socket| data.send_behind(&out.buffer, socket));
        let sent = match result {
            Some(Ok(n)) => n,
            // A socket on the stack is as good as a full one; one that is gone has no writers.
            None => 0,
            Some(Err(e)) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Some(Err(error)) => {
                let unsent = out.buffer.clear(pool);
                drop(out);
                return self.write_failed(error, unsent);
            }
        };
        out.buffer.consume(sent, pool);
        if sent > 0 {
            self.flags.set(SENT);
        }
        if sent < before + behind {
            data.keep(sent.saturating_sub(before), COPIED, &mut out.buffer, pool);
            out.buffer.shrink(pool);
            drop(out);
            self.flags.set(BLOCKED);
            self.update_interest();
        } else {
            drop(out);
        }
        self.sent(sent);
    }

    /// So many bytes have left.
    fn sent(&self, bytes: usize) {
        if bytes > 0 && self.life.get().is_flushing() {
            let now = self.handle().now();
            self.rare(|rare| rare.progress = now);
        }
        self.update_pressure();
        if self.buffered() == 0 {
            let next = self.step(Lifecycle::handle_flushed);
            self.follow(next, None);
        }
    }

    /// A write failed. Nothing more will leave, but what the peer sent before may still be read (D-21).
    fn write_failed(&self, error: std::io::Error, unsent: usize) {
        self.flags.clear(BLOCKED);
        self.rare(|rare| rare.unsent += unsent);
        match self.step(Lifecycle::handle_write_error) {
            Next::Drain => {
                tracing::debug!("{self:?}: fatal write error on socket transport: {error}");
                self.report_write_error(&error);
                self.rare(|rare| rare.error.get_or_insert(error).kind());
                self.update_interest();
                self.queue_drain();
            }
            next => {
                self.report_write_error(&error);
                self.follow(next, Some(error));
            }
        }
    }

    /// What the last write should tell its caller.
    pub(super) fn flow(&self) -> Flow {
        if !self.life.get().takes_writes() {
            Flow::Closed
        } else if self.pressure.get().is_paused() {
            Flow::Paused
        } else {
            Flow::Open
        }
    }

    /// Unsent bytes.
    pub(super) fn buffered(&self) -> usize {
        self.buffer(|buffer| buffer.len())
    }

    pub(super) fn marks(&self) -> Watermarks {
        self.peek(|rare| rare.marks).unwrap_or(self.common.watermarks)
    }

    /// Changes the buffer. `f` must be leaf code: the buffer is on the stack meanwhile.
    pub(super) fn buffer<R>(&self, f: impl FnOnce(&mut crate::buffer::WriteBuffer) -> R) -> R {
        let mut buffer = self.buffer.take();
        let value = f(&mut buffer);
        self.buffer.set(buffer);
        value
    }
}
