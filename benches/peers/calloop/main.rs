//! calloop, level-triggered: a source for each connection, which wraps a [`Generic`] as calloop's documentation has it; a read buffer
//! that all connections share, and a write buffer of a connection's own for what the kernel does not take.

mod echo;
mod fanout;
mod lines;
mod link;
mod relay;
mod transfer;

use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::{fmt, io};

use calloop::generic::Generic;
use calloop::{EventLoop, Interest, LoopHandle, Mode, PostAction};
use millrun_benches::contract::{self, Arguments, Shape};
use millrun_benches::digest;

/// Length of the read buffer.
const BUFFER: usize = 64 * 1024;

/// What the callbacks of all sources share.
pub(crate) struct Shared {
    buffer: Box<[u8]>,
    pattern: Vec<u8>,
    room: fanout::Room,
}

pub(crate) type Handle = LoopHandle<'static, Shared>;

/// Puts a connection into the loop.
type Accepted = Box<dyn Fn(&Handle, TcpStream) -> io::Result<()>>;

fn main() -> ExitCode {
    contract::main(run)
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let accepted: Accepted = match arguments.shape {
        Shape::Echo => Box::new(echo::accepted),
        Shape::Lines => Box::new(lines::accepted),
        Shape::Sink => Box::new(transfer::sink),
        Shape::Source => Box::new(transfer::source),
        Shape::Fanout => Box::new(fanout::accepted),
        Shape::Relay => {
            let backend = arguments.backend.ok_or("a relay needs --backend")?;
            Box::new(move |handle, near| relay::accepted(handle, near, backend))
        }
        Shape::Mixed => Box::new(transfer::mixed),
        other => return Err(format!("no such shape: {other:?}").into()),
    };
    let mut event_loop = EventLoop::try_new()?;
    let listener = contract::listen()?;
    let port = listener.local_addr()?.port();
    listen(&event_loop.handle(), listener, accepted)?;
    contract::announce(port)?;
    let room = fanout::Room::default();
    let mut shared = Shared { buffer: vec![0; BUFFER].into(), pattern: digest::pattern(), room };
    Ok(event_loop.run(None, &mut shared, |_| {})?)
}

/// Gives each connection to `accepted`. One that fails ends nothing else.
fn listen(handle: &Handle, listener: TcpListener, accepted: Accepted) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let source = Generic::new(listener, Interest::READ, Mode::Level);
    let inner = handle.clone();
    let callback = move |_, listener: &mut calloop::generic::NoIoDrop<TcpListener>, _: &mut _| {
        while let Ok((stream, _)) = listener.accept() {
            if let Err(error) = accepted(&inner, stream) {
                eprintln!("a connection: {error}");
            }
        }
        Ok(PostAction::Continue)
    };
    handle.insert_source(source, callback).map(drop).map_err(failed)
}

/// calloop's errors as those of I/O.
pub(crate) fn failed(error: impl fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}
