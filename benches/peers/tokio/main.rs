//! tokio on one thread: `server-tokio [best] SHAPE`.
//!
//! Without a word each shape is what tokio's own examples and tutorial make of it: `#[tokio::main(flavor = "current_thread")]`, a
//! `tokio::spawn` for each connection, `read` into a buffer of the connection's own and `write_all`. Its examples' buffers have 1 KiB;
//! here they have the 8 KiB that `copy`, `BufReader` and `BufWriter` have.
//!
//! `best` is what somebody would write who measures: no buffer per idle connection, lines written when no whole one is left
//! to answer, larger blocks, no channel where a write would do.

mod best;
mod plain;

use std::error::Error;
use std::io;
use std::process::ExitCode;

use millrun_benches::contract::{self, Arguments, Shape};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

fn main() -> ExitCode {
    contract::main_with(&["best"], run)
}

#[tokio::main(flavor = "current_thread")]
async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let backend = arguments.backend.ok_or("a relay needs --backend");
    match (arguments.shape, arguments.word.is_some()) {
        (Shape::Echo, false) => serve(plain::echo::echo).await,
        (Shape::Echo, true) => serve(best::echo::echo).await,
        (Shape::Lines, false) => serve(plain::lines::lines).await,
        (Shape::Lines, true) => serve(best::lines::lines).await,
        (Shape::Sink, false) => serve(plain::transfer::sink).await,
        (Shape::Sink, true) => serve(best::transfer::sink).await,
        (Shape::Source, _) => serve(plain::transfer::source).await,
        (Shape::Fanout, false) => {
            let room = plain::fanout::Room::default();
            serve(move |stream| room.clone().join(stream)).await
        }
        (Shape::Fanout, true) => {
            let room = best::fanout::Room::default();
            serve(move |stream| room.clone().join(stream)).await
        }
        (Shape::Relay, false) => {
            let backend = backend?;
            serve(move |stream| plain::relay::relay(stream, backend)).await
        }
        (Shape::Relay, true) => {
            let backend = backend?;
            serve(move |stream| best::relay::relay(stream, backend)).await
        }
        (Shape::Mixed, false) => serve(plain::transfer::mixed).await,
        (Shape::Mixed, true) => serve(best::transfer::mixed).await,
        (other, _) => return Err(format!("no such shape: {other:?}").into()),
    }?;
    Ok(())
}

/// A task for each connection. Its failure is its peer's doing, most often a reset, and ends nothing else.
async fn serve<F>(conversation: impl Fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = listen()?;
    contract::announce(listener.local_addr()?.port())?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(conversation(stream));
    }
}

/// As `TcpListener::bind`, with another backlog than its 1024.
fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    socket.listen(contract::BACKLOG.unsigned_abs())
}
