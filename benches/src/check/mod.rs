//! Does a server keep the [contract](crate::contract)? One function for each shape, which takes a program and tries to break it: what
//! is bigger than buffers, pieces of any size, ends of one direction, peers that don't read, peers that vanish.
//!
//! Used by this package's tests; [`check_server!`](crate::check_server) makes a test of each shape:
//!
//! ```ignore
//! mod plain { millrun_benches::check_server!(Program::new(env!("CARGO_BIN_EXE_server-tokio"))); }
//! mod best { millrun_benches::check_server!(Program::new(env!("CARGO_BIN_EXE_server-tokio")).before(&["best"])); }
//! ```
//!
//! No check depends on time: all waits end when what is awaited comes, and `PATIENCE` is far more than it takes.

mod client;
mod echo;
mod fanout;
mod lines;
mod relay;
mod transfer;

use std::error::Error;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

use crate::contract::Shape;

pub use echo::{echo, mixed};
pub use fanout::fanout;
pub use lines::lines;
pub use relay::relay;
pub use transfer::{sink, source};

/// What a check gives: nothing, or what was expected and what came.
pub type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// After so long without a byte a server is taken for stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a server may grow by for a handful of peers that don't read.
const MOST_GROWTH: u64 = 32 << 20;

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    before: Vec<OsString>,
    after: Vec<OsString>,
}

impl Program {
    /// The program at this path (or in `PATH`).
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), before: Vec::new(), after: Vec::new() }
    }

    /// Arguments before the shape.
    #[must_use]
    pub fn before<W: Into<OsString> + Clone>(mut self, words: &[W]) -> Self {
        self.before.extend(words.iter().cloned().map(Into::into));
        self
    }

    /// Arguments after the shape.
    #[must_use]
    pub fn after<W: Into<OsString> + Clone>(mut self, words: &[W]) -> Self {
        self.after.extend(words.iter().cloned().map(Into::into));
        self
    }

    /// Starts it, and waits until it listens. It is killed when the result is dropped, and when the calling thread ends.
    ///
    /// # Errors
    ///
    /// When it can't be started or says something else than that it listens.
    pub fn start(&self, shape: Shape) -> Outcome<Running> {
        self.started(shape, &[])
    }

    /// A relay to that address.
    ///
    /// # Errors
    ///
    /// As [`start`](Program::start).
    pub fn start_relay(&self, backend: SocketAddr) -> Outcome<Running> {
        self.started(Shape::Relay, &["--backend".into(), backend.to_string().into()])
    }

    fn started(&self, shape: Shape, more: &[OsString]) -> Outcome<Running> {
        let mut command = Command::new(&self.path);
        command.args(&self.before).arg(shape.name()).args(more).args(&self.after);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let child = child.map_err(|error| format!("{command:?}: {error}"))?;
        let mut running = Running { child, address: ([127, 0, 0, 1], 0).into() };
        let mut said = String::new();
        if let Some(output) = running.child.stdout.take() {
            BufReader::new(output).read_line(&mut said)?;
        }
        let Some(port) = said.trim_end().strip_prefix("listening ") else {
            let _ = running.child.kill(); // it may have ended by itself
            let status = running.child.wait()?;
            return Err(
                format!("{command:?}: expected `listening PORT`, got {said:?}, {status}").into()
            );
        };
        running.address.set_port(port.parse()?);
        Ok(running)
    }
}

/// A server at work; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory, in bytes.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn memory(&self) -> Outcome<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib =
            line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("the server is gone")?;
        Ok(kib.trim().parse::<u64>()? * 1024)
    }

    /// It has not grown without bound since it had so much memory.
    fn has_not_grown(&self, before: u64) -> Outcome {
        let after = self.memory()?;
        if after > before + MOST_GROWTH {
            return Err(
                format!("{before} bytes of memory became {after}: nothing bounds it").into()
            );
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill(); // fails when it is gone, which is what is wanted
        let _ = self.child.wait();
    }
}

/// An address where nobody listens: it is bound, and nobody else gets it as long as that socket lives.
///
/// # Errors
///
/// When the kernel has no port.
pub fn nobody_listens() -> Outcome<(OwnedFd, SocketAddr)> {
    let kept = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&kept, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let address = getsockname(&kept)?.try_into()?;
    Ok((kept, address))
}

/// One check after the other; a failure is told with the check's name.
fn each<const N: usize>(checks: [(&str, &dyn Fn() -> Outcome); N]) -> Outcome {
    checks
        .into_iter()
        .try_for_each(|(name, check)| check().map_err(|why| format!("{name}: {why}").into()))
}

/// A test of each shape, for the [`Program`] that an expression gives.
#[macro_export]
macro_rules! check_server {
    ($program:expr) => {
        $crate::check_server!($program, echo, lines, sink, source, fanout, relay, mixed);
    };
    ($program:expr, $($shape:ident),+) => {
        use $crate::check::{Outcome, Program};
        $(
            #[test]
            fn $shape() -> Outcome {
                let program: Program = $program;
                $crate::check::$shape(&program)
            }
        )+
    };
}
