//! What comes goes back, at the pace of who reads it.

use std::io;

use millrun_streams::{StreamReader, StreamWriter};

/// The most that one read lends.
pub(crate) const MOST: usize = 64 * 1024;

pub(crate) async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    loop {
        let data = reader.read(MOST).await?;
        if data.is_empty() {
            return Ok(()); // who drops both ends closes, flushing first
        }
        writer.write(data)?;
        writer.drain().await?;
    }
}
