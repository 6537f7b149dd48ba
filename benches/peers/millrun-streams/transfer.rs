//! One way: up with a digest, down as much as is asked for, or for ever.

use std::io;

use bytes::Bytes;
use millrun_benches::digest;
use millrun_streams::{StreamReader, StreamWriter};

use crate::echo::{MOST, echo};

/// What is sent, shared by all connections.
pub(crate) fn pattern() -> Bytes {
    digest::pattern().into()
}

pub(crate) async fn sink(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    let mut count = 0_u64;
    let mut digest = crc32fast::Hasher::new();
    loop {
        let data = reader.read(MOST).await?;
        if data.is_empty() {
            break;
        }
        count += data.len() as u64;
        digest.update(data);
    }
    writer.write(&count.to_be_bytes())?;
    writer.write(&digest.finalize().to_be_bytes())?;
    Ok(())
}

pub(crate) async fn source(
    mut reader: StreamReader,
    writer: StreamWriter,
    pattern: Bytes,
) -> io::Result<()> {
    let count = reader.read_exact(size_of::<u64>()).await?.try_into().map_err(io::Error::other)?;
    send(&writer, pattern, u64::from_be_bytes(count)).await
}

/// Not copied: what the kernel does not take yet is kept as the share of the pattern that it is.
async fn send(writer: &StreamWriter, pattern: Bytes, count: u64) -> io::Result<()> {
    let mut left = count;
    while left > 0 {
        let length = pattern.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        writer.write_bytes(pattern.slice(..length))?;
        writer.drain().await?;
        left -= length as u64;
    }
    Ok(())
}

pub(crate) async fn mixed(
    mut reader: StreamReader,
    writer: StreamWriter,
    pattern: Bytes,
) -> io::Result<()> {
    match *reader.read_exact(1).await? {
        [b'E'] => echo(reader, writer).await,
        [b'D'] => send(&writer, pattern, u64::MAX).await,
        _ => Err(io::Error::other("expected E or D")),
    }
}
