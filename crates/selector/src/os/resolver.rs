//! [`SystemResolver`]: names as the machine is set up to resolve them.

use std::io;
use std::net::SocketAddr;

use dns_lookup::{AddrFamily, AddrInfoHints, LookupError, LookupErrorKind, SockType};

use crate::{Family, Query, Resolver};

/// `AI_PASSIVE`: 1 on Linux, macOS and the BSDs alike.
const AI_PASSIVE: i32 = 1;

/// The [`Resolver`] of this machine: `getaddrinfo`. It blocks, for seconds at times.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl SystemResolver {
    /// The one there is.
    pub const fn new() -> SystemResolver {
        SystemResolver
    }
}

impl Resolver for SystemResolver {
    /// An empty host counts as none and an empty service as port 0 (C-006).
    ///
    /// The error's kind is `NotFound` for a name or service that does not exist, and its text names both.
    fn resolve(&self, query: &Query) -> io::Result<Vec<SocketAddr>> {
        let host = query.host.as_deref().filter(|h| !h.is_empty());
        let service = if query.service.is_empty() { "0" } else { &query.service };
        let hints = AddrInfoHints {
            flags: if query.passive { AI_PASSIVE } else { 0 },
            address: match query.family {
                Family::Any => 0,
                Family::V4 => AddrFamily::Inet.into(),
                Family::V6 => AddrFamily::Inet6.into(),
            },
            socktype: SockType::Stream.into(),
            protocol: 0,
        };
        let found = dns_lookup::getaddrinfo(host, Some(service), Some(hints))
            .map_err(|e| explain(query, e))?;
        found.map(|info| info.map(|i| i.sockaddr)).collect()
    }
}

fn explain(query: &Query, error: LookupError) -> io::Error {
    let host = query.host.as_deref().unwrap_or("");
    let text = format!("{host}:{}: {error}", query.service);
    let kind = match error.kind() {
        LookupErrorKind::NoName | LookupErrorKind::NoData | LookupErrorKind::Service => {
            io::ErrorKind::NotFound
        }
        _ => io::Error::from(error).kind(),
    };
    io::Error::new(kind, text)
}
