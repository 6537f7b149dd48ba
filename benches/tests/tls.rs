//! Servers of TLS, driven by the load: every byte and every handshake is checked there.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "load/session.rs"]
#[allow(dead_code, reason = "what it can say is more than is said here")]
mod session;

use std::path::{Path, PathBuf};

use millrun_benches::check::{Program, Running};
use millrun_benches::contract::Shape;
use millrun_benches::talk::Answer;
use millrun_benches::tls;

use session::Load;

/// A certificate of this test's own; gone when dropped.
struct Certificate(PathBuf);

impl Certificate {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("certificate-{name}"));
        tls::make(&path).unwrap();
        Self(path)
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn load(scenario: &str, server: &Running, certificate: &Path, connections: &str) -> Load {
    let certificate = certificate.to_str().unwrap();
    let options = ["--connections", connections, "--certificate", certificate];
    Load::start(scenario, server.address().port(), server.id(), &options)
}

/// All scenarios of TLS against one server.
fn check(name: &str, program: Program) {
    let Certificate(directory) = &Certificate::new(name);
    let server = program
        .after(&["--certificate".as_ref(), directory.as_os_str()])
        .start(Shape::Echo)
        .unwrap();
    for (scenario, size) in [("tls-echo", 1024), ("tls-blocks", 65_536)] {
        let mut load = load(scenario, &server, directory, "3");
        assert_eq!(load.ready(), 3);
        for _ in 0..2 {
            let (window, latency) = load.measure(30, None);
            assert!(window.units > 0 && window.bytes == window.units * size, "{scenario}");
            assert_eq!(latency.count(), window.units);
        }
        load.end();
    }
    for scenario in ["tls-handshakes", "tls-resumed"] {
        let mut load = load(scenario, &server, directory, "4");
        assert_eq!(load.ready(), 4);
        let (window, _) = load.measure(30, None);
        assert!(window.units >= 4 && window.server_cpu_ns > 0, "{scenario}");
        load.end();
    }
    let load = load("tls-idle", &server, directory, "20");
    match load.answer() {
        Answer::Ready { connections, memory } => {
            assert_eq!(connections, 20);
            assert!(memory.unwrap().used > 0);
        }
        other => panic!("expected Ready, got {other:?}"),
    }
    load.end();
}

fn ours(which: &str) -> Program {
    Program::new(env!("CARGO_BIN_EXE_server-millrun-tls")).before(&[which])
}

#[test]
fn callbacks() {
    check("protocol", ours("protocol"));
}

#[test]
fn streams() {
    check("streams", ours("streams"));
}

#[cfg(feature = "tokio-rustls")]
#[test]
fn tokio_rustls() {
    check("tokio", Program::new(env!("CARGO_BIN_EXE_server-tokio-rustls")));
}

#[cfg(feature = "tokio-rustls")]
#[test]
fn tokio_rustls_best() {
    let best: [&str; 1] = ["best"];
    check("tokio-best", Program::new(env!("CARGO_BIN_EXE_server-tokio-rustls")).before(&best));
}

#[test]
fn a_server_with_another_certificate_is_refused() {
    let (shown, trusted) = (Certificate::new("shown"), Certificate::new("trusted"));
    let options = ["--certificate".as_ref(), shown.0.as_os_str()];
    let server = ours("streams").after(&options).start(Shape::Echo).unwrap();
    for scenario in ["tls-echo", "tls-handshakes", "tls-idle"] {
        let why = load(scenario, &server, &trusted.0, "1").failed();
        assert!(why.contains("invalid peer certificate"), "{scenario}: {why}");
    }
    let why = Load::start("tls-echo", server.address().port(), server.id(), &[]).failed();
    assert!(why.contains("expected --certificate"), "{why}");
}
