//! Servers on streams, one task per connection: an echo, and lines.

use std::io;

use millrun_streams::{StreamReader, StreamWriter, stream};
use millrun_transport::{TransportFamily, TransportOptions};

use crate::accept::{self, Ended};

/// More than any message.
const MOST: usize = 64 * 1024;

/// Echoes what comes, until so many connections ended.
pub(crate) fn serve_echo(ended: usize) -> crate::Outcome {
    serve(ended, echo)
}

/// Answers each line with itself, until so many connections ended.
pub(crate) fn serve_lines(ended: usize) -> crate::Outcome {
    serve(ended, lines)
}

fn serve(
    ended: usize,
    conversation: impl AsyncFn(StreamReader, StreamWriter) -> io::Result<()> + Copy + 'static,
) -> crate::Outcome {
    accept::serve(ended, |handle| {
        let handle = handle.clone();
        let family = TransportFamily::new(&handle, &TransportOptions::default(), None)?;
        Ok(move |socket, ended: Ended| {
            let family = family.clone();
            handle.spawn(async move {
                let made = stream(|protocol| family.transport(socket, protocol, None, 0)).await;
                let outcome = match made {
                    Ok((reader, writer)) => conversation(reader, writer).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = outcome {
                    accept::give_up(&error);
                }
                ended.one();
            });
            Ok(())
        })
    })
}

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    loop {
        let data = reader.read(MOST).await?;
        if data.is_empty() {
            break;
        }
        writer.write(data)?;
        writer.drain().await?;
    }
    writer.close().await.map(drop)
}

async fn lines(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    loop {
        let line = reader.read_line().await?;
        if line.is_empty() {
            break;
        }
        writer.write(line)?;
        writer.drain().await?;
    }
    writer.close().await.map(drop)
}
