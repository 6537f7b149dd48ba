//! In which order does a connection end? `connection_lost`, the socket, the owner (T-020).
//!
//! A socket that is closed while the peer's bytes are unread, or still come, answers with a reset, and a
//! reset makes the peer's kernel throw away what the peer has not read yet: the last answer is lost. So a
//! connection that was closed in order, sent something and finds bytes unread at its end *lingers*: it ends its
//! write direction, and discards what comes, until the peer closes or a limit is reached. Nobody
//! hears of that: `connection_lost` has been called.

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::time::Duration;

use millrun_loop::{BlockSize, ErrorContext, Panic, catch};
use millrun_selector::Socket;

use super::state::{LEFT, LINGERS, SENT, UNSENT};
use super::{Peer, SocketTransport};
use crate::lifecycle::Lifecycle;

/// A linger ends after this long: a peer that reads its answer does so within some round trips.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// A linger discards this much at most: what a peer has on its way when it is answered early.
const LINGER_BYTES: usize = 1024 * 1024;

const ENDING_FAILED: &str = "ending a connection failed";

impl SocketTransport {
    /// Queues the turn of `connection_lost`.
    pub(super) fn queue_lost(&self) {
        let Some(this) = self.this.upgrade() else { return };
        if self.handle().call_soon_owed(this).is_err() {
            // The loop closed, and told everyone then.
            self.release();
        }
    }

    /// The loop closes: now or never (D-19).
    pub(super) fn loop_closes(&self) {
        if self.state.has(LINGERS) {
            return self.release();
        }
        // Work that was left outside of any unit was dropped with the queue.
        self.state.clear(LEFT);
        self.send_buffered();
        self.end(None);
    }

    /// The turn of `connection_lost` has come.
    #[inline(never)]
    pub(super) fn lost(&self) {
        if self.state.life().is_lost() {
            return;
        }
        let told = self.step(Lifecycle::handle_lost);
        // A stranger's socket may have ended the connection from inside a send: what that did not take came back
        // to the buffer since.
        if self.state.has(UNSENT) {
            let unsent = self.drop_buffered();
            self.rare(|rare| rare.unsent += unsent);
        }
        // Out of its slot for good: it may hold this transport, and the circle must break.
        let mut protocol = self.slot.take();
        let error = self.peek(|rare| rare.error.take());
        let in_order = error.is_none() && self.state.life().was_closed();
        let lost = catch(|| {
            if let Some(protocol) = protocol.as_mut().filter(|_| told) {
                protocol.connection_lost(error);
            }
        });
        // On its own: a drop that panics while another panic unwinds would abort the process.
        let dropped = catch(move || drop(protocol));
        if lost.is_err() || dropped.is_err() {
            self.report_all("connection_lost() failed", [lost, dropped]);
        }
        // A stranger's socket may fail here: then it goes at once.
        let lingers = catch(|| in_order && self.has_unread_input() && self.begin_linger());
        if !lingers.unwrap_or_else(|panic| self.ending_failed(panic)) {
            self.release();
        }
    }

    /// Asked once, at the end of a connection that could lose its last bytes by a reset.
    #[inline]
    fn has_unread_input(&self) -> bool {
        let at_risk = !self.state.life().saw_eof() && self.state.has(SENT);
        at_risk && self.finds_unread_input()
    }

    #[inline(never)]
    fn finds_unread_input(&self) -> bool {
        let flushed = self.peek(|rare| Some(rare.unsent)).unwrap_or(0) == 0;
        flushed && self.discard().is_ok_and(|n| n > 0)
    }

    /// False if it can't be: nobody will end it.
    #[inline(never)]
    fn begin_linger(&self) -> bool {
        self.state.set(LINGERS);
        let this = self.this.clone();
        let timer = self.handle().call_later(LINGER_TIME, move || {
            if let Some(transport) = this.upgrade() {
                transport.release();
            }
        });
        let Ok(timer) = timer else { return false };
        self.rare(|rare| rare.timer = Some(timer));
        // If it fails, the peer is gone, and reading tells.
        let _ = self.socket(|socket| socket.shutdown(Shutdown::Write));
        self.update_interest();
        true
    }

    /// More of what nobody wants has come, or the peer has closed at last.
    pub(super) fn linger(&self) {
        let discarded = catch(|| self.discard());
        match discarded.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
            Ok(n) if n > 0 => {
                let total = self.rare(|rare| {
                    rare.taken += n;
                    rare.taken
                });
                if total >= LINGER_BYTES {
                    self.release();
                }
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            _ => self.release(),
        }
    }

    /// An abort waits for nobody.
    pub(super) fn end_linger(&self) {
        if self.state.has(LINGERS) {
            // Counted: whoever aborts may have it alone, and ask for the addresses later.
            let held = self.this.upgrade();
            self.release();
            drop(held);
        }
    }

    /// Reads into nothing.
    fn discard(&self) -> io::Result<usize> {
        let pool = self.handle().blocks();
        let mut block = pool.take(BlockSize::Large);
        let discarded = self.socket(|socket| socket.try_read(&mut block)).unwrap_or(Ok(0));
        pool.give(block);
        discarded
    }

    /// Gives everything back: the registration, then the descriptor, then the owner's count. Once.
    pub(super) fn release(&self) {
        let Some(socket) = self.socket.take() else { return };
        self.state.clear(LINGERS);
        self.cancel_timer();
        let common = &self.common;
        let asked = catch(|| {
            // Fails only when the registration is gone already, which is as good.
            let _ = self.handle().unwatch(self.key.get(), &socket);
            // The caller's; the protocol's and the loop's are gone.
            if self.this.strong_count() > 1 {
                self.remember(&*socket);
            }
        });
        let dropped = catch(move || drop(socket));
        let told = catch(|| common.tell_over(self.number));
        if asked.is_err() || dropped.is_err() || told.is_err() {
            self.report_all(ENDING_FAILED, [asked, dropped, told]);
        }
    }

    /// Code that is not ours panicked at the end. False: it does not linger.
    #[cold]
    fn ending_failed(&self, panic: Panic) -> bool {
        self.report(ErrorContext::new(ENDING_FAILED).panic(panic));
        false
    }

    #[cold]
    fn report_all<const N: usize>(&self, what: &'static str, outcomes: [Result<(), Panic>; N]) {
        for panic in outcomes.into_iter().filter_map(Result::err) {
            self.report(ErrorContext::new(what).panic(panic));
        }
    }

    /// Somebody can still ask for the addresses (T-023).
    #[inline(never)]
    fn remember(&self, socket: &dyn Socket) {
        if matches!(self.peer.get(), Peer::Unasked) {
            self.keep_peer(socket.peer_addr().ok().as_ref());
        }
        if let Ok(local) = socket.local_addr() {
            self.rare(|rare| rare.local = Some(local));
        }
    }
}
