//! When does a write leave, and with what else?
//!
//! A send costs a system call, which is dearer than copying some KiB. So small writes of one unit are
//! *gathered*: copied into one block of the buffer, and sent together when the unit ends, or as soon as there is
//! enough of them. A large write is not worth a copy: it goes out at once, behind what was gathered
//! before it, in one vectored send. Once the kernel takes less than it was offered (*blocked*), everything
//! is only buffered until the socket is writable.

use std::io::ErrorKind;

use millrun_loop::{Panic, catch};

use super::outgoing::{Data, Outgoing};
use super::state::{BLOCKED, GATHERS, PLAIN, SENDING, SENT, UNSENT};
use super::{Operation, SocketTransport};
use crate::buffer::{Piece, WriteBuffer};
use crate::lifecycle::{Lifecycle, Next};
use crate::{Flow, Watermarks};

/// A write of at least this many bytes goes out at once. Copying 16 KiB (into a block that is in cache) costs
/// about as much as the shortest send; below it, a gathered write can only win.
const LARGE_WRITE: usize = 16 * 1024;

/// Gathered bytes leave at this size, unit or no unit: what one large block holds, and about what one send
/// over loopback takes.
const GATHERED: usize = 64 * 1024;

/// When gathered bytes leave before the unit ends: never above the high mark.
pub(super) fn enough(marks: Watermarks) -> usize {
    marks.high.min(GATHERED)
}

/// What a call of a socket gave that was to send; `None` when it was not there to be called.
type Sent = Result<Option<std::io::Result<usize>>, Panic>;

impl SocketTransport {
    /// The write that most are: a small one, with nothing in its way. False: it is another one, and nothing was done.
    #[inline(always)]
    pub(super) fn write_plainly(&self, data: &[u8]) -> bool {
        if !self.state.writes_plainly() || data.is_empty() || data.len() >= LARGE_WRITE {
            return false;
        }
        let mut buffer = self.buffer.borrow_mut();
        if buffer.len() + data.len() >= LARGE_WRITE {
            return false;
        }
        buffer.gather(data, self.handle().blocks());
        drop(buffer);
        self.state.set(UNSENT);
        self.leave_work();
        true
    }

    /// Gathering or the marks changed.
    pub(super) fn update_plain(&self) {
        self.state.put(PLAIN, self.state.has(GATHERS) && self.enough() >= LARGE_WRITE);
    }

    pub(super) fn write_data(&self, data: Data<'_>) -> Flow {
        if !self.state.life().takes_writes() {
            return Flow::Closed;
        }
        let len = data.len();
        if len == 0 {
            return self.flow();
        }
        if self.state.has(BLOCKED) {
            self.with_buffer(|buffer, pool| data.keep(0, buffer, pool));
            self.update_pressure();
        } else if len < LARGE_WRITE && self.state.has(GATHERS) && self.gathers(&data, len) {
            self.leave_work();
        } else {
            self.send(data);
        }
        self.flow()
    }

    /// Gathers a write, unless it is the one that makes it enough.
    fn gathers(&self, data: &Data<'_>, len: usize) -> bool {
        let enough = self.enough();
        self.with_buffer(|buffer, pool| {
            let gathers = buffer.len() + len < enough;
            if gathers {
                data.gather(buffer, pool);
            }
            gathers
        })
    }

    /// Sends what is buffered, as far as the kernel takes it.
    #[inline(never)]
    pub(super) fn send_buffered(&self) {
        self.send_buffered_here();
    }

    #[inline(always)]
    pub(super) fn send_buffered_here(&self) {
        if self.state.is_sendable() {
            let piece = self.buffer.borrow_mut().take_piece();
            match piece {
                Some(piece) => self.send_piece(piece),
                None => self.send(Data::One(&[])),
            }
        }
    }

    /// What most sends are: all of what was gathered, which the kernel takes.
    #[inline(always)]
    fn send_piece(&self, piece: Piece) {
        self.state.set_for(SENDING, UNSENT);
        let bytes = piece.bytes();
        let result = catch(move || self.socket(move |socket| socket.try_write(bytes)));
        match result {
            Ok(Some(Ok(n))) => {
                if n == piece.len() {
                    piece.give_to(self.handle().blocks());
                    self.all_sent(n);
                } else {
                    self.piece_sent_in_part(Ok(Some(Ok(n))), piece);
                }
            }
            other => self.piece_sent_in_part(other, piece),
        }
    }

    #[inline(never)]
    fn piece_sent_in_part(&self, result: Sent, piece: Piece) {
        let out = Outgoing { buffer: piece.into(), home: self };
        self.sent_less(result, Data::One(&[]), out);
    }

    /// The kernel has room again.
    pub(super) fn write_ready(&self) {
        self.state.clear(BLOCKED);
        self.send_buffered();
        self.update_interest();
    }

    /// One send of what is buffered and of `data`; what does not leave is buffered.
    fn send(&self, data: Data<'_>) {
        let mut out = Outgoing::take(self);
        let all = out.buffer.len() + data.len();
        // A stranger's socket may panic: that ends the connection, as an error does.
        let result = catch(|| self.socket(|socket| data.send_behind(&out.buffer, socket)));
        match result {
            Ok(Some(Ok(n))) if n == all => {
                out.buffer.clear(self.handle().blocks());
                drop(out);
                self.all_sent(n);
            }
            other => self.sent_less(other, data, out),
        }
    }

    /// Not all has left, or it is not known.
    #[cold]
    fn sent_less(&self, result: Sent, data: Data<'_>, mut out: Outgoing<'_>) {
        self.state.clear(SENDING);
        let pool = self.handle().blocks();
        let (before, behind) = (out.buffer.len(), data.len());
        let sent = match result.unwrap_or_else(|panic| Some(Err(std::io::Error::other(panic)))) {
            Some(Ok(n)) => n,
            // A socket on the stack is as good as a full one; one that is gone has no writers.
            None => 0,
            Some(Err(e)) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Some(Err(error)) => {
                let unsent = out.buffer.clear(pool);
                drop(out);
                return self.write_failed(Operation::Send, error, unsent);
            }
        };
        out.buffer.consume(sent, pool);
        if sent > 0 {
            self.state.set(SENT);
        }
        if sent < before + behind {
            data.keep(sent.saturating_sub(before), &mut out.buffer, pool);
            out.buffer.shrink(pool);
            drop(out);
            self.state.set(BLOCKED);
            self.update_interest();
        } else {
            drop(out);
        }
        self.sent(sent);
    }

    /// These bytes were all that there was.
    #[inline]
    fn all_sent(&self, bytes: usize) {
        self.state.set_for(SENT, SENDING);
        if !self.state.is_plainly_at_rest() {
            self.sent(bytes);
        }
    }

    /// So many bytes have left.
    #[inline(never)]
    fn sent(&self, bytes: usize) {
        let life = self.state.life();
        if bytes > 0 && life.is_flushing() {
            let now = self.handle().now();
            self.rare(|rare| rare.progress = now);
        }
        self.update_pressure();
        if !self.state.has(UNSENT) && (life.is_flushing() || life.ended_writing()) {
            let next = self.step(Lifecycle::handle_flushed);
            self.follow(next, None);
        }
    }

    /// A write failed. Nothing more will leave, but what the peer sent before may still be read (D-21).
    pub(super) fn write_failed(&self, operation: Operation, error: std::io::Error, unsent: usize) {
        self.state.clear(BLOCKED);
        self.rare(|rare| rare.unsent += unsent);
        let next = self.step(Lifecycle::handle_write_error);
        if let Next::Drain = next {
            tracing::debug!("{self:?}: fatal write error on socket transport: {error}");
        }
        self.report_write_error(&error);
        let error = self.named(operation, error);
        match next {
            Next::Drain => {
                self.rare(|rare| rare.error.get_or_insert(error).kind());
                self.update_interest();
                self.queue_drain();
            }
            next => self.follow(next, Some(error)),
        }
    }

    /// What the last write should tell its caller.
    pub(super) fn flow(&self) -> Flow {
        if !self.state.life().takes_writes() {
            Flow::Closed
        } else if self.state.pressure().is_paused() {
            Flow::Paused
        } else {
            Flow::Open
        }
    }

    /// Unsent bytes.
    pub(super) fn buffered(&self) -> usize {
        if self.state.has(UNSENT) { self.buffer.borrow().len() } else { 0 }
    }

    /// Drops what is buffered, and says how many bytes that were.
    pub(super) fn drop_buffered(&self) -> usize {
        self.with_buffer(WriteBuffer::clear)
    }

    #[inline]
    fn enough(&self) -> usize {
        self.peek(|rare| rare.marks).map_or(self.common.enough, enough)
    }

    pub(super) fn marks(&self) -> Watermarks {
        self.peek(|rare| rare.marks).unwrap_or(self.common.watermarks)
    }
}
