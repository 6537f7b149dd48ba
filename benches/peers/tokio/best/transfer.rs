//! One way, in larger blocks.

use std::io;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::BLOCK;
use super::echo::echo;
use crate::plain::transfer::{send, sink_with};

pub(crate) async fn sink(stream: TcpStream) -> io::Result<()> {
    sink_with(stream, BLOCK).await
}

pub(crate) async fn mixed(mut stream: TcpStream) -> io::Result<()> {
    match stream.read_u8().await? {
        b'E' => echo(stream).await,
        b'D' => send(stream, u64::MAX).await,
        _ => Err(io::Error::other("expected E or D")),
    }
}
