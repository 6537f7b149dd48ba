//! Names that a test makes up.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use millrun_selector::{Family, Query};
use millrun_sim::Sim;

fn query(host: Option<&str>, service: &str) -> Query {
    Query {
        host: host.map(str::to_owned),
        service: service.to_owned(),
        family: Family::Any,
        passive: false,
    }
}

fn texts(addresses: Vec<SocketAddr>) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn names_services_and_literals() {
    let sim = Sim::new(1);
    sim.add_host("example.test", vec![ip("2001:db8::1"), ip("192.0.2.1")]);
    sim.add_service("echo", 7);
    let resolver = sim.resolver();
    for (host, service, expected) in [
        ("example.test", "80", &["[2001:db8::1]:80", "192.0.2.1:80"][..]),
        ("example.test", "echo", &["[2001:db8::1]:7", "192.0.2.1:7"]),
        ("localhost", "https", &["127.0.0.1:443", "[::1]:443"]),
        ("192.0.2.9", "", &["192.0.2.9:0"]),
        ("::1", "1", &["[::1]:1"]),
        ("fe80::1%lo", "1", &["[fe80::1%1]:1"]),
        ("fe80::1%4", "1", &["[fe80::1%4]:1"]),
        ("", "5", &["[::1]:5", "127.0.0.1:5"]),
    ] {
        assert_eq!(texts(resolver.resolve(&query(Some(host), service)).unwrap()), expected);
    }
    assert_eq!(texts(resolver.resolve(&query(None, "5")).unwrap()), ["[::1]:5", "127.0.0.1:5"]);
    let passive = Query { passive: true, ..query(None, "5") };
    assert_eq!(texts(resolver.resolve(&passive).unwrap()), ["0.0.0.0:5", "[::]:5"]);
}

#[test]
fn families() {
    let sim = Sim::new(1);
    sim.add_host("six.test", [ip("::1")]);
    let resolver = sim.resolver();
    let v4 = Query { family: Family::V4, ..query(Some("localhost"), "1") };
    assert_eq!(texts(resolver.resolve(&v4).unwrap()), ["127.0.0.1:1"]);
    let v6 = Query { family: Family::V6, ..query(Some("localhost"), "1") };
    assert_eq!(texts(resolver.resolve(&v6).unwrap()), ["[::1]:1"]);
    let none = Query { host: Some("six.test".to_owned()), ..v4 };
    assert_eq!(resolver.resolve(&none).unwrap_err().kind(), ErrorKind::NotFound);
}

/// C-007: no address at all is an answer, not an error.
#[test]
fn c_007_what_is_unknown_fails_and_what_is_empty_does_not() {
    let sim = Sim::new(1);
    sim.add_host("empty.test", []);
    sim.fail_host("broken.test", ErrorKind::TimedOut);
    let resolver = sim.resolver();
    assert_eq!(resolver.resolve(&query(Some("empty.test"), "1")).unwrap(), []);
    for (host, service, kind, part) in [
        ("nobody.test", "1", ErrorKind::NotFound, "nobody.test"),
        ("localhost", "nothing", ErrorKind::NotFound, "nothing"),
        ("localhost", "65536", ErrorKind::NotFound, "65536"),
        ("broken.test", "1", ErrorKind::TimedOut, ""),
    ] {
        let error = resolver.resolve(&query(Some(host), service)).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(sim.queries().len(), 5);
    assert_eq!(sim.queries()[0].host.as_deref(), Some("empty.test"));
}

/// The loop asks it on an executor, perhaps on another thread.
#[test]
fn it_can_be_asked_from_another_thread() {
    let resolver = Sim::new(1).resolver();
    let answer = std::thread::spawn(move || resolver.resolve(&query(Some("localhost"), "1")));
    assert_eq!(answer.join().unwrap().unwrap().len(), 2);
}
