//! Where a socket is bound or connected: [`Address`].

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::path::{Path, PathBuf};

/// The address of one end of a stream.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// IPv4 or IPv6 with a port (and flow info and scope id).
    Inet(SocketAddr),
    /// A Unix socket bound to a file.
    Unix(PathBuf),
    /// A Unix socket in Linux's abstract namespace; the bytes after the leading NUL.
    UnixAbstract(Box<[u8]>),
    /// A Unix socket without a name (a client, or one of a pair).
    UnixUnnamed,
}

impl Address {
    /// The internet address, if it is one.
    pub fn as_inet(&self) -> Option<SocketAddr> {
        match self {
            Address::Inet(a) => Some(*a),
            _ => None,
        }
    }

    /// The path, if it is a Unix socket bound to a file.
    pub fn as_path(&self) -> Option<&Path> {
        match self {
            Address::Unix(p) => Some(p),
            _ => None,
        }
    }

    /// The port, if it is an internet address.
    pub fn port(&self) -> Option<u16> {
        self.as_inet().map(|a| a.port())
    }

    /// It names a Unix socket of any kind.
    pub fn is_unix(&self) -> bool {
        !matches!(self, Address::Inet(_))
    }
}

/// `127.0.0.1:80`, `[::1]:80`, `unix:/run/x`, `unix:@name`, `unix:`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(a) => a.fmt(f),
            Address::Unix(p) => write!(f, "unix:{}", p.display()),
            Address::UnixAbstract(name) => write!(f, "unix:@{}", name.escape_ascii()),
            Address::UnixUnnamed => f.write_str("unix:"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<SocketAddr> for Address {
    fn from(a: SocketAddr) -> Address {
        Address::Inet(a)
    }
}

impl From<SocketAddrV4> for Address {
    fn from(a: SocketAddrV4) -> Address {
        Address::Inet(a.into())
    }
}

impl From<SocketAddrV6> for Address {
    fn from(a: SocketAddrV6) -> Address {
        Address::Inet(a.into())
    }
}

impl From<(Ipv4Addr, u16)> for Address {
    fn from(a: (Ipv4Addr, u16)) -> Address {
        Address::Inet(a.into())
    }
}

impl From<(Ipv6Addr, u16)> for Address {
    fn from(a: (Ipv6Addr, u16)) -> Address {
        Address::Inet(a.into())
    }
}

impl From<PathBuf> for Address {
    fn from(p: PathBuf) -> Address {
        Address::Unix(p)
    }
}

impl From<&Path> for Address {
    fn from(p: &Path) -> Address {
        Address::Unix(p.to_owned())
    }
}
