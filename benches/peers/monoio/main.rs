//! monoio on io_uring: its single-threaded runtime, a task for each connection, buffers that are lent to the kernel and come back with
//! the result, as monoio's own examples have it (`echo` is the echo, `proxy` the relay), with their buffers of 8 KiB.
//!
//! Where it differs from the obvious: monoio's `io::copy` moves 4 KiB at a time, so its examples' own loop is used instead; a message
//! of the fan-out is sent by a task for each subscriber, so that one `io_uring_enter` submits all of them, where a plain loop
//! would make a system call for each. A buffer waits in the kernel for each idle connection, which is the price of completions.

mod fanout;

use std::future::Future;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::Duration;

use millrun_benches::contract::{self, Arguments, Shape};
use millrun_benches::digest;
use monoio::io::{
    AsyncBufReadExt as _, AsyncReadRent, AsyncReadRentExt as _, AsyncWriteRent,
    AsyncWriteRentExt as _, BufReader, Splitable as _,
};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};

/// What monoio's examples read at a time.
const BUFFER: usize = 8 * 1024;

/// What is read at a time of a transfer.
const BLOCK: usize = 65_536;

/// How long to wait for descriptors when there are none left to accept with.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(digest::pattern);

fn main() -> ExitCode {
    if !monoio::utils::detect_uring() {
        eprintln!(
            "monoio: io_uring can't be set up here (kernel.io_uring_disabled, or an old kernel)"
        );
        return ExitCode::from(contract::NO_SUCH_SHAPE);
    }
    contract::main(|arguments| {
        let mut runtime = RuntimeBuilder::<IoUringDriver>::new().build()?;
        runtime.block_on(serve(arguments))
    })
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
                monoio::spawn(serve(stream));
            }
            Ok(_) => {} // it is gone already
            // All wait: the runtime's timers are off, which is its default, and cost something in each turn.
            Err(_) => std::thread::sleep(ACCEPT_AGAIN),
        }
    }
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer: Vec<u8> = Vec::with_capacity(BUFFER);
    let mut result;
    loop {
        (result, buffer) = stream.read(buffer).await;
        if result? == 0 {
            return Ok(());
        }
        (result, buffer) = stream.write_all(buffer).await;
        result?;
        buffer.clear();
    }
}

async fn lines(stream: TcpStream) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).await? > 0 {
        let result;
        (result, line) = writer.write_all(line).await;
        result?;
        line.clear();
    }
    Ok(())
}

async fn sink(mut stream: TcpStream) -> std::io::Result<()> {
    let mut hasher = crc32fast::Hasher::new();
    let mut count = 0_u64;
    let mut block: Vec<u8> = Vec::with_capacity(BLOCK);
    loop {
        let result;
        (result, block) = stream.read(block).await;
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
    let server = TcpStream::connect_addr(backend).await?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (up, down) = monoio::join!(
        one_way(&mut from_client, &mut to_server),
        one_way(&mut from_server, &mut to_client),
    );
    up.and(down)
}

/// All that comes, then its end. A failure is an end, too: it makes the other side end its direction.
async fn one_way(
    from: &mut impl AsyncReadRent,
    to: &mut impl AsyncWriteRent,
) -> std::io::Result<()> {
    let result = copy(from, to).await;
    let ended = to.shutdown().await;
    result.and(ended)
}

async fn copy(from: &mut impl AsyncReadRent, to: &mut impl AsyncWriteRent) -> std::io::Result<()> {
    let mut buffer: Vec<u8> = Vec::with_capacity(BUFFER);
    let mut result;
    loop {
        (result, buffer) = from.read(buffer).await;
        if result? == 0 {
            return Ok(());
        }
        (result, buffer) = to.write_all(buffer).await;
        result?;
        buffer.clear();
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
