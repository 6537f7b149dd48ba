//! What the kernel was asked for: [`Syscall`], [`Counters`], [`Injected`].

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::Shutdown;

use millrun_selector::Time;

use crate::Failure;

/// A kind of call into the simulated kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Call {
    /// [`Socket::try_read`](millrun_selector::Socket::try_read).
    Read,
    /// [`Socket::try_write`](millrun_selector::Socket::try_write).
    Write,
    /// [`Socket::try_write_vectored`](millrun_selector::Socket::try_write_vectored).
    WriteVectored {
        /// How many pieces the kernel was handed (not more than it looks at).
        pieces: usize,
    },
    /// [`Socket::shutdown`](millrun_selector::Socket::shutdown).
    Shutdown(Shutdown),
    /// [`Listener::try_accept`](millrun_selector::Listener::try_accept).
    Accept,
    /// [`Network::connect`](millrun_selector::Network::connect).
    Connect,
    /// [`Network::listen`](millrun_selector::Network::listen).
    Listen,
    /// [`Selector::register`](millrun_selector::Selector::register).
    Register,
    /// [`Selector::set_interest`](millrun_selector::Selector::set_interest). Only ever ordered to fail.
    SetInterest,
}

/// One call on a scripted socket and how it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Syscall {
    /// Which call.
    pub call: Call,
    /// How many bytes it asked for, or offered. Zero for a shutdown.
    pub bytes: usize,
    /// How many were transferred, or the kind of the error.
    pub result: Result<usize, ErrorKind>,
}

impl Syscall {
    /// A read of up to `bytes`.
    pub const fn read(bytes: usize, result: Result<usize, ErrorKind>) -> Syscall {
        Syscall { call: Call::Read, bytes, result }
    }

    /// A plain write of `bytes`.
    pub const fn write(bytes: usize, result: Result<usize, ErrorKind>) -> Syscall {
        Syscall { call: Call::Write, bytes, result }
    }

    /// A vectored write of `bytes` in `pieces`.
    pub const fn write_vectored(
        pieces: usize,
        bytes: usize,
        result: Result<usize, ErrorKind>,
    ) -> Syscall {
        Syscall { call: Call::WriteVectored { pieces }, bytes, result }
    }

    /// A shutdown that succeeded.
    pub const fn shutdown(how: Shutdown) -> Syscall {
        Syscall { call: Call::Shutdown(how), bytes: 0, result: Ok(0) }
    }
}

/// How many calls were made, of one socket or of all that there ever were.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Calls of `try_read`.
    pub reads: u64,
    /// Calls of `try_write`.
    pub writes: u64,
    /// Calls of `try_write_vectored`.
    pub vectored_writes: u64,
    /// Calls of `shutdown`.
    pub shutdowns: u64,
    /// Calls of `try_accept`.
    pub accepts: u64,
    /// Of all these, those that ended in `WouldBlock`.
    pub would_block: u64,
    /// Bytes given by reads.
    pub bytes_read: u64,
    /// Bytes taken by writes.
    pub bytes_written: u64,
    /// Calls of `Network::connect`.
    pub connects: u64,
    /// Calls of `Network::listen`.
    pub listens: u64,
    /// Calls of `Selector::register` that succeeded. A change of interest is none: no kernel would hear of it.
    pub registers: u64,
    /// Calls of `Selector::deregister` that succeeded.
    pub deregisters: u64,
    /// Calls of `Selector::select`.
    pub selects: u64,
}

impl Counters {
    /// Sends: plain and vectored writes.
    pub const fn sends(&self) -> u64 {
        self.writes + self.vectored_writes
    }

    pub(crate) fn count(&mut self, call: Call, result: &io::Result<usize>) {
        match call {
            Call::Read => self.reads += 1,
            Call::Write => self.writes += 1,
            Call::WriteVectored { .. } => self.vectored_writes += 1,
            Call::Shutdown(_) => self.shutdowns += 1,
            Call::Accept => self.accepts += 1,
            Call::Connect => self.connects += 1,
            Call::Listen => self.listens += 1,
            Call::Register => self.registers += 1,
            // No kernel would hear of it.
            Call::SetInterest => {}
        }
        match (call, result) {
            (Call::Read, Ok(n)) => self.bytes_read += *n as u64,
            (Call::Write | Call::WriteVectored { .. }, Ok(n)) => self.bytes_written += *n as u64,
            (_, Err(e)) if e.kind() == ErrorKind::WouldBlock => self.would_block += 1,
            _ => {}
        }
    }
}

/// A fault that was put into a run: by order of the test or by chance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Injected {
    /// When, on the virtual clock.
    pub at: Time,
    /// The call that met it.
    pub call: Call,
    /// The number of the socket in this simulation; `None` when there was none yet.
    pub socket: Option<u64>,
    /// What it was.
    pub fault: Fault,
}

/// One fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The call failed with this.
    Error(Failure),
    /// The call transferred at most so many bytes, where it could have transferred more.
    Short(usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Error(failure) => write!(f, "{:?}", failure.kind()),
            Fault::Short(bytes) => write!(f, "at most {bytes} bytes"),
        }
    }
}

/// What one scripted socket did.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) calls: Vec<Syscall>,
    pub(crate) counters: Counters,
}
