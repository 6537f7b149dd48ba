//! What a server promises, in whatever language it is written.
//!
//! `SERVER [WORD] SHAPE [--backend ADDRESS] [--spin MICROSECONDS] [--certificate DIRECTORY]` listens on 127.0.0.1, a free port, with a backlog of [`BACKLOG`];
//! prints `listening PORT` and a line feed to its standard output, once, when connections are accepted; serves until it is killed,
//! and dies with the process that started it. A shape that it does not have is exit code [`NO_SUCH_SHAPE`] before anything
//! is printed to standard output. Nagle's algorithm is off on every connection, as asyncio has it. A connection that fails
//! costs only itself, and what is kept for a peer that doesn't read is bounded: [`crate::check`] tries both.
//!
//! | shape | what a connection does |
//! |---|---|
//! | echo | what comes goes back, until the peer's end of file; then the server closes |
//! | lines | a line (to `\n`) is read, written back and drained, one after the other |
//! | sink | reads to the end of file; answers with the count of bytes and their CRC-32 (`u64`, `u32`, big-endian), closes |
//! | source | reads a count (`u64`, big-endian); sends so many bytes of [`crate::digest::pattern`] over and over, closes |
//! | fanout | the first byte says which: `P`, what it sends afterwards goes to every subscriber; `S`, a subscriber. One that doesn't read holds up the publisher, once more is unsent to it than a buffer holds |
//! | relay | a connection to `--backend` is opened; each side's bytes go to the other, each side's end of file too |
//! | mixed | the first byte says which: `E`, an echo of what follows; `D`, the pattern for ever, as fast as the peer reads |

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;

/// Connections that wait to be accepted; the kernel may allow fewer.
pub const BACKLOG: i32 = 4096;

/// A server's exit code for a shape that it does not have.
pub const NO_SUCH_SHAPE: u8 = 3;

/// What the server is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// What comes goes back.
    Echo,
    /// Each line goes back by itself.
    Lines,
    /// Reads all, answers with a digest.
    Sink,
    /// Sends as much as it is asked for.
    Source,
    /// One writer, many readers.
    Fanout,
    /// Between the peer and a backend.
    Relay,
    /// Echoes beside readers that stall.
    Mixed,
}

impl Shape {
    /// All of them, with the name that the command line has for each.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("echo", Self::Echo),
        ("lines", Self::Lines),
        ("sink", Self::Sink),
        ("source", Self::Source),
        ("fanout", Self::Fanout),
        ("relay", Self::Relay),
        ("mixed", Self::Mixed),
    ];

    /// The command line's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, shape)| *shape == self).map_or("", |(name, _)| name)
    }
}

/// A server's command line.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Arguments {
    /// The word before the shape, where there is one: which of a peer's programs is meant.
    pub word: Option<&'static str>,
    /// What to do.
    pub shape: Shape,
    /// Where a relay connects to.
    pub backend: Option<SocketAddr>,
    /// How long to look for events before sleeping, in microseconds: only where the stack offers it.
    pub spin_micros: u64,
    /// Where the certificate is ([`crate::tls::make`]), for a server of TLS.
    pub certificate: Option<PathBuf>,
}

/// A server's `main`: reads the command line, asks to die with its parent and for all the descriptors that it may have, runs, and
/// tells what failed.
pub fn main(serve: impl FnOnce(Arguments) -> Result<(), Box<dyn std::error::Error>>) -> ExitCode {
    main_with(&[], serve)
}

/// As [`main`], with words of which one may stand before the shape.
pub fn main_with(
    words: &[&'static str],
    serve: impl FnOnce(Arguments) -> Result<(), Box<dyn std::error::Error>>,
) -> ExitCode {
    let arguments = match parse(words, std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(NO_SUCH_SHAPE);
        }
    };
    // Where it can't be asked for, the runner's own kill is what ends the server.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    raise_descriptors();
    let shape = arguments.shape;
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", shape.name());
            ExitCode::FAILURE
        }
    }
}

/// Listens on 127.0.0.1, a free port, with [`BACKLOG`]: what a stack's own `bind` can't be asked for. The socket blocks; a stack
/// that waits for readiness switches that off.
///
/// # Errors
///
/// What the operating system says.
pub fn listen() -> io::Result<TcpListener> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Says on standard output that connections are accepted.
///
/// # Errors
///
/// When standard output is closed.
pub fn announce(port: u16) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening {port}")?;
    out.flush()
}

/// Raises the limit of descriptors to the hard one, and says how many it is now. Where it can't be raised, the scenarios with more
/// connections are short of them, and say so.
pub fn raise_descriptors() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    if raised { maximum } else { current }.unwrap_or(u64::MAX)
}

fn parse(known: &[&'static str], words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut words = words.peekable();
    let word = words.peek().and_then(|word| known.iter().copied().find(|known| known == word));
    if word.is_some() {
        words.next();
    }
    let shape = words.next().ok_or("expected a shape, got nothing")?;
    let Some((_, shape)) = Shape::ALL.iter().find(|(name, _)| *name == shape) else {
        return Err(format!("expected a shape, got {shape:?}"));
    };
    let mut arguments =
        Arguments { word, shape: *shape, backend: None, spin_micros: 0, certificate: None };
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word}: expected a value"))?;
        let wrong = || format!("{word}: can't be {value:?}");
        match word.as_str() {
            "--backend" => arguments.backend = Some(value.parse().map_err(|_| wrong())?),
            "--certificate" => arguments.certificate = Some(value.into()),
            "--spin" => arguments.spin_micros = value.parse().map_err(|_| wrong())?,
            _ => return Err(format!("expected --backend, --spin or --certificate, got {word:?}")),
        }
    }
    Ok(arguments)
}
