//! Lines are answered one by one into a buffer, which is written when no whole line is left to answer.

use std::io;

use memchr::memchr;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, BufWriter};
use tokio::net::TcpStream;

pub(crate) async fn lines(mut stream: TcpStream) -> io::Result<()> {
    let (reader, writer) = stream.split();
    let mut reader = BufReader::new(reader);
    let mut writer = BufWriter::new(writer);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).await? == 0 {
            return writer.flush().await;
        }
        writer.write_all(&line).await?;
        if memchr(b'\n', reader.buffer()).is_none() {
            writer.flush().await?;
        }
    }
}
