//! When is plaintext sealed, and with what else? Small writes of one unit together, in full records; large ones at once.

use std::io;
use std::rc::Rc;

use bytes::Bytes;
use millrun_loop::{BlockSize, LARGE_BLOCK, SMALL_BLOCK};
use millrun_transport::pressure::Signal;
use millrun_transport::{Flow, Watermarks};

use crate::TlsError;
use crate::machine::{Event, NotSealed, RECORD, sealed};
use crate::session::{
    BELOW_LOST, BELOW_PAUSED, FAILED, GATHERS, LENT, PEER_CLOSED, SENT_CLOSE, Session,
};
use crate::state::Stage;

/// A write of at least this many bytes is not copied to its neighbours: it is a record of its own.
const LARGE_WRITE: usize = RECORD;

/// So much plaintext is sealed at a time: what a large block has room for when it is sealed.
const AT_ONCE: usize = 3 * RECORD;
const _: () =
    assert!(sealed(AT_ONCE) <= LARGE_BLOCK, "a large block must hold what is sealed at once");

/// What waits unsealed is sealed at this size, unit or no unit.
const GATHERED: usize = 4 * RECORD;

/// The marks of asyncio's TLS transport: 128 KiB and 512 KiB (TLS-018).
pub(crate) const MARKS: Watermarks = Watermarks { low: 128 * 1024, high: 512 * 1024 };

/// The marks that the transport below gets. It must not be full without saying so while we wait for it: what it holds without
/// being paused is never above our low mark.
pub(crate) fn marks_below(marks: Watermarks) -> Watermarks {
    Watermarks::from_high(marks.low.min(Watermarks::default().high))
}

impl Session {
    /// Something may still leave. (What comes may be delivered for longer.)
    fn takes_writes(&self) -> bool {
        self.life.get().takes_writes() && !self.is(FAILED | BELOW_LOST)
    }

    pub(crate) fn write_all(&self, pieces: &[&[u8]]) -> Flow {
        if !self.takes_writes() {
            return Flow::Closed;
        }
        for piece in pieces {
            self.write_piece(piece);
        }
        self.written()
    }

    pub(crate) fn write_owned(&self, data: Bytes) -> Flow {
        if !self.takes_writes() {
            return Flow::Closed;
        }
        if data.len() < LARGE_WRITE || self.may_seal() {
            self.write_piece(&data);
        } else {
            self.outbound.borrow_mut().push(data, self.handle.blocks());
        }
        self.written()
    }

    fn write_piece(&self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        if data.len() >= LARGE_WRITE && self.may_seal() {
            self.seal_waiting();
            // Unless something is still in its way, it is sealed where it lies.
            if self.outbound.borrow().is_empty() && self.may_seal() {
                return self.seal_each(data);
            }
        }
        self.outbound.borrow_mut().gather(data, self.handle.blocks());
        if self.outbound.borrow().len() >= GATHERED {
            self.seal_records(true);
        }
    }

    fn written(&self) -> Flow {
        if self.is(GATHERS) {
            if !self.outbound.borrow().is_empty() {
                self.leave_work();
            }
        } else {
            self.seal_waiting();
            self.flush_below();
        }
        self.update_pressure();
        self.flow()
    }

    pub(crate) fn flush_below(&self) {
        if let Some(below) = self.below() {
            below.flush();
        }
    }

    /// What the last write should tell its caller.
    pub(crate) fn flow(&self) -> Flow {
        if !self.takes_writes() {
            Flow::Closed
        } else if self.pressure.get().is_paused() {
            Flow::Paused
        } else {
            Flow::Open
        }
    }

    /// There are keys, and the transport below takes more; one that closes takes what it gets.
    fn may_seal(&self) -> bool {
        match self.stage.get() {
            Stage::Wrapped => !self.is(BELOW_PAUSED | LENT | FAILED),
            Stage::Flushing => !self.is(LENT | FAILED),
            Stage::Unwrapped | Stage::Handshake | Stage::Shutdown => false,
        }
    }

    /// Seals what waits, in order, as far as may be; then the end of the write direction, if that was asked for.
    pub(crate) fn seal_waiting(&self) {
        if !self.outbound.borrow().is_empty() {
            self.seal_records(false);
        }
        self.seal_end();
    }

    /// Seals what waits; on request full records alone: more is coming.
    fn seal_records(&self, full: bool) {
        while self.may_seal() && !self.outbound.borrow().is_empty() {
            // Taken out while it is sealed: the transport below is called.
            let mut outbound = self.outbound.take();
            let chunk = outbound.chunks().next().unwrap_or_default();
            let most = chunk.len().min(AT_ONCE);
            let n = if full { most - most % RECORD } else { most };
            let sealed = if n > 0 { self.seal_one(&chunk[..n]) } else { Ok(()) };
            if sealed.is_ok() {
                outbound.consume(n, self.handle.blocks());
            }
            self.outbound.replace(outbound);
            if let Err(error) = sealed {
                return self.not_sealed(error);
            }
            if n == 0 {
                return;
            }
        }
    }

    /// Seals what lies elsewhere.
    fn seal_each(&self, data: &[u8]) {
        for chunk in data.chunks(AT_ONCE) {
            if let Err(error) = self.seal_one(chunk) {
                return self.not_sealed(error);
            }
        }
    }

    /// Seals at most [`AT_ONCE`] and hands it below.
    fn seal_one(&self, plaintext: &[u8]) -> Result<(), NotSealed> {
        let pool = self.handle.blocks();
        let small = sealed(plaintext.len()) <= SMALL_BLOCK;
        let mut block = pool.take(if small { BlockSize::Small } else { BlockSize::Large });
        let result =
            self.work_off().and_then(|()| self.seal_into(plaintext, &mut block)).or_else(|_| {
                // The machine has something of its own to say first.
                self.catch_up()?;
                self.seal_into(plaintext, &mut block)
            });
        if let Ok(n) = result {
            // So that the transport below can share what is small, instead of copying it.
            pool.lend(&block);
            self.send(&block[..n]);
        }
        pool.give(block);
        result.map(drop)
    }

    fn seal_into(&self, plaintext: &[u8], out: &mut [u8]) -> Result<usize, NotSealed> {
        let mut inbound = self.inbound.borrow_mut();
        self.machine.borrow_mut().seal(self.worked_off(&mut inbound), plaintext, out)
    }

    /// What the machine may be shown when it seals: see [`Machine`](crate::machine::Machine).
    fn worked_off<'a>(&self, inbound: &'a mut crate::inbound::Inbound) -> &'a mut [u8] {
        if self.spill.borrow().is_empty() { inbound.bytes() } else { &mut [] }
    }

    /// What has come may hold records that have just not been opened: the application's memory was full to the byte. The machine would
    /// open one while it is asked to seal, and nobody would have it.
    fn work_off(&self) -> Result<(), NotSealed> {
        if self.inbound.borrow().is_empty() || !self.spill.borrow().is_empty() {
            return Ok(());
        }
        self.catch_up()
    }

    /// Lets the machine do what it has to do before it can seal.
    fn catch_up(&self) -> Result<(), NotSealed> {
        if !self.spill.borrow().is_empty() {
            let mut out = Vec::new();
            let advance =
                self.machine.borrow_mut().advance(&mut [], crate::machine::Sink::Discard, &mut out);
            self.send(&out);
            return self.caught_up(advance.event);
        }
        let event = self.advance_alone();
        self.caught_up(event)
    }

    fn caught_up(&self, event: Event) -> Result<(), NotSealed> {
        match event {
            Event::Failed(error) => {
                self.set_error(TlsError::from(error).into());
                self.mark(FAILED);
                self.nothing_leaves();
                self.queue_work();
                Err(NotSealed::NotNow)
            }
            Event::PeerClosed => {
                self.mark(PEER_CLOSED);
                self.queue_work();
                Ok(())
            }
            Event::Full => {
                self.queue_work();
                Ok(())
            }
            Event::Idle | Event::Handshaken => Ok(()),
        }
    }

    fn not_sealed(&self, error: NotSealed) {
        if self.is(FAILED) {
            return; // it ends when what came before is delivered
        }
        self.abort_with(Some(io::Error::other(format!("TLS can't seal any more: {error:?}"))));
    }

    /// The write direction was ended, or the connection is closing, and nothing waits: the alert, then the end of what is below.
    pub(crate) fn seal_end(&self) {
        let life = self.life.get();
        let due = life.ended_writing() || self.stage.get() == Stage::Flushing;
        if !due || self.is(SENT_CLOSE) || !self.may_seal() || !self.outbound.borrow().is_empty() {
            return;
        }
        self.mark(SENT_CLOSE);
        let mut out = Vec::new();
        let notified = self.work_off().and_then(|()| self.close_notify(&mut out)).or_else(|_| {
            self.catch_up()?;
            self.close_notify(&mut out)
        });
        if let Err(error) = notified {
            tracing::debug!("{self:?}: no close_notify: {error:?}");
        }
        self.send(&out);
        if let Some(below) = self.below() {
            below.write_eof();
        }
    }

    fn close_notify(&self, out: &mut Vec<u8>) -> Result<(), NotSealed> {
        let mut inbound = self.inbound.borrow_mut();
        self.machine.borrow_mut().close_notify(self.worked_off(&mut inbound), out)
    }

    /// The size or the marks changed.
    pub(crate) fn update_pressure(&self) {
        let mut pressure = self.pressure.get();
        let unsettled = pressure.update(self.buffered(), self.marks.get());
        self.pressure.set(pressure);
        if unsettled && self.life.get().tells_pressure() {
            self.leave_work();
        }
    }

    /// The end of an event: what was written leaves, and the application is told what is true.
    pub(crate) fn finish(&self) {
        self.seal_waiting();
        self.update_pressure();
        if !self.settle() {
            return;
        }
        // What the callback wrote leaves too.
        self.seal_waiting();
        self.update_pressure();
        // A callback that makes its own opposite true each time must not keep the unit from ending.
        if self.pressure.get().is_unsettled() && self.life.get().tells_pressure() {
            if let Some(this) = self.this.upgrade() {
                let _ = self.handle.call_soon(move || Rc::clone(&this).event(|| {}));
            }
        }
    }

    /// Tells the application, if there is something to be told.
    fn settle(&self) -> bool {
        if !self.pressure.get().is_unsettled() || !self.life.get().tells_pressure() {
            return false;
        }
        let mut callback = "";
        let outcome = self.slot.call(|protocol| {
            let mut pressure = self.pressure.get();
            let signal = pressure.settle();
            self.pressure.set(pressure);
            match signal {
                Some(Signal::Pause) => {
                    callback = "pause_writing";
                    protocol.pause_writing();
                }
                Some(Signal::Resume) => {
                    callback = "resume_writing";
                    protocol.resume_writing();
                }
                None => {}
            }
        });
        if let Some(Err(panic)) = outcome {
            self.panicked(callback, panic);
        }
        true
    }
}
