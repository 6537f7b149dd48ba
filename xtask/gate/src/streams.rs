//! Servers on streams, one task per connection: an echo, lines, and blocks that are answered with others.

use std::io;

use bytes::Bytes;
use millrun_loop::EventLoop;
use millrun_streams::{StreamReader, StreamWriter, start_server};

use crate::accept::Ended;
use crate::client::block;

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

/// Answers each block with one of its own, which it keeps: `write` has to copy it.
pub(crate) fn serve_own_blocks(ended: usize) -> crate::Outcome {
    serve(ended, own_blocks)
}

/// Answers each block with one that is shared: `write_bytes` does not have to.
pub(crate) fn serve_shared_blocks(ended: usize) -> crate::Outcome {
    serve(ended, shared_blocks)
}

fn serve<F: Future<Output = io::Result<()>> + 'static>(
    ended: usize,
    conversation: fn(StreamReader, StreamWriter, Ended) -> F,
) -> crate::Outcome {
    let mut event_loop = EventLoop::new()?;
    let ended = Ended::new(&event_loop.handle(), ended);
    // No async block around the conversation's own: it would store the ends a second time.
    let handler = move |reader, writer| conversation(reader, writer, ended.clone());
    let starting = async { start_server("127.0.0.1", 0, handler).await };
    let server = event_loop.run_until_complete(starting)??;
    crate::announce_server(&server)?;
    Ok(event_loop.run_forever()?)
}

async fn echo(mut reader: StreamReader, writer: StreamWriter, ended: Ended) -> io::Result<()> {
    loop {
        let data = reader.read(MOST).await?;
        if data.is_empty() {
            break;
        }
        writer.write(data)?;
        writer.drain().await?;
    }
    ended.one();
    Ok(())
}

async fn lines(mut reader: StreamReader, writer: StreamWriter, ended: Ended) -> io::Result<()> {
    loop {
        let line = reader.read_line().await?;
        if line.is_empty() {
            break;
        }
        writer.write(line)?;
        writer.drain().await?;
    }
    ended.one();
    Ok(())
}

async fn own_blocks(
    mut reader: StreamReader,
    writer: StreamWriter,
    ended: Ended,
) -> io::Result<()> {
    let own = block();
    while reader.read_exact(own.len()).await.is_ok() {
        writer.write(&own)?;
        writer.drain().await?;
    }
    ended.one();
    Ok(())
}

async fn shared_blocks(
    mut reader: StreamReader,
    writer: StreamWriter,
    ended: Ended,
) -> io::Result<()> {
    let shared = Bytes::from(block());
    while reader.read_exact(shared.len()).await.is_ok() {
        writer.write_bytes(shared.clone())?;
        writer.drain().await?;
    }
    ended.one();
    Ok(())
}
