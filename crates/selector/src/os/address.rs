//! [`Address`] as the kernel has it, and back.

use std::io;
use std::os::unix::ffi::OsStrExt;

use socket2::SockAddr;

use crate::Address;

/// # Errors
/// `InvalidInput` for what names no socket, `Unsupported` for an abstract name where there is none.
pub(super) fn to_kernel(address: &Address) -> io::Result<SockAddr> {
    match address {
        Address::Inet(a) => Ok(SockAddr::from(*a)),
        Address::Unix(path) => {
            let bytes = path.as_os_str().as_bytes();
            if bytes.is_empty() || bytes.contains(&0) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("the path of a socket was expected, not {path:?}"),
                ));
            }
            SockAddr::unix(path)
        }
        Address::UnixAbstract(name) => abstract_name(name),
        Address::UnixUnnamed => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "an unnamed Unix socket can be neither bound nor connected to",
        )),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn abstract_name(name: &[u8]) -> io::Result<SockAddr> {
    let mut bytes = Vec::with_capacity(name.len() + 1);
    bytes.push(0);
    bytes.extend_from_slice(name);
    SockAddr::unix(std::ffi::OsStr::from_bytes(&bytes))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn abstract_name(_: &[u8]) -> io::Result<SockAddr> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "abstract names of Unix sockets exist on Linux only",
    ))
}

/// What `getsockname`, `getpeername` and `accept` told.
///
/// # Errors
/// `Unsupported` for another family.
pub(super) fn from_kernel(address: &SockAddr) -> io::Result<Address> {
    if let Some(inet) = address.as_socket() {
        Ok(Address::Inet(inet))
    } else if let Some(path) = address.as_pathname() {
        Ok(Address::Unix(path.to_owned()))
    } else if let Some(name) = address.as_abstract_namespace() {
        Ok(Address::UnixAbstract(name.into()))
    } else if address.is_unix() {
        Ok(Address::UnixUnnamed)
    } else {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!(
                "an internet or a Unix socket was expected, the address family is {}",
                address.family()
            ),
        ))
    }
}
