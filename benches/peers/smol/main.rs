//! smol: a `LocalExecutor` on `block_on`, a task for each connection, streams of `async-net`, bytes moved by `io::copy`, as smol's own
//! examples have it (`tcp-server` is the echo, `chat-server` the fan-out).
//!
//! Where it differs from the obvious: a line is written as it was read, in one piece (`write_all` of the line with its line feed); the
//! executor is the local one, since there is one thread; and `async-io`'s helper thread, which starts with the first socket, sleeps
//! as long as `block_on` polls. `io::copy` takes 8 KiB at a time, which is smol's choice, not ours.

mod fanout;

use std::future::Future;
use std::net::{Shutdown, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use millrun_benches::contract::{self, Arguments, Shape};
use millrun_benches::digest;
use smol::net::{TcpListener, TcpStream};
use smol::prelude::*;
use smol::{LocalExecutor, Timer, future, io};

/// How long to wait for descriptors when there are none left to accept with.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What is read at a time where it is ours to choose.
const BLOCK: usize = 65_536;

fn main() -> ExitCode {
    contract::main(|arguments| {
        let executor = LocalExecutor::new();
        smol::block_on(executor.run(serve(&executor, arguments)))
    })
}

async fn serve(
    executor: &LocalExecutor<'static>,
    arguments: Arguments,
) -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::try_from(contract::listen()?)?;
    contract::announce(listener.local_addr()?.port())?;
    match arguments.shape {
        Shape::Echo => accept(executor, listener, echo).await,
        Shape::Lines => accept(executor, listener, lines).await,
        Shape::Sink => accept(executor, listener, sink).await,
        Shape::Source => accept(executor, listener, source).await,
        Shape::Mixed => accept(executor, listener, mixed).await,
        Shape::Fanout => {
            let hub = fanout::start(executor);
            accept(executor, listener, |stream| fanout::serve(hub.clone(), stream)).await
        }
        Shape::Relay => {
            let backend = arguments.backend.ok_or("expected --backend")?;
            accept(executor, listener, |stream| relay(stream, backend)).await
        }
        other => return Err(format!("{other:?} is not served").into()),
    }
    Ok(())
}

/// A task for each connection; its failure is its own.
async fn accept<F>(
    executor: &LocalExecutor<'static>,
    listener: TcpListener,
    serve: impl Fn(TcpStream) -> F,
) where
    F: Future<Output = io::Result<()>> + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) if stream.set_nodelay(true).is_ok() => {
                executor.spawn(serve(stream)).detach();
            }
            Ok(_) => {} // it is gone already
            Err(_) => drop(Timer::after(ACCEPT_AGAIN).await),
        }
    }
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    io::copy(stream.clone(), stream).await?;
    Ok(())
}

async fn lines(stream: TcpStream) -> io::Result<()> {
    let mut reader = io::BufReader::new(stream.clone());
    let mut writer = stream;
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).await? > 0 {
        writer.write_all(&line).await?;
        writer.flush().await?;
        line.clear();
    }
    Ok(())
}

async fn sink(mut stream: TcpStream) -> io::Result<()> {
    let mut hasher = crc32fast::Hasher::new();
    let mut count = 0_u64;
    let mut block = vec![0; BLOCK];
    loop {
        let length = stream.read(&mut block).await?;
        if length == 0 {
            break;
        }
        hasher.update(&block[..length]);
        count += length as u64;
    }
    let mut answer = count.to_be_bytes().to_vec();
    answer.extend(hasher.finalize().to_be_bytes());
    stream.write_all(&answer).await
}

async fn source(mut stream: TcpStream) -> io::Result<()> {
    let mut count = [0; 8];
    stream.read_exact(&mut count).await?;
    let mut left = u64::from_be_bytes(count);
    let pattern = digest::pattern();
    while left > 0 {
        let length = left.min(pattern.len() as u64);
        stream.write_all(&pattern[..length as usize]).await?;
        left -= length;
    }
    Ok(())
}

async fn relay(client: TcpStream, backend: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(backend).await?;
    server.set_nodelay(true)?;
    future::try_zip(one_way(client.clone(), server.clone()), one_way(server, client)).await?;
    Ok(())
}

/// All that comes, then its end.
async fn one_way(from: TcpStream, mut to: TcpStream) -> io::Result<()> {
    io::copy(from, &mut to).await?;
    to.shutdown(Shutdown::Write)
}

async fn mixed(mut stream: TcpStream) -> io::Result<()> {
    let mut kind = [0];
    stream.read_exact(&mut kind).await?;
    match kind {
        [b'E'] => echo(stream).await,
        [b'D'] => download(stream).await,
        _ => Err(io::Error::other("expected E or D")),
    }
}

async fn download(mut stream: TcpStream) -> io::Result<()> {
    let pattern = digest::pattern();
    loop {
        stream.write_all(&pattern).await?;
    }
}
