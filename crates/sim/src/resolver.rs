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
        let port = names.port(&query.service)?;
        let found = match &query.host {
            None if query.passive => {
                vec![(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]
            }
            None => vec![(Ipv6Addr::LOCALHOST, port).into(), (Ipv4Addr::LOCALHOST, port).into()],
            Some(host) => names.addresses(host, port)?,
        };
        let wanted = |a: &SocketAddr| match query.family {
            Family::Any => true,
            Family::V4 => a.is_ipv4(),
            Family::V6 => a.is_ipv6(),
        };
        let any = !found.is_empty();
        let found: Vec<SocketAddr> = found.into_iter().filter(wanted).collect();
        if any && found.is_empty() {
            return Err(lookup("Address family for hostname not supported"));
        }
        Ok(found)
    }
}

impl Names {
    fn port(&self, service: &str) -> io::Result<u16> {
        if service.is_empty() {
            return Ok(0);
        }
        if let Ok(port) = service.parse() {
            return Ok(port);
        }
        self.services
            .get(service)
            .copied()
            .ok_or_else(|| lookup("Servname not supported for ai_socktype"))
    }

    fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Some(answer) = self.hosts.get(host) {
            let ips = answer.as_ref().map_err(|failure| failure.to_error())?;
            return Ok(ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect());
        }
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        if let Some((ip, zone)) = host.split_once('%') {
            // The only interface here is the loopback, with index 1.
            let scope = if zone == "lo" { Some(1) } else { zone.parse().ok() };
            if let (Ok(ip), Some(scope)) = (ip.parse::<Ipv6Addr>(), scope) {
                return Ok(vec![SocketAddrV6::new(ip, port, 0, scope).into()]);
            }
        }
        Err(lookup("Name or service not known"))
    }
}

/// As std words what getaddrinfo says: an error without a number.
fn lookup(what: &str) -> io::Error {
    io::Error::other(format!("failed to lookup address information: {what}"))
}
