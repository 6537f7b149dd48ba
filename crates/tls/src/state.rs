//! Where does a TLS connection stand? A table of stages: no I/O, no clock, no cryptography.
//!
//! ```text
//!              handshake done          close()          close_notify, end of     the transport below
//!              ┌────────────┐      ┌─────────────┐      ┌─ file, the cap ┐        is over, or the deadline
//! Unwrapped ─► Handshake ───┴► Wrapped ──────────┴► Flushing ───────────┴► Shutdown ──┐
//!                  │                │                   │                       │     │
//!                  └────────────────┴───────────────────┴───────────────────────┴─────┴──► Unwrapped
//! ```
//!
//! The names are those of asyncio's `sslproto`. Any stage may fall back to [`Stage::Unwrapped`]: the connection below is gone, or
//! given up. There is no other way back (TLS-001).

use std::fmt;

/// A stage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// No TLS: not begun, or over.
    Unwrapped,
    /// The peers agree on keys. The application has not heard of the connection.
    Handshake,
    /// The application's bytes go both ways.
    Wrapped,
    /// Closing: everything was handed to the transport below, the alert `close_notify` last. It leaves, and the peer's answer is
    /// awaited. What comes is discarded.
    Flushing,
    /// Closing: the peer has answered or ended, or is not waited for, and the transport below closes. What comes is discarded.
    Shutdown,
}

/// A move that the table does not have: a mistake of this crate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WrongMove {
    from: Stage,
    to: Stage,
}

impl Stage {
    /// The next stage, if the table has that move.
    pub(crate) fn to(self, to: Stage) -> Result<Stage, WrongMove> {
        use Stage::{Flushing, Handshake, Shutdown, Unwrapped, Wrapped};
        match (self, to) {
            (Unwrapped, Handshake)
            | (Handshake, Wrapped)
            | (Wrapped, Flushing)
            | (Flushing, Shutdown)
            | (_, Unwrapped) => Ok(to),
            (from, to) => Err(WrongMove { from, to }),
        }
    }

    /// What comes from below is discarded: the application closed.
    pub(crate) const fn discards(self) -> bool {
        matches!(self, Stage::Flushing | Stage::Shutdown)
    }
}

impl fmt::Display for WrongMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a move of the table of stages, got {:?} to {:?}", self.from, self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::Stage::{self, Flushing, Handshake, Shutdown, Unwrapped, Wrapped};

    /// TLS-001: the whole table, so that a new move has to be written here too.
    #[test]
    fn tls_001_moves_go_forward_or_to_the_end() {
        let stages = [Unwrapped, Handshake, Wrapped, Flushing, Shutdown];
        let moves = |from: Stage| stages.into_iter().filter(move |to| from.to(*to).is_ok());
        let allowed: Vec<Vec<Stage>> = stages.map(|from| moves(from).collect()).into();
        assert_eq!(
            allowed,
            [
                vec![Unwrapped, Handshake],
                vec![Unwrapped, Wrapped],
                vec![Unwrapped, Flushing],
                vec![Unwrapped, Shutdown],
                vec![Unwrapped],
            ]
        );
        assert!(
            Wrapped.to(Handshake).is_err_and(|e| e.to_string().contains("Wrapped to Handshake"))
        );
    }
}
