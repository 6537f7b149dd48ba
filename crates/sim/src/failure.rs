//! What a simulated call can fail with: [`Failure`], by kind or by the number of this platform.

use std::io::{self, ErrorKind};

/// An error to inject: by its number, as a kernel gives it, or by its kind alone.
///
/// The constants carry this platform's numbers, so that `raw_os_error` and the text are what a real
/// socket would show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Failure {
    /// An error number of this platform.
    Errno(i32),
    /// A kind without a number.
    Kind(ErrorKind),
}

impl Failure {
    /// The process has no descriptor left. 24 on every Unix.
    pub const EMFILE: Failure = Failure::Errno(24);
    /// The system has no descriptor left. 23 on every Unix.
    pub const ENFILE: Failure = Failure::Errno(23);
    /// The other end can't receive any more. 32 on every Unix.
    pub const EPIPE: Failure = Failure::Errno(32);
    /// Nothing has this name. 2 on every Unix.
    pub const ENOENT: Failure = Failure::Errno(2);
    /// The argument makes no sense. 22 on every Unix.
    pub const EINVAL: Failure = Failure::Errno(22);
    /// It is not allowed (by a packet filter, say). 1 on every Unix.
    pub const EPERM: Failure = Failure::Errno(1);
    /// A signal came first. 4 on every Unix.
    pub const EINTR: Failure = Failure::Errno(4);
    /// No memory. 12 on every Unix.
    pub const ENOMEM: Failure = Failure::Errno(12);
    /// Not allowed: a port below 1024, say. 13 on every Unix.
    pub const EACCES: Failure = Failure::Errno(13);
    /// A budget is used up: of watched descriptors, say. 28 on every Unix.
    pub const ENOSPC: Failure = Failure::Errno(28);
    /// The call would block.
    pub const EAGAIN: Failure = Failure::numbered(11, 35, ErrorKind::WouldBlock);
    /// Nobody listens there.
    pub const ECONNREFUSED: Failure = Failure::numbered(111, 61, ErrorKind::ConnectionRefused);
    /// The other end reset the connection.
    pub const ECONNRESET: Failure = Failure::numbered(104, 54, ErrorKind::ConnectionReset);
    /// The connection was reset before it was accepted.
    pub const ECONNABORTED: Failure = Failure::numbered(103, 53, ErrorKind::ConnectionAborted);
    /// The other end did not answer in time.
    pub const ETIMEDOUT: Failure = Failure::numbered(110, 60, ErrorKind::TimedOut);
    /// Not connected, or not any more.
    pub const ENOTCONN: Failure = Failure::numbered(107, 57, ErrorKind::NotConnected);
    /// The address is taken.
    pub const EADDRINUSE: Failure = Failure::numbered(98, 48, ErrorKind::AddrInUse);
    /// The address is not this machine's, or no port is left.
    pub const EADDRNOTAVAIL: Failure = Failure::numbered(99, 49, ErrorKind::AddrNotAvailable);

    /// No memory for buffers. (std has no kind for it.)
    pub const ENOBUFS: Failure = Failure::numbered(105, 55, ErrorKind::Other);
    /// The other end's machine can't be reached.
    pub const EHOSTUNREACH: Failure = Failure::numbered(113, 65, ErrorKind::HostUnreachable);
    /// The other end's network can't be reached.
    pub const ENETUNREACH: Failure = Failure::numbered(101, 51, ErrorKind::NetworkUnreachable);
    /// The network is down.
    pub const ENETDOWN: Failure = Failure::numbered(100, 50, ErrorKind::NetworkDown);
    /// This machine does not speak that address family. (std has no kind for it.)
    pub const EAFNOSUPPORT: Failure = Failure::numbered(97, 47, ErrorKind::Unsupported);
    /// There is no such option. (std has no kind for it.)
    pub const ENOPROTOOPT: Failure = Failure::numbered(92, 42, ErrorKind::Unsupported);

    /// Linux counts errors its own way on most machines; macOS and the BSDs share another.
    const fn numbered(linux: i32, bsd: i32, kind: ErrorKind) -> Failure {
        let odd = cfg!(any(target_arch = "mips", target_arch = "mips64", target_arch = "sparc64"));
        if cfg!(any(target_os = "linux", target_os = "android")) && !odd {
            Failure::Errno(linux)
        } else if cfg!(any(
            target_vendor = "apple",
            target_os = "freebsd",
            target_os = "dragonfly",
            target_os = "netbsd",
            target_os = "openbsd"
        )) {
            Failure::Errno(bsd)
        } else {
            Failure::Kind(kind)
        }
    }

    /// The error as a socket call gives it.
    pub fn to_error(self) -> io::Error {
        match self {
            Failure::Errno(number) => io::Error::from_raw_os_error(number),
            Failure::Kind(kind) => kind.into(),
        }
    }

    /// Its kind.
    pub fn kind(self) -> ErrorKind {
        self.to_error().kind()
    }
}

impl From<ErrorKind> for Failure {
    fn from(kind: ErrorKind) -> Failure {
        Failure::Kind(kind)
    }
}

impl From<i32> for Failure {
    fn from(number: i32) -> Failure {
        Failure::Errno(number)
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> io::Error {
        failure.to_error()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_mean_what_their_names_say_on_this_platform() {
        for (failure, kind) in [
            (Failure::EPIPE, ErrorKind::BrokenPipe),
            (Failure::ENOENT, ErrorKind::NotFound),
            (Failure::EINVAL, ErrorKind::InvalidInput),
            (Failure::EAGAIN, ErrorKind::WouldBlock),
            (Failure::ECONNREFUSED, ErrorKind::ConnectionRefused),
            (Failure::ECONNRESET, ErrorKind::ConnectionReset),
            (Failure::ECONNABORTED, ErrorKind::ConnectionAborted),
            (Failure::ETIMEDOUT, ErrorKind::TimedOut),
            (Failure::ENOTCONN, ErrorKind::NotConnected),
            (Failure::EADDRINUSE, ErrorKind::AddrInUse),
            (Failure::EADDRNOTAVAIL, ErrorKind::AddrNotAvailable),
            (Failure::EPERM, ErrorKind::PermissionDenied),
            (Failure::EACCES, ErrorKind::PermissionDenied),
            (Failure::EINTR, ErrorKind::Interrupted),
            (Failure::ENOMEM, ErrorKind::OutOfMemory),
            (Failure::ENOSPC, ErrorKind::StorageFull),
            (Failure::EHOSTUNREACH, ErrorKind::HostUnreachable),
            (Failure::ENETUNREACH, ErrorKind::NetworkUnreachable),
            (Failure::ENETDOWN, ErrorKind::NetworkDown),
        ] {
            assert_eq!(failure.kind(), kind, "{failure:?}");
        }
        // std has no kinds for these.
        for (failure, text) in [
            (Failure::EMFILE, "open files"),
            (Failure::ENOBUFS, "buffer space"),
            (Failure::EAFNOSUPPORT, "amily"),
            (Failure::ENOPROTOOPT, "rotocol"),
        ] {
            let said = failure.to_error().to_string();
            assert!(said.contains(text), "{failure:?}: {said}");
        }
    }
}
