//! Relays: an echo through them is an echo, and each direction ends on its own.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use super::client::{Client, bytes};
use super::echo::conversations;
use super::{Outcome, Program, each, nobody_listens};

const BULK: usize = 5 << 20;

/// The shape `relay`.
///
/// # Errors
///
/// What was expected and what came.
pub fn relay(program: &Program) -> Outcome {
    conversations(&program.start_relay(backend(echoed)?)?, b"")?;
    each([
        ("the backend answers after the end", &|| answered(program)),
        ("the backend ends first", &|| ended_first(program)),
        ("nobody is behind it", &|| refused(program)),
    ])
}

fn answered(program: &Program) -> Outcome {
    let address = backend(|mut stream| {
        let count = io::copy(&mut stream, &mut io::sink())?;
        stream.write_all(&count.to_be_bytes())?;
        stream.write_all(&bytes(BULK))
    })?;
    let server = program.start_relay(address)?;
    let mut client = Client::connect(&server, b"")?;
    client.exchange(&bytes(BULK), &(BULK as u64).to_be_bytes())?;
    client.comes(&bytes(BULK))?;
    client.expect_end()
}

fn ended_first(program: &Program) -> Outcome {
    let (counted, count) = std::sync::mpsc::channel();
    let address = backend(move |mut stream| {
        stream.write_all(b"that is all")?;
        stream.shutdown(Shutdown::Write)?;
        let count = io::copy(&mut stream, &mut io::sink())?;
        let _ = counted.send(count); // nobody waits when the check has failed
        Ok(())
    })?;
    let server = program.start_relay(address)?;
    let mut client = Client::connect(&server, b"")?;
    client.comes(b"that is all")?;
    client.expect_end()?;
    client.send(&bytes(BULK))?;
    client.end()?;
    match count.recv_timeout(super::PATIENCE)? {
        count if count == BULK as u64 => Ok(()),
        count => Err(format!("the backend expected {BULK} bytes, got {count}").into()),
    }
}

fn refused(program: &Program) -> Outcome {
    let (_kept, address) = nobody_listens()?;
    let server = program.start_relay(address)?;
    for _ in 0..3 {
        Client::connect(&server, b"")?.expect_over()?;
    }
    Ok(())
}

fn echoed(mut stream: TcpStream) -> io::Result<()> {
    let mut block = vec![0; 65_536];
    loop {
        match stream.read(&mut block)? {
            0 => return Ok(()),
            n => stream.write_all(&block[..n])?,
        }
    }
}

/// Serves each connection in a thread, until the process ends.
fn backend(
    serve: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static,
) -> Outcome<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream)); // a failure is the client's to see
        }
    });
    Ok(address)
}
