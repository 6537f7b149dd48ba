//! One way: up with a digest, down as much as is asked for, or for ever.

use std::io;
use std::sync::LazyLock;

use millrun_benches::digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::BUFFER;
use super::echo::echo;

static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(digest::pattern);

pub(crate) async fn sink(stream: TcpStream) -> io::Result<()> {
    sink_with(stream, BUFFER).await
}

pub(crate) async fn sink_with(mut stream: TcpStream, buffer: usize) -> io::Result<()> {
    let mut buffer = vec![0; buffer];
    let mut count = 0;
    let mut digest = crc32fast::Hasher::new();
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            break;
        }
        count += n as u64;
        digest.update(&buffer[..n]);
    }
    stream.write_u64(count).await?;
    stream.write_u32(digest.finalize()).await
}

pub(crate) async fn source(mut stream: TcpStream) -> io::Result<()> {
    let count = stream.read_u64().await?;
    send(stream, count).await
}

/// So many bytes of the pattern.
pub(crate) async fn send(mut stream: TcpStream, count: u64) -> io::Result<()> {
    let mut left = count;
    while left > 0 {
        let length = PATTERN.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        stream.write_all(&PATTERN[..length]).await?;
        left -= length as u64;
    }
    Ok(())
}

pub(crate) async fn mixed(mut stream: TcpStream) -> io::Result<()> {
    match stream.read_u8().await? {
        b'E' => echo(stream).await,
        b'D' => send(stream, u64::MAX).await,
        _ => Err(io::Error::other("expected E or D")),
    }
}
