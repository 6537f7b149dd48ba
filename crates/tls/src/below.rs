//! The lower face: a protocol of the transport below, which may be a socket's, a simulated one, or TLS again.

use std::fmt;
use std::io;
use std::rc::Rc;

use millrun_loop::LARGE_BLOCK;
use millrun_transport::{Landing, Protocol, Transport};

use crate::TlsError;
use crate::inbound::Inbound;
use crate::session::{BELOW_EOF, BELOW_PAUSED, FAILED, LENT, PEER_CLOSED, Session};

/// What the transport below calls.
pub(crate) struct Below {
    session: Rc<Session>,
    /// The session's, while the transport below receives into it.
    lent: Inbound,
    over: bool,
}

impl Below {
    pub(crate) fn new(session: Rc<Session>) -> Below {
        Below { session, lent: Inbound::default(), over: false }
    }

    /// The memory that was lent is the session's again.
    fn take_back(&mut self) {
        if self.session.is(LENT) {
            self.session.unmark(LENT);
            self.session.inbound.replace(std::mem::take(&mut self.lent));
        }
    }
}

impl Protocol for Below {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.session.begin(transport);
    }

    fn landing(&mut self) -> Landing<'_> {
        self.take_back();
        let session = &self.session;
        if session.inbound.borrow().is_full() {
            // More than was asked for came, and may not have been looked at since.
            session.event(|| session.work());
        }
        if !session.wants_input() {
            let waits = session.below().is_none_or(|below| below.can_pause_reading());
            return Landing::Shared(if waits { 0 } else { usize::MAX });
        }
        self.lent = session.inbound.take();
        session.mark(LENT);
        if self.lent.is_full() {
            self.take_back();
            self.session.event(|| self.session.too_long());
            return Landing::Shared(0);
        }
        // There is room: it is not full.
        Landing::Own(self.lent.room(self.session.handle.blocks()).unwrap_or(&mut []))
    }

    fn landed(&mut self, n: usize) -> io::Result<()> {
        self.lent.received(n, self.session.handle.blocks());
        self.take_back();
        if n > 0 {
            self.session.event(|| self.session.work());
        }
        Ok(())
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.take_back();
        let session = &self.session;
        // In pieces: of what is worked off at once no more than a piece is held. What the application takes later has to be held, for
        // whoever is below can't be told to wait.
        for piece in data.chunks(LARGE_BLOCK) {
            if session.life.get().is_ending() || session.is(PEER_CLOSED | FAILED) {
                break; // it is nobody's any more, and is never opened
            }
            session.inbound.borrow_mut().append(piece, session.handle.blocks());
            session.event(|| session.work());
            if session.wants_input() && session.inbound.borrow().is_full() {
                session.event(|| session.too_long());
            }
        }
        Ok(())
    }

    /// The session ends the connection below itself, when it has said what it has to say.
    fn eof_received(&mut self) -> bool {
        self.take_back();
        self.session.mark(BELOW_EOF);
        self.session.event(|| self.session.work());
        true
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        self.take_back();
        self.over = true;
        self.session.event(|| self.session.below_lost(error));
    }

    fn pause_writing(&mut self) {
        self.session.mark(BELOW_PAUSED);
    }

    /// What was held back goes out (TLS-020).
    fn resume_writing(&mut self) {
        self.session.unmark(BELOW_PAUSED);
        self.session.event(|| {});
    }

    fn name(&self) -> &'static str {
        "TLS"
    }
}

/// Another protocol took its place, or the transport is gone without a word.
impl Drop for Below {
    fn drop(&mut self) {
        self.take_back();
        if !self.over {
            self.session.event(|| self.session.below_lost(Some(TlsError::Replaced.into())));
        }
    }
}

impl fmt::Debug for Below {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Below").field(&self.session).finish()
    }
}
