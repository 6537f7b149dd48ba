//! When does a write leave, and with what else?
//!
//! A send costs a system call, which is dearer than copying some KiB. So small writes of one unit are
//! *gathered*: copied into one block of the buffer, and sent together when the unit ends, or as soon as there is
//! enough of them. A large write is not worth a copy: it goes out at once, behind what was gathered
//! before it, in one vectored send. Once the kernel takes less than it was offered (*blocked*), everything
//! is only buffered until the socket is writable.

use std::io::{self, ErrorKind};

use millrun_loop::{Panic, catch};
use millrun_selector::Socket;

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

impl SocketTransport {
    /// A write of one slice. First what most are: small, the first of its unit, and of what was just received, whose
    /// block is shared. Each other kind is a function of its own, so that this one saves no registers for them.
    #[inline(always)]
    pub(super) fn write_slice(&self, data: &[u8]) -> Flow {
        if data.len() >= LARGE_WRITE {
            return self.write_large(data);
        }
        if self.state.writes_first() {
            if let Some(piece) = Piece::share(data, self.handle().blocks()) {
                self.fill_buffer(piece.into());
                self.state.set(UNSENT);
                return self.written();
            }
        }
        self.write_behind(data)
    }

    /// Then the next ones of the unit, each right behind the one before in what was received.
    #[inline(never)]
    fn write_behind(&self, data: &[u8]) -> Flow {
        if self.state.writes_next() {
            let mut buffer = self.buffer.take();
            let extended = buffer.extend_piece(data, LARGE_WRITE);
            self.fill_buffer(buffer);
            if extended {
                return self.written();
            }
        }
        self.write_gathered(data)
    }

    /// Then the others that are small, with nothing in their way.
    #[inline(never)]
    fn write_gathered(&self, data: &[u8]) -> Flow {
        if self.state.writes_plainly() && !data.is_empty() {
            let mut buffer = self.buffer.take();
            let is_small = buffer.len().saturating_add(data.len()) < LARGE_WRITE;
            if is_small {
                buffer.gather(data, self.handle().blocks());
                self.state.set(UNSENT);
            }
            self.fill_buffer(buffer);
            if is_small {
                return self.written();
            }
        }
        self.write_data(Data::One(data))
    }

    #[inline(never)]
    fn write_large(&self, data: &[u8]) -> Flow {
        self.write_data(Data::One(data))
    }

    /// A write was gathered: whoever looks at the end of the unit sends it.
    #[inline(always)]
    fn written(&self) -> Flow {
        if self.leaves_work() { self.leave_write() } else { Flow::Open }
    }

    #[inline(never)]
    fn leave_write(&self) -> Flow {
        self.leave_work_now();
        Flow::Open
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
        } else if len < LARGE_WRITE && self.state.has(GATHERS) && self.gathers(&data) {
            self.leave_work();
        } else {
            self.send(data);
        }
        self.flow()
    }

    /// Gathers a write, unless it is the one that makes it enough.
    fn gathers(&self, data: &Data<'_>) -> bool {
        let enough = self.enough();
        self.with_buffer(|buffer, pool| {
            let gathers = buffer.len() + data.len() < enough;
            if gathers {
                data.gather(buffer, pool);
            }
            gathers
        })
    }

    /// Sends what is buffered, as far as the kernel takes it.
    #[inline]
    pub(super) fn send_buffered(&self) {
        if self.state.is_sendable() {
            self.send_buffered_now();
        }
    }

    #[inline(never)]
    fn send_buffered_now(&self) {
        self.send_sendable();
    }

    /// For what [is sendable](super::state::State::is_sendable). True if all that there was has left, and nobody waits
    /// for that or has to be told.
    #[inline(always)]
    pub(super) fn send_sendable(&self) -> bool {
        match self.buffer.take().into_piece() {
            Ok(piece) => self.send_piece(piece),
            Err(buffer) => self.send_pieces(buffer),
        }
    }

    /// What most sends are: all of what was gathered, which the kernel takes.
    #[inline(always)]
    fn send_piece(&self, piece: Piece) -> bool {
        self.state.set_for(SENDING, UNSENT);
        let bytes = piece.bytes();
        let all = bytes.len();
        let sent = match self.ask_to_send(|socket| socket.try_write(bytes)) {
            Ok(Ok(sent)) => sent,
            other => return self.piece_sent_in_part(flat(other), piece.into()),
        };
        // More than there was is all of it: a stranger's socket may say so.
        if sent < all {
            return self.piece_sent_in_part(Ok(sent), piece.into());
        }
        self.handle().blocks().give(piece.block);
        self.state.set_for(SENT, SENDING);
        self.state.is_plainly_at_rest() || self.sent_all()
    }

    /// How many bytes the socket took. One that is on the stack is as good as a full one; one that is gone has no
    /// writers. A stranger's may panic: that ends the connection, as an error does.
    #[inline(always)]
    fn ask_to_send(
        &self,
        send: impl FnOnce(&dyn Socket) -> io::Result<usize>,
    ) -> Result<io::Result<usize>, Panic> {
        catch(|| self.lend_socket().get().map_or(Ok(0), send))
    }

    /// Mostly in part; or it failed, or somebody waits.
    #[inline(never)]
    fn piece_sent_in_part(&self, sent: io::Result<usize>, piece: WriteBuffer) -> bool {
        let out = Outgoing { buffer: piece, home: self };
        self.sent_less(sent, Data::One(&[]), out);
        false
    }

    #[inline(never)]
    fn sent_all(&self) -> bool {
        self.sent(true);
        false
    }

    #[inline(never)]
    fn send_pieces(&self, buffer: WriteBuffer) -> bool {
        self.put_buffer(buffer);
        self.send(Data::One(&[]));
        false
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
        match self.ask_to_send(|socket| data.send_behind(&out.buffer, socket)) {
            Ok(Ok(n)) if n >= all => {
                out.buffer.clear(self.handle().blocks());
                drop(out);
                self.state.set_for(SENT, SENDING);
                if !self.state.is_plainly_at_rest() {
                    self.sent(true);
                }
            }
            other => self.sent_less(flat(other), data, out),
        }
    }

    /// Not all has left, or it is not known.
    #[cold]
    fn sent_less(&self, sent: io::Result<usize>, data: Data<'_>, mut out: Outgoing<'_>) {
        self.state.clear(SENDING);
        let pool = self.handle().blocks();
        let before = out.buffer.len();
        let sent = match sent {
            Ok(n) => n,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Err(error) => {
                let unsent = out.buffer.clear(pool);
                drop(out);
                return self.write_failed(Operation::Send, error, unsent);
            }
        };
        out.buffer.consume(sent, pool);
        data.keep(sent.saturating_sub(before), &mut out.buffer, pool);
        out.buffer.shrink(pool);
        drop(out);
        self.state.set(BLOCKED);
        self.update_interest();
        self.sent(sent > 0);
    }

    /// Bytes have left, or (without progress) none.
    #[inline(never)]
    fn sent(&self, progress: bool) {
        let life = self.state.life();
        if progress && life.is_flushing() {
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
    pub(super) fn write_failed(&self, operation: Operation, error: io::Error, unsent: usize) {
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
        if self.state.has(UNSENT) { self.with_buffer(|buffer, _| buffer.len()) } else { 0 }
    }

    /// Drops what is buffered, and says how many bytes that were.
    pub(super) fn drop_buffered(&self) -> usize {
        if self.state.has(UNSENT) { self.with_buffer(WriteBuffer::clear) } else { 0 }
    }

    #[inline]
    fn enough(&self) -> usize {
        self.peek(|rare| rare.marks).map_or(self.common.enough, enough)
    }

    pub(super) fn marks(&self) -> Watermarks {
        self.peek(|rare| rare.marks).unwrap_or(self.common.watermarks)
    }
}

/// A panic of a socket's is an error of it.
fn flat(sent: Result<io::Result<usize>, Panic>) -> io::Result<usize> {
    sent.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}
