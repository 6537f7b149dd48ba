//! How does it begin, and how does it end? The handshake's time and outcome; closing, with its deadline; what the application hears.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{ErrorContext, UnitEnd, catch};
use millrun_transport::lifecycle::{Lifecycle, Next};

use millrun_transport::{CloseOutcome, CloseTimedOut, Transport};

use crate::TlsError;
use crate::session::{ALREADY_MADE, BELOW_EOF, BELOW_LOST, BELOW_PAUSED, PEER_CLOSED, Session};
use crate::state::Stage;
use crate::writing::marks_below;

/// A closing connection discards this much plaintext at most while it waits for the peer's answer: what a peer has on its way
/// when it is closed early. A peer that sends on is not waited for.
pub(crate) const DISCARDED: usize = 1024 * 1024;

impl Session {
    /// The connection below exists: shake hands.
    pub(crate) fn begin(&self, below: Rc<dyn Transport>) {
        if self.below.set(Rc::clone(&below)).is_err() || self.stage.get() != Stage::Unwrapped {
            return;
        }
        if self.life.get().is_closing() {
            return below.abort();
        }
        // Cannot fail: low is a quarter of high.
        let _ = below.set_write_buffer_limits(marks_below(self.marks.get()));
        below.set_close_timeout(self.shutdown_timeout.get());
        self.go(Stage::Handshake);
        self.arm(self.settings.handshake_timeout, Session::handshake_timed_out);
        self.event(|| self.work());
    }

    fn arm(&self, after: Duration, f: fn(&Session)) {
        self.cancel_timer();
        let this = self.this.clone();
        let timer = self.handle.call_later(after, move || {
            if let Some(session) = this.upgrade() {
                session.event(|| f(&session));
            }
        });
        match timer {
            Ok(timer) => self.timer.set(Some(timer)),
            // The loop is closing, and ends the connection.
            Err(closed) => tracing::debug!("{self:?}: no deadline: {closed}"),
        }
    }

    /// The handshake is done (TLS-002): `connection_made`, then who waits for it, then data that came along.
    pub(crate) fn wrapped(&self) {
        self.cancel_timer();
        self.go(Stage::Wrapped);
        let Some(transport) = self.transport() else { return };
        if self.step(Lifecycle::handle_made) && !self.is(ALREADY_MADE) {
            let made = self.slot.call(|protocol| protocol.connection_made(Rc::clone(&transport)));
            if let Some(Err(panic)) = made {
                self.panicked("connection_made", panic);
            }
        }
        self.step(Lifecycle::handle_start);
        if let Some(opened) = self.opened.take() {
            // A server has nobody who waits.
            let _ = opened.send(Ok(transport));
        }
    }

    fn handshake_timed_out(&self) {
        if self.stage.get() == Stage::Handshake {
            let after = self.settings.handshake_timeout;
            self.handshake_failed(TlsError::HandshakeTimedOut(after).into(), true);
        }
    }

    /// The application hears nothing, unless it has heard of the connection before (TLS-006, TLS-007, TLS-028, SV-028).
    pub(crate) fn handshake_failed(&self, error: io::Error, abort: bool) {
        tracing::debug!("{self:?}: TLS handshake failed: {error}");
        self.cancel_timer();
        self.go(Stage::Unwrapped);
        if self.is(ALREADY_MADE) {
            self.step(Lifecycle::handle_made);
            self.end(Some(TlsError::copy_of(&error)));
        } else {
            let _ = self.step(Lifecycle::handle_end);
            self.step(Lifecycle::handle_lost);
            self.drop_protocol();
        }
        if let Some(opened) = self.opened.take() {
            let _ = opened.send(Err(error));
        }
        match self.below() {
            Some(below) if abort => below.abort(),
            // The alert leaves first.
            Some(below) => below.close(),
            None => {}
        }
    }

    fn drop_protocol(&self) {
        let protocol = self.slot.take();
        if let Err(panic) = catch(move || drop(protocol)) {
            self.handle.report(ErrorContext::new("dropping a protocol failed").panic(panic));
        }
    }

    /// A handshake message that is longer than any may be.
    pub(crate) fn too_long(&self) {
        match self.stage.get() {
            Stage::Handshake => self.handshake_failed(TlsError::MessageTooLong.into(), true),
            _ => self.abort_with(Some(TlsError::MessageTooLong.into())),
        }
    }

    /// The first error counts.
    pub(crate) fn set_error(&self, error: io::Error) {
        let first = self.error.take().unwrap_or(error);
        self.error.set(Some(first));
    }

    /// The application closes; with `total`, in that time, progress or not.
    pub(crate) fn begin_close(&self, total: Option<Duration>) {
        if let Some(total) = total {
            let by = self.handle.now() + total;
            let mut closing = self.closing.get();
            closing.by = Some(closing.by.map_or(by, |was| was.min(by)));
            self.closing.set(closing);
        }
        match self.stage.get() {
            // TLS-008
            Stage::Handshake => self.handshake_failed(TlsError::ClosedInHandshake.into(), true),
            Stage::Wrapped if !self.life.get().is_closing() => {
                let _ = self.step(|life| life.handle_close(false));
                self.shut_down();
            }
            Stage::Flushing | Stage::Shutdown if total.is_some() => self.arm_shutdown(),
            // Before the connection is there: it is ended when it comes.
            Stage::Unwrapped if !self.life.get().is_closing() => {
                let _ = self.step(|life| life.handle_close(false));
            }
            _ => {}
        }
    }

    /// Everything is handed below, the alert last, and then the peer's answer is awaited (TLS-010).
    fn shut_down(&self) {
        self.go(Stage::Flushing);
        // From here on the transport below takes all: there is no more to come.
        self.unmark(BELOW_PAUSED);
        self.spill.take();
        self.seal_waiting();
        let Some(below) = self.below() else { return };
        if self.stage.get() != Stage::Flushing {
            return; // it could not be sealed, and has ended
        }
        if self.is(PEER_CLOSED | BELOW_EOF) {
            return self.finish_close();
        }
        if self.is(BELOW_LOST) {
            return self.end_as_below();
        }
        below.resume_reading();
        let mut closing = self.closing.get();
        closing.left = below.write_buffer_size();
        self.closing.set(closing);
        self.arm_shutdown();
        // What has come already is nobody's, and the peer's alert may be in it.
        self.queue_work();
    }

    fn arm_shutdown(&self) {
        let idle = self.shutdown_timeout.get();
        let now = self.handle.now();
        let after = self.closing.get().by.map_or(idle, |by| by.since(now).min(idle));
        self.arm(after, Session::shutdown_timed_out);
    }

    /// The transport below has its own deadline once it closes; this one is for the time before.
    fn shutdown_timed_out(&self) {
        if !self.stage.get().discards() {
            return;
        }
        let mut closing = self.closing.get();
        let left = self.below().map_or(0, |below| below.write_buffer_size());
        let late = closing.by.is_some_and(|by| by <= self.handle.now());
        if !late && left < closing.left {
            closing.left = left;
            self.closing.set(closing);
            return self.arm_shutdown();
        }
        let unsent = self.buffered();
        self.set_error(match unsent {
            0 => TlsError::ShutdownTimedOut.into(),
            _ => io::Error::new(io::ErrorKind::TimedOut, CloseTimedOut { unsent }),
        });
        self.abort_with(None);
    }

    /// The peer has nothing more to say: the transport below closes, and its end is ours.
    pub(crate) fn finish_close(&self) {
        self.cancel_timer();
        if self.stage.get() == Stage::Flushing {
            self.go(Stage::Shutdown);
        }
        let Some(below) = self.below() else { return };
        match self.closing.get().by {
            Some(by) => below.close_within(by.since(self.handle.now())),
            None => below.close(),
        }
        if self.is(BELOW_LOST) {
            self.end_as_below();
        }
    }

    /// Ends the connection now, and what is below with it (TLS-017).
    pub(crate) fn abort_with(&self, error: Option<io::Error>) {
        if self.stage.get() == Stage::Handshake {
            let error = error.unwrap_or_else(|| TlsError::ClosedInHandshake.into());
            return self.handshake_failed(error, true);
        }
        self.end(error);
        if let Some(below) = self.below() {
            below.abort();
        }
    }

    /// The transport below is gone.
    pub(crate) fn below_lost(&self, error: Option<io::Error>) {
        self.mark(BELOW_LOST);
        match self.stage.get() {
            Stage::Handshake => {
                let error = error.unwrap_or_else(|| TlsError::EofInHandshake.into());
                self.handshake_failed(error, true);
            }
            Stage::Unwrapped => match self.opened.take() {
                Some(opened) => {
                    self.opened.set(Some(opened));
                    let error = error.unwrap_or_else(|| TlsError::EofInHandshake.into());
                    self.handshake_failed(error, true);
                }
                None => self.end(error),
            },
            Stage::Wrapped => {
                match error {
                    Some(error) => self.set_error(error),
                    // Nobody ended it from above. So the peer did, without a word of the end of file, or somebody here who kept what is
                    // below and ended it there: these can't be told apart, and either way what came may not be all. A loop that
                    // closes has ended it, and that is no doing of the peer's.
                    None if !self.handle.is_closing() => self.mark(BELOW_EOF),
                    None => {}
                }
                // Nothing leaves any more: who waits for that need not.
                self.nothing_leaves();
                // What came before is delivered first.
                self.work();
            }
            Stage::Flushing | Stage::Shutdown => {
                // After the peer's answer, or its end of file, nothing is missing of what is its; and nothing of ours if
                // it has left.
                let below = self.below().and_then(|below| below.close_outcome());
                let has_left = below == Some(CloseOutcome::Flushed);
                if !has_left || !self.is(PEER_CLOSED | BELOW_EOF) {
                    if let Some(error) = error {
                        self.set_error(error);
                    }
                }
                self.end_as_below();
            }
        }
    }

    /// What is not sealed never will be: who waits for it to leave need not.
    pub(crate) fn nothing_leaves(&self) {
        let pool = self.handle.blocks();
        self.unsent.set(self.unsent.get() + self.outbound.borrow_mut().clear(pool));
        self.update_pressure();
    }

    /// As the transport below has ended, so does this one.
    pub(crate) fn end_as_below(&self) {
        self.end(None);
    }

    /// `connection_lost` is due. The first end wins, and so does the first error.
    pub(crate) fn end(&self, error: Option<io::Error>) {
        if let Some(error) = error {
            if !self.life.get().is_ending() {
                self.set_error(error);
            }
        }
        if self.step(Lifecycle::handle_end) != Next::Lose {
            return;
        }
        self.cancel_timer();
        self.stage.set(Stage::Unwrapped);
        let pool = self.handle.blocks();
        self.unsent.set(self.unsent.get() + self.outbound.borrow_mut().clear(pool));
        self.spill.take();
        let left = self.inbound.borrow().len();
        self.inbound.borrow_mut().discard(left, pool);
        if let Some(this) = self.this.upgrade() {
            // Queued, never called from inside what caused it (TLS-025).
            if self.handle.call_soon_owed(Rc::new(Losing(Rc::clone(&this)))).is_err() {
                this.lost();
            }
        }
    }

    /// The turn of `connection_lost` has come. Only if `connection_made` was called (TLS-026).
    fn lost(&self) {
        let told = self.step(Lifecycle::handle_lost);
        // Out of its slot for good: it may hold this transport, and the circle must break.
        let mut protocol = self.slot.take();
        let error = self.error.take();
        let lost = catch(|| {
            if let Some(protocol) = protocol.as_mut().filter(|_| told) {
                protocol.connection_lost(error);
            }
        });
        let dropped = catch(move || drop(protocol));
        for panic in [lost, dropped].into_iter().filter_map(Result::err) {
            let context = ErrorContext::new("connection_lost() failed").panic(panic);
            self.handle.report(context.detail("transport", format_args!("{self:?}")));
        }
    }
}

/// The turn of `connection_lost`, on its way.
struct Losing(Rc<Session>);

impl UnitEnd for Losing {
    fn unit_end(self: Rc<Self>) {
        self.0.lost();
    }

    fn name(&self) -> &'static str {
        "TlsTransport"
    }
}
