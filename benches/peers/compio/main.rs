//! compio on io_uring: its single-threaded runtime, a task for each connection, buffers that are lent to the kernel and come back with
//! the result. `compio::io::copy`, with its 8 KiB, is the echo and each half of the relay.
//!
//! Where it differs from the obvious: a message of the fan-out is sent by a task for each subscriber, so that one `io_uring_enter`
//! submits all of them, where a plain loop would make a system call for each. compio has no `read_until`, so a line is looked for
//! in what its `BufReader` holds. Not used: `read_managed` and `read_multi`, which take buffers from a ring that all
//! connections share, and would save an idle connection its buffer: few programs are written so.

mod fanout;

use std::future::Future;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::Duration;

use compio::io::{
    AsyncBufRead as _, AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _,
    BufReader,
};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::Runtime;
use millrun_benches::contract::{self, Arguments, Shape};
use millrun_benches::digest;

/// What is read at a time of a transfer.
const BLOCK: usize = 65_536;

/// How long to wait for descriptors when there are none left to accept with.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(digest::pattern);

fn main() -> ExitCode {
    // Built without compio's other driver: it is io_uring or nothing.
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("compio: io_uring can't be set up here: {error}");
            return ExitCode::from(contract::NO_SUCH_SHAPE);
        }
    };
    contract::main(|arguments| runtime.block_on(serve(arguments)))
}

async fn serve(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::from_std(contract::listen()?)?;
    contract::announce(listener.local_addr()?.port())?;
    match arguments.shape {
        Shape::Echo => accept(listener, echo).await,
        Shape::Lines => accept(listener, lines).await,
        Shape::Sink => accept(listener, sink).await,
        Shape::Source => accept(listener, source).await,
        Shape::Mixed => accept(listener, mixed).await,
        Shape::Fanout => {
            let hub = fanout::Hub::default();
            accept(listener, |stream| hub.clone().serve(stream)).await;
        }
        Shape::Relay => {
            let backend = arguments.backend.ok_or("expected --backend")?;
            accept(listener, |stream| relay(stream, backend)).await;
        }
        other => return Err(format!("{other:?} is not served").into()),
    }
    Ok(())
}

/// A task for each connection; its failure is its own.
async fn accept<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F)
where
    F: Future<Output = std::io::Result<()>> + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) if stream.set_nodelay(true).is_ok() => {
                compio::runtime::spawn(serve(stream)).detach();
            }
            Ok(_) => {} // it is gone already
            // All wait: the runtime's timers are off, which is its default.
            Err(_) => std::thread::sleep(ACCEPT_AGAIN),
        }
    }
}

async fn echo(stream: TcpStream) -> std::io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    compio::io::copy(&mut reader, &mut writer).await?;
    Ok(())
}

async fn lines(stream: TcpStream) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while read_line(&mut reader, &mut line).await? {
        let result;
        (result, line) = writer.write_all(line).await.into();
        result?;
        writer.flush().await?;
        line.clear();
    }
    Ok(())
}

/// To the line feed, or to the end of file. False when nothing is left.
async fn read_line(reader: &mut BufReader<TcpStream>, line: &mut Vec<u8>) -> std::io::Result<bool> {
    loop {
        let held = reader.fill_buf().await?;
        let place = held.iter().position(|&byte| byte == b'\n');
        let length = place.map_or(held.len(), |place| place + 1);
        line.extend_from_slice(&held[..length]);
        reader.consume(length);
        if place.is_some() || length == 0 {
            return Ok(!line.is_empty());
        }
    }
}

async fn sink(mut stream: TcpStream) -> std::io::Result<()> {
    let mut hasher = crc32fast::Hasher::new();
    let mut count = 0_u64;
    let mut block: Vec<u8> = Vec::with_capacity(BLOCK);
    loop {
        let result;
        (result, block) = stream.read(block).await.into();
        if result? == 0 {
            break;
        }
        hasher.update(&block);
        count += block.len() as u64;
        block.clear();
    }
    let mut answer = count.to_be_bytes().to_vec();
    answer.extend(hasher.finalize().to_be_bytes());
    stream.write_all(answer).await.0?;
    Ok(())
}

async fn source(mut stream: TcpStream) -> std::io::Result<()> {
    let mut left = stream.read_u64().await?;
    while left > 0 {
        let length = left.min(PATTERN.len() as u64);
        stream.write_all(&PATTERN[..length as usize]).await.0?;
        left -= length;
    }
    Ok(())
}

async fn relay(client: TcpStream, backend: SocketAddr) -> std::io::Result<()> {
    let server = TcpStream::connect(backend).await?;
    server.set_nodelay(true)?;
    let up = compio::runtime::spawn(one_way(client.clone(), server.clone()));
    let down = one_way(server, client).await;
    up.await.map_err(|_| std::io::Error::other("the other half was cancelled"))?.and(down)
}

/// All that comes, then its end. A failure is an end, too: it makes the other side end its direction.
async fn one_way(mut from: TcpStream, mut to: TcpStream) -> std::io::Result<()> {
    match compio::io::copy(&mut from, &mut to).await {
        Ok(_) => Ok(()), // it has ended its direction
        Err(error) => to.shutdown().await.and(Err(error)),
    }
}

async fn mixed(mut stream: TcpStream) -> std::io::Result<()> {
    match stream.read_u8().await? {
        b'E' => echo(stream).await,
        b'D' => download(stream).await,
        _ => Err(std::io::Error::other("expected E or D")),
    }
}

async fn download(mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        stream.write_all(PATTERN.as_slice()).await.0?;
    }
}
