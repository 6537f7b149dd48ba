//! Which calls pass the boundary to an operating system, and what each of them can fail with: the tables.
//!
//! From the man pages of Linux and of the BSDs, cut down to what differs for the layers above: errors that are about
//! a programmer's mistake (EBADF, EFAULT, ENOTSOCK) can't come from an owned descriptor.

use millrun_sim::Failure;

/// A call through one of the boundary's traits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Call {
    /// `Socket::try_read`.
    Recv,
    /// `Socket::try_write` and `try_write_vectored`.
    Send,
    /// `Socket::shutdown`.
    Shutdown,
    /// `Socket::local_addr` and `peer_addr` of a socket that is connected.
    Name,
    /// `Socket::take_error`: the verdict of a connect.
    TakeError,
    /// `Socket::set_option` and `option`.
    Option,
    /// `Listener::try_accept` and `try_accept_bare`.
    Accept,
    /// `Listener::local_addr`.
    ListenerName,
    /// `Network::connect`.
    Connect,
    /// `Network::listen`.
    Listen,
    /// `Selector::register`.
    Register,
    /// `Selector::set_interest`.
    SetInterest,
    /// `Selector::deregister`.
    Deregister,
    /// `Selector::select`.
    Select,
    /// `Resolver::resolve`.
    Resolve,
}

/// What becomes of a call instead of what was to become of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// It fails with this. (For [`Call::TakeError`]: this is the error that it takes.)
    Error(&'static str, Failure),
    /// It transfers one byte, where it could transfer more.
    Short,
    /// It succeeds, and gives nothing: a select that returns early, a name without addresses.
    Nothing,
}

macro_rules! errors {
    ($($name:ident)*) => { &[$(Fault::Error(stringify!($name), Failure::$name)),*] };
    ($($name:ident)*; $($other:ident)*) => {
        &[$(Fault::Error(stringify!($name), Failure::$name),)* $(Fault::$other),*]
    };
}

impl Call {
    /// All of them.
    pub const ALL: [Call; 15] = [
        Call::Recv,
        Call::Send,
        Call::Shutdown,
        Call::Name,
        Call::TakeError,
        Call::Option,
        Call::Accept,
        Call::ListenerName,
        Call::Connect,
        Call::Listen,
        Call::Register,
        Call::SetInterest,
        Call::Deregister,
        Call::Select,
        Call::Resolve,
    ];

    /// What this call can fail with.
    pub const fn faults(self) -> &'static [Fault] {
        match self {
            // A socket of a stranger's may let EINTR through.
            Call::Recv => {
                errors!(ECONNRESET ETIMEDOUT EHOSTUNREACH ENETDOWN ENOMEM ENOBUFS EAGAIN EINTR; Short)
            }
            Call::Send => errors!(
                EPIPE ECONNRESET ETIMEDOUT EHOSTUNREACH ENETDOWN ENOMEM ENOBUFS EPERM EAGAIN EINTR; Short
            ),
            Call::Shutdown => errors!(ENOTCONN ENOBUFS),
            Call::Name => errors!(ENOTCONN ENOBUFS EINVAL),
            Call::TakeError => {
                errors!(ECONNREFUSED ETIMEDOUT ECONNRESET EHOSTUNREACH ENETUNREACH EACCES)
            }
            Call::Option => errors!(EINVAL ENOPROTOOPT ENOBUFS),
            // Linux passes on what is pending on the new socket (ENETDOWN …); a filter gives EPERM.
            Call::Accept => errors!(
                EMFILE ENFILE ENOBUFS ENOMEM ECONNABORTED EPERM ENETDOWN EHOSTUNREACH EINTR EAGAIN
            ),
            Call::ListenerName => errors!(ENOBUFS),
            // ECONNREFUSED, ENOENT and EAGAIN at once are of Unix sockets.
            Call::Connect => errors!(
                ECONNREFUSED ENOENT EAGAIN ENETUNREACH EHOSTUNREACH EADDRNOTAVAIL EACCES EPERM EMFILE
                ENFILE ENOMEM ENOBUFS EAFNOSUPPORT
            ),
            Call::Listen => {
                errors!(EADDRINUSE EADDRNOTAVAIL EACCES EMFILE ENFILE ENOMEM ENOBUFS EAFNOSUPPORT)
            }
            Call::Register => errors!(ENOMEM ENOSPC EPERM),
            Call::SetInterest => errors!(ENOMEM),
            // Done all the same, and an error behind it.
            Call::Deregister => errors!(ENOENT ENOMEM),
            // ENOMEM is for good.
            Call::Select => errors!(EINTR ENOMEM; Nothing),
            // What getaddrinfo says has kinds, and these are among them.
            Call::Resolve => errors!(ENOENT EAGAIN ENOMEM; Nothing),
        }
    }

    /// Whether the code above has to get over this fault: a scenario that meets it must end as if nothing had been.
    pub const fn is_passed_over(self, fault: Fault) -> bool {
        let Fault::Error(_, failure) = fault else {
            return !matches!(self, Call::Resolve);
        };
        match self {
            Call::Recv | Call::Send => is_one_of(failure, &[Failure::EAGAIN, Failure::EINTR]),
            Call::Select => is_one_of(failure, &[Failure::EINTR]),
            // It listens on: at once, or after a second.
            Call::Accept | Call::Deregister => true,
            _ => false,
        }
    }

    /// Whether its failure surfaces as an error that tells it. A socket that turns out to be disconnected when its write
    /// direction is ended is told by the next read: as the end of file, or by the reset that it was.
    pub const fn is_told(self, fault: Fault) -> bool {
        let Fault::Error(_, failure) = fault else { return matches!(self, Call::Resolve) };
        !matches!(self, Call::Shutdown) || !is_one_of(failure, &[Failure::ENOTCONN])
    }

    /// One of these words is in the error that its failure surfaces as: the operation, as its user calls it.
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Call::Recv => &["receiving"],
            Call::Send => &["sending"],
            Call::Shutdown => &["shutdown"],
            Call::Name | Call::ListenerName => &["address"],
            Call::TakeError | Call::Connect => &["connect"],
            Call::Option => &["option"],
            Call::Accept => &["accept"],
            Call::Listen => &["bind"],
            Call::Register => &["connect", "transport", "watch"],
            Call::SetInterest => &["watch"],
            Call::Deregister => &["deregister"],
            Call::Select => &["selector"],
            Call::Resolve => &["resolving"],
        }
    }
}

const fn is_one_of(failure: Failure, list: &[Failure]) -> bool {
    let Failure::Errno(number) = failure else { return false };
    let mut index = 0;
    while index < list.len() {
        if let Failure::Errno(other) = list[index] {
            if number == other {
                return true;
            }
        }
        index += 1;
    }
    false
}

impl Fault {
    /// Its name in a table and on a command line: `ECONNRESET`, `Short`.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::Error(name, _) => name,
            Fault::Short => "Short",
            Fault::Nothing => "Nothing",
        }
    }
}
