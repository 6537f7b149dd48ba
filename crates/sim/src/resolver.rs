//! Names that tests make up.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::{Mutex, MutexGuard, PoisonError};

use millrun_selector::{Family, Query, Resolver};

use crate::Failure;

/// Knows `localhost`, literal addresses and what it was told. Answers at once.
#[derive(Debug)]
pub(crate) struct SimResolver(Mutex<Names>);

#[derive(Debug)]
struct Names {
    hosts: BTreeMap<String, Result<Vec<IpAddr>, Failure>>,
    services: BTreeMap<String, u16>,
    asked: Vec<Query>,
}

impl SimResolver {
    pub(crate) fn new() -> SimResolver {
        let localhost = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let services = [("ftp", 21), ("ssh", 22), ("smtp", 25), ("http", 80), ("https", 443)];
        SimResolver(Mutex::new(Names {
            hosts: BTreeMap::from([("localhost".to_owned(), Ok(localhost))]),
            services: services.map(|(name, port)| (name.to_owned(), port)).into(),
            asked: Vec::new(),
        }))
    }

    pub(crate) fn set(&self, name: &str, answer: Result<Vec<IpAddr>, Failure>) {
        self.names().hosts.insert(name.to_owned(), answer);
    }

    pub(crate) fn set_service(&self, name: &str, port: u16) {
        self.names().services.insert(name.to_owned(), port);
    }

    pub(crate) fn asked(&self) -> Vec<Query> {
        self.names().asked.clone()
    }

    /// A panic elsewhere leaves plain data behind: still good.
    fn names(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolver for SimResolver {
    fn resolve(&self, query: &Query) -> io::Result<Vec<SocketAddr>> {
        let mut names = self.names();
        names.asked.push(query.clone());
        let refuse = |what: &str| lookup(query, what);
        let port = names.port(&query.service).ok_or_else(|| refuse("unknown service"))?;
        let found = match query.host.as_deref().filter(|host| !host.is_empty()) {
            None if query.passive => {
                vec![(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]
            }
            None => vec![(Ipv6Addr::LOCALHOST, port).into(), (Ipv4Addr::LOCALHOST, port).into()],
            Some(host) => match names.addresses(host, port) {
                Some(answer) => answer?,
                None => return Err(refuse("unknown name")),
            },
        };
        let wanted = |a: &SocketAddr| match query.family {
            Family::Any => true,
            Family::V4 => a.is_ipv4(),
            Family::V6 => a.is_ipv6(),
        };
        let any = !found.is_empty();
        let found: Vec<SocketAddr> = found.into_iter().filter(wanted).collect();
        if any && found.is_empty() {
            return Err(refuse("no address of this family"));
        }
        Ok(found)
    }
}

impl Names {
    fn port(&self, service: &str) -> Option<u16> {
        if service.is_empty() {
            return Some(0);
        }
        service.parse().ok().or_else(|| self.services.get(service).copied())
    }

    /// `None` for a name that nobody registered.
    fn addresses(&self, host: &str, port: u16) -> Option<io::Result<Vec<SocketAddr>>> {
        if let Some(answer) = self.hosts.get(host) {
            let answer = answer.as_ref().map_err(|failure| failure.to_error());
            return Some(answer.map(|ips| ips.iter().map(|ip| (*ip, port).into()).collect()));
        }
        literal(host, port).map(|address| Ok(vec![address]))
    }
}

/// An address written out, perhaps with an IPv6 zone.
fn literal(host: &str, port: u16) -> Option<SocketAddr> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, port));
    }
    let (ip, zone) = host.split_once('%')?;
    // The only interface here is the loopback, with index 1.
    let scope = if zone == "lo" { 1 } else { zone.parse().ok()? };
    Some(SocketAddrV6::new(ip.parse::<Ipv6Addr>().ok()?, port, 0, scope).into())
}

/// As the real one: the kind is `NotFound`, the text names host and service.
fn lookup(query: &Query, what: &str) -> io::Error {
    let host = query.host.as_deref().unwrap_or("");
    io::Error::new(io::ErrorKind::NotFound, format!("{host}:{}: {what}", query.service))
}
