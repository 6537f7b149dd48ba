//! Each line goes back by itself: read, written, drained. Those that came together leave together all the same.

use std::io;

use millrun_streams::{StreamReader, StreamWriter};

pub(crate) async fn lines(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write(line)?;
        writer.drain().await?;
    }
    Ok(())
}
