//! Which signals came? Caught in the handler of [`sys`], told to the loop by a byte on a pipe.

mod driver;
#[allow(unsafe_code, reason = "sigaction and a handler: nothing safe installs a signal handler")]
mod sys;

use std::fmt;
use std::io;

pub(crate) use driver::SignalDriver;
use libc::c_int;

/// A signal that a process can catch and go on: for `add_signal_handler`.
///
/// ```
/// use millrun_loop::{InvalidSignal, Signal};
/// assert_eq!(Signal::new(2), Ok(Signal::INT));
/// assert_eq!(Signal::TERM.to_string(), "SIGTERM");
/// assert_eq!(Signal::new(9), Err(InvalidSignal::Uncatchable(9)));
/// assert!(matches!(Signal::new(0), Err(InvalidSignal::OutOfRange { .. })));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(c_int);

/// A number that names no [`Signal`] (L-108).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum InvalidSignal {
    /// No signal has this number.
    OutOfRange {
        /// What was given.
        number: i32,
        /// The highest number that there is; the lowest is 1.
        most: i32,
    },
    /// The kernel lets nobody catch it: SIGKILL and SIGSTOP.
    Uncatchable(i32),
    /// It tells of an instruction that failed, and that fails again, without end, when the handler
    /// returns: SIGSEGV, SIGBUS, SIGILL and SIGFPE.
    Fault(i32),
}

/// Another loop of this process has the signal: a disposition belongs to the process, so one loop at a time
/// has it. Inside an `io::Error` of the kind `ResourceBusy`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignalTaken {
    /// Which one.
    pub signal: Signal,
}

/// The highest signal number. Above it, and where it is lower, the kernel says so itself.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MOST: c_int = 64;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const MOST: c_int = 31;

macro_rules! signals {
    ($($name:ident $number:ident $text:literal $doc:literal;)*) => {
        impl Signal {
            $(#[doc = $doc] pub const $name: Signal = Signal(libc::$number);)*

            const fn known_name(self) -> Option<&'static str> {
                $(if self.0 == libc::$number { return Some($text); })*
                None
            }
        }
    };
}

signals! {
    HUP SIGHUP "SIGHUP" "The terminal is gone; for a daemon: read the configuration again.";
    INT SIGINT "SIGINT" "Ctrl-C.";
    QUIT SIGQUIT "SIGQUIT" "Ctrl-\\.";
    TERM SIGTERM "SIGTERM" "Please end.";
    USR1 SIGUSR1 "SIGUSR1" "Whatever the program says it means.";
    USR2 SIGUSR2 "SIGUSR2" "Whatever the program says it means.";
    ALRM SIGALRM "SIGALRM" "A timer of the kernel is over.";
    CHLD SIGCHLD "SIGCHLD" "A child ended or stopped. The loop itself never takes it.";
    CONT SIGCONT "SIGCONT" "Continued after a stop.";
    TSTP SIGTSTP "SIGTSTP" "Ctrl-Z.";
    TTIN SIGTTIN "SIGTTIN" "A read from the terminal, in the background.";
    TTOU SIGTTOU "SIGTTOU" "A write to the terminal, in the background.";
    PIPE SIGPIPE "SIGPIPE" "A write that nobody will read. The Rust runtime ignores it.";
    URG SIGURG "SIGURG" "Urgent data on a socket.";
    WINCH SIGWINCH "SIGWINCH" "The terminal has another size.";
    IO SIGIO "SIGIO" "A descriptor is ready.";
}

impl Signal {
    /// The signal with this number.
    ///
    /// # Errors
    /// A number that names none, or one that can't be caught (L-108).
    pub const fn new(number: i32) -> Result<Signal, InvalidSignal> {
        match number {
            libc::SIGKILL | libc::SIGSTOP => Err(InvalidSignal::Uncatchable(number)),
            libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE => {
                Err(InvalidSignal::Fault(number))
            }
            1..=MOST => Ok(Signal(number)),
            _ => Err(InvalidSignal::OutOfRange { number, most: MOST }),
        }
    }

    /// Its number on this system.
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl TryFrom<i32> for Signal {
    type Error = InvalidSignal;

    fn try_from(number: i32) -> Result<Signal, InvalidSignal> {
        Signal::new(number)
    }
}

/// `SIGINT`; `signal 35` for one without a name of its own.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known_name() {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for InvalidSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidSignal::OutOfRange { number, most } => {
                write!(f, "signal number {number} is out of range: expected 1 to {most}")
            }
            InvalidSignal::Uncatchable(number) => write!(f, "signal {number} cannot be caught"),
            InvalidSignal::Fault(number) => write!(
                f,
                "signal {number} tells of a fault: a handler that returns would repeat it"
            ),
        }
    }
}

impl std::error::Error for InvalidSignal {}

impl From<InvalidSignal> for io::Error {
    fn from(error: InvalidSignal) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidInput, error)
    }
}

impl fmt::Display for SignalTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is handled by another loop of this process", self.signal)
    }
}

impl std::error::Error for SignalTaken {}
