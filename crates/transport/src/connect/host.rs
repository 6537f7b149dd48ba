//! What a caller may give as host and port, and which of it needs the resolver.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use millrun_selector::{Family, Query};

use crate::InvalidArgument;

/// A host: a name, a literal address, or none (this machine).
///
/// Made from `&str`, `String`, [`IpAddr`] and options of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Host(Option<String>);

impl Host {
    /// No host: this machine (the wildcard addresses for a server, loopback for a client).
    pub const fn none() -> Host {
        Host(None)
    }

    /// The text that was given.
    pub fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// For a server an empty host means the same as none (SV-005).
    pub(crate) fn empty_is_none(self) -> Host {
        Host(self.0.filter(|host| !host.is_empty()))
    }
}

/// The name, or `*` for none.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str().unwrap_or("*"))
    }
}

impl From<&str> for Host {
    fn from(host: &str) -> Host {
        Host(Some(host.to_owned()))
    }
}

impl From<String> for Host {
    fn from(host: String) -> Host {
        Host(Some(host))
    }
}

impl From<IpAddr> for Host {
    fn from(host: IpAddr) -> Host {
        Host(Some(host.to_string()))
    }
}

impl<T: Into<Host>> From<Option<T>> for Host {
    fn from(host: Option<T>) -> Host {
        host.map_or_else(Host::none, Into::into)
    }
}

/// A port: a number, a number as text, the name of a service, or none, which counts as 0 (C-006).
///
/// Made from `u16`, `&str`, `String` and options of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Port(Given);

#[derive(Clone, PartialEq, Eq, Debug, Default)]
enum Given {
    #[default]
    None,
    Number(u16),
    Service(String),
    /// All digits, and more than a port can be.
    TooLarge(String),
}

impl Port {
    /// No port given: 0.
    pub const fn none() -> Port {
        Port(Given::None)
    }

    /// The number; `None` for the name of a service, which only the resolver knows.
    pub fn number(&self) -> Option<u16> {
        match &self.0 {
            Given::None => Some(0),
            Given::Number(number) => Some(*number),
            Given::Service(_) | Given::TooLarge(_) => None,
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        self.0 == Given::None
    }

    pub(crate) fn check(&self) -> Result<(), InvalidArgument> {
        match &self.0 {
            Given::TooLarge(text) => Err(InvalidArgument::Port(text.clone())),
            _ => Ok(()),
        }
    }
}

/// The number or the name.
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Given::None => f.write_str("0"),
            Given::Number(number) => number.fmt(f),
            Given::Service(text) | Given::TooLarge(text) => f.write_str(text),
        }
    }
}

impl From<u16> for Port {
    fn from(number: u16) -> Port {
        Port(Given::Number(number))
    }
}

impl From<&str> for Port {
    fn from(text: &str) -> Port {
        if text.is_empty() {
            return Port(Given::Number(0));
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Port(Given::Service(text.to_owned()));
        }
        Port(text.parse().map_or_else(|_| Given::TooLarge(text.to_owned()), Given::Number))
    }
}

impl From<String> for Port {
    fn from(text: String) -> Port {
        Port::from(text.as_str())
    }
}

impl<T: Into<Port>> From<Option<T>> for Port {
    fn from(port: Option<T>) -> Port {
        port.map_or_else(Port::none, Into::into)
    }
}

/// A host and a port on their way to addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Name {
    pub(crate) host: Host,
    pub(crate) port: Port,
}

/// What a [`Name`] turned out to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Known {
    /// A literal address with a number: nothing to ask.
    Address(SocketAddr),
    /// For the resolver.
    Ask(Query),
}

impl Name {
    /// A literal IP address of the wanted family with a numeric port is known without the resolver
    /// (C-005); an IPv6 zone (`%`), another family, a service name or no host is not.
    pub(crate) fn look(&self, family: Family, passive: bool) -> Known {
        if let Some(address) = self.literal(family) {
            return Known::Address(address);
        }
        Known::Ask(Query {
            host: self.host.0.clone(),
            service: self.port.to_string(),
            family,
            passive,
        })
    }

    fn literal(&self, family: Family) -> Option<SocketAddr> {
        // `IpAddr`'s parser takes what inet_pton takes: no zone, no short or octal forms.
        let ip: IpAddr = self.host.as_str()?.parse().ok()?;
        let wanted = match family {
            Family::Any => true,
            Family::V4 => ip.is_ipv4(),
            Family::V6 => ip.is_ipv6(),
        };
        wanted.then_some(SocketAddr::new(ip, self.port.number()?))
    }
}

/// `host:port`, for messages.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The addresses in their order, each once (SV-005).
pub(crate) fn each_once<T: PartialEq>(addresses: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut once = Vec::new();
    for address in addresses {
        if !once.contains(&address) {
            once.push(address);
        }
    }
    once
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn look(host: &str, port: impl Into<Port>) -> Known {
        Name { host: host.into(), port: port.into() }.look(Family::Any, false)
    }

    fn asked(known: Known) -> (Option<String>, String) {
        match known {
            Known::Ask(query) => (query.host, query.service),
            Known::Address(address) => panic!("not asked: {address}"),
        }
    }

    #[test]
    fn c_005_a_literal_with_a_numeric_port_skips_resolution() {
        let expected = |text: &str| Known::Address(text.parse().unwrap());
        assert_eq!(look("192.0.2.7", 80), expected("192.0.2.7:80"));
        assert_eq!(look("192.0.2.7", "80"), expected("192.0.2.7:80"));
        assert_eq!(look("::1", 80), expected("[::1]:80"));
        assert_eq!(
            look("fe80::1%lo", 80),
            Known::Ask(Query {
                host: Some("fe80::1%lo".into()),
                service: "80".into(),
                family: Family::Any,
                passive: false,
            })
        );
    }

    #[test]
    fn c_005_what_inet_pton_does_not_take_is_a_name() {
        for host in ["127.1", "0177.0.0.1", "1.2.3.4.5", "localhost", "", " 127.0.0.1", "[::1]"] {
            assert_eq!(asked(look(host, 1)), (Some(host.to_owned()), "1".to_owned()));
        }
    }

    #[test]
    fn c_005_a_literal_of_another_family_is_for_the_resolver() {
        let name = Name { host: "127.0.0.1".into(), port: 1.into() };
        assert!(matches!(name.look(Family::V4, false), Known::Address(_)));
        assert!(matches!(name.look(Family::V6, false), Known::Ask(_)));
    }

    #[test]
    fn c_006_none_and_empty_are_port_0_and_a_service_name_is_resolved() {
        assert_eq!(look("127.0.0.1", None::<u16>), look("127.0.0.1", 0));
        assert_eq!(look("127.0.0.1", ""), look("127.0.0.1", 0));
        assert_eq!(asked(look("127.0.0.1", "http")).1, "http");
        assert_eq!(asked(look("name", None::<u16>)).1, "0");
        assert_eq!(asked(look("127.0.0.1", "-1")).1, "-1");
        assert_eq!(Port::from(Some("http")).number(), None);
    }

    #[test]
    fn a_number_that_is_no_port_is_refused_and_named() {
        assert_eq!(Port::from("65535").check(), Ok(()));
        assert_eq!(Port::from("65536").check(), Err(InvalidArgument::Port("65536".into())));
        assert_eq!(Port::from("00080").number(), Some(80));
    }

    #[test]
    fn sv_005_each_address_is_kept_once_in_order() {
        assert_eq!(each_once([3, 1, 3, 2, 1]), [3, 1, 2]);
    }
}
