//! What becomes of ciphertext that has come? Handshake, plaintext for the application, or nothing any more.

use std::io;

use millrun_loop::{BlockSize, ErrorContext, Panic, SMALL_BLOCK};
use millrun_transport::lifecycle::Lifecycle;
use millrun_transport::{Landing, Protocol};

use crate::TlsError;
use crate::close::DISCARDED;
use crate::machine::{Event, Sink};
use crate::session::{BELOW_EOF, BELOW_LOST, FAILED, PEER_CLOSED, QUEUED, Session};
use crate::state::Stage;

/// What a call of the application's protocol came to.
enum Received {
    /// Look again: there may be more.
    More,
    /// Nothing more is there.
    Nothing,
    /// The application takes no more now.
    NoRoom,
    /// The connection can't go on.
    Failed(&'static str, io::Error),
}

impl Session {
    /// Ciphertext is of use now. While plaintext waits, or the application has paused, it stays below.
    pub(crate) fn wants_input(&self) -> bool {
        match self.stage.get() {
            Stage::Unwrapped => false,
            Stage::Handshake | Stage::Flushing | Stage::Shutdown => true,
            Stage::Wrapped => {
                self.life.get().delivers()
                    && self.spill.borrow().is_empty()
                    && !self.is(PEER_CLOSED | FAILED)
            }
        }
    }

    /// Works off what has come. Only as an [`event`](Session::event), from the loop: it calls the application.
    pub(crate) fn work(&self) {
        self.unmark(QUEUED);
        loop {
            let more = match self.stage.get() {
                Stage::Unwrapped => false,
                Stage::Handshake => self.shake_hands(),
                Stage::Wrapped => self.deliver(),
                Stage::Flushing | Stage::Shutdown => self.discard(),
            };
            if !more {
                break;
            }
        }
        if self.wants_input() {
            if let Some(below) = self.below() {
                below.resume_reading();
            }
        }
    }

    /// As [`work`](Session::work), in a later round: for calls of the application's (TLS-021).
    pub(crate) fn queue_work(&self) {
        if self.is(QUEUED) {
            return;
        }
        if let Some(this) = self.this.upgrade() {
            self.mark(QUEUED);
            // A closed loop has ended the connection, or will.
            let _ = self.handle.call_soon(move || this.event(|| this.work()));
        }
    }

    /// Lets the machine work off ciphertext, and sends what it has to say. Says how much plaintext the sink got.
    pub(crate) fn advance(&self, sink: Sink<'_>) -> (usize, Event) {
        let mut out = Vec::new();
        let advance = {
            let mut inbound = self.inbound.borrow_mut();
            let advance = self.machine.borrow_mut().advance(inbound.bytes(), sink, &mut out);
            inbound.discard(advance.discard, self.handle.blocks());
            advance
        };
        self.send(&out);
        (advance.taken, advance.event)
    }

    /// As [`advance`](Session::advance), with nobody there who takes plaintext.
    pub(crate) fn advance_alone(&self) -> Event {
        let mut spill = self.spill.take();
        let (_, event) = self.advance(Sink::Memory(&mut [], &mut spill));
        self.spill.replace(spill);
        event
    }

    fn shake_hands(&self) -> bool {
        let event = self.advance_alone();
        match event {
            Event::Failed(error) => {
                self.handshake_failed(TlsError::from(error).into(), false);
                return false;
            }
            Event::PeerClosed => self.mark(PEER_CLOSED),
            Event::Idle | Event::Full | Event::Handshaken => {}
        }
        if self.machine.borrow().is_handshaken() {
            self.wrapped();
            return true;
        }
        if self.is(BELOW_EOF | PEER_CLOSED) {
            // TLS-005
            self.handshake_failed(TlsError::EofInHandshake.into(), true);
        }
        false
    }

    /// Gives the application what there is for it. True if there may be more.
    fn deliver(&self) -> bool {
        if !self.life.get().delivers() {
            return self.deliver_nothing();
        }
        if self.spill.borrow().is_empty() && self.is(PEER_CLOSED | FAILED) {
            return self.deliver_end();
        }
        let mut callback = "";
        let received = match self.slot.call(|protocol| self.receive_for(protocol, &mut callback)) {
            // It is on the stack, and whoever called it goes on.
            None => return false,
            Some(Ok(received)) => received,
            Some(Err(panic)) => {
                self.panicked(callback, panic);
                return false;
            }
        };
        match received {
            Received::More => true,
            Received::NoRoom => {
                self.step(Lifecycle::handle_pause);
                self.deliver_nothing()
            }
            Received::Failed(what, error) => {
                self.fatal(what, error);
                false
            }
            Received::Nothing => self.at_the_end(),
        }
    }

    /// The application takes nothing: it paused, it is closing, or it has heard of the end. A connection that is gone ends now,
    /// unless what came before that is still to be delivered (TLS-034), which a loop that closes never will.
    fn deliver_nothing(&self) -> bool {
        let waits = self.life.get().saw_eof()
            || self.spill.borrow().is_empty() && self.inbound.borrow().is_empty();
        let never = self.life.get().is_closing() || self.handle.is_closing();
        if self.is(BELOW_LOST) && (waits || never) {
            if self.is_cut_off() {
                self.set_error(TlsError::Truncated.into());
            }
            self.end_as_below();
        }
        false
    }

    fn receive_for(&self, protocol: &mut dyn Protocol, callback: &mut &'static str) -> Received {
        *callback = "landing";
        let landing = protocol.landing();
        // That was user code: it may have paused, closed, or set another protocol.
        let wanted = self.life.get().delivers() && !self.slot.is_home();
        let (taken, event) = match landing {
            Landing::Failed(error) => {
                return Received::Failed("landing() (get_buffer) failed", error);
            }
            Landing::Own(memory) if !memory.is_empty() => {
                let (n, event) = if wanted { self.fill(memory) } else { (0, Event::Idle) };
                *callback = "landed";
                (protocol.landed(n).map(|()| n), event)
            }
            Landing::Shared(most) if wanted && most > 0 => {
                *callback = "data_received";
                self.receive_shared(protocol, most)
            }
            // Not remembered: a record costs a thousand times as much.
            Landing::Anywhere if wanted => {
                *callback = "data_received";
                self.receive_shared(protocol, usize::MAX)
            }
            _ if wanted => return Received::NoRoom,
            _ => return Received::More,
        };
        if let Err(error) = taken {
            return Received::Failed("fatal error on SSL protocol", error);
        }
        match event {
            Event::PeerClosed => self.mark(PEER_CLOSED),
            Event::Failed(error) => {
                self.set_error(TlsError::from(error).into());
                self.mark(FAILED);
                self.nothing_leaves();
            }
            Event::Idle if !wanted => return Received::More,
            Event::Idle => return Received::Nothing,
            Event::Full | Event::Handshaken => {}
        }
        Received::More
    }

    fn receive_shared(
        &self,
        protocol: &mut dyn Protocol,
        most: usize,
    ) -> (io::Result<usize>, Event) {
        let pool = self.handle.blocks();
        let large = self.inbound.borrow().len() + self.spill.borrow().len() > SMALL_BLOCK;
        let mut block = pool.take(if large { BlockSize::Large } else { BlockSize::Small });
        let room = most.min(block.len());
        let (n, event) = self.fill(&mut block[..room]);
        let taken = if n > 0 {
            pool.lend(&block);
            protocol.data_received(&block[..n])
        } else {
            Ok(())
        };
        pool.give(block);
        (taken.map(|()| n), event)
    }

    /// Plaintext into this memory: first what waits, then what is opened now, as many records as fit (TLS-022).
    fn fill(&self, memory: &mut [u8]) -> (usize, Event) {
        let mut spill = self.spill.take();
        let waiting = spill.take_into(memory);
        if waiting == memory.len() {
            self.spill.replace(spill);
            return (waiting, Event::Full);
        }
        let (opened, event) = self.advance(Sink::Memory(&mut memory[waiting..], &mut spill));
        if !spill.is_empty() {
            self.spill.replace(spill);
        }
        (waiting + opened, event)
    }

    /// All was delivered: is there anything behind it?
    fn at_the_end(&self) -> bool {
        if self.is_cut_off() {
            self.set_error(TlsError::Truncated.into());
            self.mark(FAILED);
            self.nothing_leaves();
            return true;
        }
        if self.is(BELOW_EOF) && !self.is(PEER_CLOSED) {
            self.mark(PEER_CLOSED);
            return true;
        }
        if self.is(BELOW_LOST) {
            self.end_as_below();
        }
        false
    }

    /// What came is over, and the peer never said that it was all (D-14).
    fn is_cut_off(&self) -> bool {
        let is_over = self.is(BELOW_EOF) && !self.is(PEER_CLOSED);
        is_over && !self.settings.tolerates_truncation
    }

    /// What is behind the last byte: the peer's end, or a failure.
    fn deliver_end(&self) -> bool {
        if self.is(FAILED) {
            self.end(None);
            if let Some(below) = self.below() {
                below.close();
            }
            return false;
        }
        if !self.step(Lifecycle::handle_eof) {
            return false;
        }
        tracing::trace!("{self:?}: received close_notify");
        let keeps = match self.slot.call(|protocol| protocol.eof_received()) {
            Some(Ok(answer)) => {
                answer && self.machine.borrow().has_half_close() && !self.is(BELOW_LOST)
            }
            Some(Err(panic)) => {
                self.panicked("eof_received", panic);
                return false;
            }
            None => false,
        };
        if !keeps {
            self.begin_close(None);
        }
        true
    }

    /// Closing: what comes is nobody's any more (TLS-016), until the peer's end, or too much of it.
    fn discard(&self) -> bool {
        let (n, event) = self.advance(Sink::Discard);
        let mut closing = self.closing.get();
        closing.discarded += n;
        self.closing.set(closing);
        let over = match event {
            Event::PeerClosed => {
                self.mark(PEER_CLOSED);
                true
            }
            Event::Failed(_) => true,
            Event::Idle => self.is(BELOW_EOF | PEER_CLOSED),
            Event::Full | Event::Handshaken => return true,
        };
        if over || closing.discarded > DISCARDED {
            self.finish_close();
        }
        false
    }

    /// A callback panicked: the handler is told, and the connection ends with it.
    pub(crate) fn panicked(&self, callback: &'static str, panic: Panic) {
        let error = io::Error::other(format!("{callback}() panicked: {panic}"));
        let context = ErrorContext::new(format!("{callback}() failed")).panic(panic);
        self.handle.report(context.detail("transport", format_args!("{self:?}")));
        self.abort_with(Some(error));
    }

    /// The connection can't go on, by an error of the application's (TLS-024, TLS-037).
    pub(crate) fn fatal(&self, what: &'static str, error: io::Error) {
        if error.raw_os_error().is_some() {
            tracing::debug!("{self:?}: {what}: {error}");
        } else {
            let copy = io::Error::new(error.kind(), error.to_string());
            let context = ErrorContext::new(what).error(copy);
            self.handle.report(context.detail("transport", format_args!("{self:?}")));
        }
        self.abort_with(Some(error));
    }
}
