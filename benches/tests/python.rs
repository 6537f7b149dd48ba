//! Is there a Python, does it get the peers' packages, and do its servers keep the contract? Where there is none, nobody can tell.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[macro_use]
mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use millrun_benches::check::{Outcome, Program};
use millrun_benches::contract::{NO_SUCH_SHAPE, Shape};
use millrun_benches::peer::{self, Made};
use millrun_benches::runner::python::{self, Python};

/// Far more than an answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Each test is a process of its own: what the first could not have, the others need not try.
const RETRY: Duration = Duration::from_secs(600);

const PACKAGES: &[&str] = &["uvloop", "rloop"];

/// Prepared once for all tests.
static PYTHON: LazyLock<Result<Python, String>> = LazyLock::new(|| prepare(RETRY, &mut |_| ()));

fn prepare(retry: Duration, tell: &mut dyn FnMut(&str)) -> Result<Python, String> {
    let into = Path::new(env!("CARGO_TARGET_TMPDIR")).join("benches");
    python::prepare(PACKAGES, &into, retry, tell)
}

/// The peer of that name, or why it is left out.
fn server(name: &str) -> Result<Program, String> {
    let peer = peer::named(name).ok_or("it is not in the table of peers")?;
    let Made::Python { source, package } = peer.made else {
        return Err("it is not written in Python".to_owned());
    };
    let launch = PYTHON.as_ref()?.launch(&source_of(source), package)?;
    let program = Program::new(launch.program).before(&launch.arguments).before(peer.before);
    Ok(program.after(peer.after))
}

fn source_of(source: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(source)
}

macro_rules! check_peers {
    ($($module:ident: $name:literal),+ $(,)?) => {
        $(mod $module { check_or_skip!(crate::server($name)); })+
    };
}

check_peers! {
    asyncio_protocol: "asyncio-protocol",
    asyncio_streams: "asyncio-streams",
    uvloop_protocol: "uvloop-protocol",
    uvloop_streams: "uvloop-streams",
}

/// The checks wait for the server's end, and rloop 0.5 does not close a connection that it is told to close: what it has must be right.
#[test]
fn rloop_echoes() -> Outcome {
    for name in ["rloop-protocol", "rloop-streams"] {
        let program = match server(name) {
            Ok(program) => program,
            Err(why) => {
                println!("skipped: {why}");
                continue;
            }
        };
        for shape in [Shape::Echo, Shape::Lines] {
            let server = program.start(shape)?;
            let mut clients =
                [TcpStream::connect(server.address())?, TcpStream::connect(server.address())?];
            for (turn, client) in (0_u32..100).zip((0..2).cycle()) {
                let line = format!("{:1$}\n", turn, 1 + 100 * turn as usize);
                let mut back = vec![0; line.len()];
                clients[client].set_read_timeout(Some(PATIENCE))?;
                clients[client].write_all(line.as_bytes())?;
                clients[client].read_exact(&mut back)?;
                assert_eq!(back, line.as_bytes(), "{name} {shape:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn what_is_said_to_be_there_is_and_is_not_installed_twice() {
    let Ok(python) = &*PYTHON else { return println!("skipped: no Python here") };
    for (package, outcome) in &python.packages {
        let script = format!("import {package}");
        let imports = Command::new(&python.program).args(["-c", &script]).status().unwrap();
        assert_eq!(imports.success(), outcome.is_ok(), "{package}: {outcome:?}");
    }
    // Another test may be at it.
    let waits = |what: &str| what.starts_with("waiting");
    let again = prepare(Duration::MAX, &mut |what| assert!(waits(what), "{what}"));
    assert_eq!(again.as_ref(), Ok(python));
    let once_more = prepare(Duration::ZERO, &mut |what| {
        // What could not be had is tried again, here and on a newer Python.
        let here = what.ends_with(&format!("Python {}", python.version));
        let missing = |name: &String| python.packages[name].is_err() && what.contains(name);
        assert!(waits(what) || !here || python.packages.keys().any(missing), "{what}");
    });
    // Why something could not be had is the network's word, which may change.
    let once_more = once_more.unwrap();
    assert_eq!((&once_more.program, &once_more.version), (&python.program, &python.version));
    for (package, outcome) in python.packages.iter().filter(|(_, outcome)| outcome.is_ok()) {
        assert_eq!(&once_more.packages[package], outcome);
    }
}

#[test]
fn a_package_that_cannot_be_had_is_a_reason_not_a_failure() {
    let into = Path::new(env!("CARGO_TARGET_TMPDIR")).join("benches-empty");
    // Not a name that a package can have: pip refuses it without asking anybody.
    let Ok(python) = python::prepare(&["no package"], &into, Duration::ZERO, &mut |_| ()) else {
        return println!("skipped: no Python here");
    };
    let why = python.launch(Path::new("server.py"), "no package").unwrap_err();
    assert!(why.contains("no package on Python 3."), "{why}");
}

#[test]
fn what_can_not_be_served_has_the_agreed_exit_code() {
    let Ok(python) = &*PYTHON else { return println!("skipped: no Python here") };
    let server = source_of("python/server.py");
    for words in [
        &["asyncio", "protocol", "no-such-shape"][..],
        &["asyncio", "streams", "relay"],
        &["gevent"],
    ] {
        let asked = Command::new(&python.program).arg(&server).args(words).output().unwrap();
        assert_eq!(asked.status.code(), Some(i32::from(NO_SUCH_SHAPE)), "{words:?}: {asked:?}");
        assert!(asked.stdout.is_empty() && !asked.stderr.is_empty(), "{words:?}: {asked:?}");
    }
}
