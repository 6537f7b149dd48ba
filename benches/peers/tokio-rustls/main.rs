//! tokio-rustls on one thread: `server-tokio-rustls [best] echo --certificate DIRECTORY`.
//!
//! Without a word it is what its examples make of it: a task for each connection, `accept`, `read` into a buffer of the connection's
//! own (8 KiB, as `copy` has), `write_all`, `flush`, and `shutdown` at the end, which says it to the peer.
//!
//! `best` is what somebody would write who measures: rustls reads a few KiB at a time from what it is given, so that is a `BufReader` of
//! 64 KiB, and what it opened is taken as one block.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use millrun_benches::contract::{self, Arguments, Shape};
use millrun_benches::tls;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The buffer of `copy`, in bytes.
const BUFFER: usize = 8 * 1024;

/// What one read moves at most, in bytes.
const BLOCK: usize = 64 * 1024;

fn main() -> ExitCode {
    contract::main_with(&["best"], run)
}

#[tokio::main(flavor = "current_thread")]
async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    if arguments.shape != Shape::Echo {
        return Err(format!("no such shape: {:?}", arguments.shape).into());
    }
    let directory = arguments.certificate.ok_or("expected --certificate")?;
    let acceptor = TlsAcceptor::from(tls::server(&directory)?);
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener = socket.listen(contract::BACKLOG.unsigned_abs())?;
    contract::announce(listener.local_addr()?.port())?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let acceptor = acceptor.clone();
        if arguments.word.is_some() {
            tokio::spawn(best(acceptor, stream));
        } else {
            tokio::spawn(plain(acceptor, stream));
        }
    }
}

async fn plain(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
    echo(acceptor.accept(stream).await?, BUFFER).await
}

async fn best(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
    let stream = BufReader::with_capacity(BLOCK, stream);
    echo(acceptor.accept(stream).await?, BLOCK).await
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin, buffer: usize) -> io::Result<()> {
    let mut buffer = vec![0; buffer];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(&buffer[..n]).await?;
        stream.flush().await?;
    }
}
