//! Names as this machine resolves them.
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use millrun_selector::{Family, Query, Resolver, SystemResolver};

fn query(host: Option<&str>, service: &str, family: Family, passive: bool) -> Query {
    Query { host: host.map(str::to_owned), service: service.to_owned(), family, passive }
}

/// C-006 and the rest of the resolver: literals, families, the wildcard, an empty service.
#[test]
fn c_006_the_resolver_knows_literals_and_wildcards() {
    let ask = |q: Query| SystemResolver.resolve(&q);
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
    assert_eq!(ask(query(Some("127.0.0.1"), "80", Family::Any, false)).unwrap(), [v4]);
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    assert_eq!(ask(query(Some("::1"), "", Family::V6, false)).unwrap(), [v6]);
    let any = ask(query(None, "0", Family::V4, true)).unwrap();
    assert_eq!(any, [SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))]);
    let here = ask(query(Some(""), "7", Family::V4, false)).unwrap();
    assert_eq!(here, [SocketAddr::from((Ipv4Addr::LOCALHOST, 7))]);
    let local = ask(query(Some("localhost"), "1", Family::V4, false)).unwrap();
    assert!(local.iter().all(|a| a.is_ipv4() && a.ip().is_loopback() && a.port() == 1));

    let error = ask(query(Some("127.0.0.1"), "80", Family::V6, false)).unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:80"), "{error}");
    let error = ask(query(Some("127.0.0.1"), "no-such-service", Family::Any, false)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(ask(query(Some("nul\0inside"), "80", Family::Any, false)).is_err());
}

/// Service names come from the machine's own list.
#[test]
fn c_006_the_resolver_knows_services() {
    match SystemResolver.resolve(&query(Some("127.0.0.1"), "http", Family::V4, false)) {
        Ok(found) => assert_eq!(found, [SocketAddr::from((Ipv4Addr::LOCALHOST, 80))]),
        Err(e) if !std::path::Path::new("/etc/services").exists() => {
            println!("skipped, this machine has no list of services: {e}");
        }
        Err(e) => panic!("{e}"),
    }
}
