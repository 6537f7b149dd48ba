//! Between a peer and a backend: each side's bytes go to the other, at the pace of who reads them; each side's end of file too.

use std::io;
use std::net::SocketAddr;

use millrun_loop::spawn;
use millrun_streams::{OpenConnection, StreamReader, StreamWriter};
use millrun_transport::Connect;

use crate::echo::MOST;

pub(crate) async fn relay(
    backend: SocketAddr,
    near_reader: StreamReader,
    near_writer: StreamWriter,
) -> io::Result<()> {
    let far = OpenConnection::from(Connect::address(backend));
    let (far_reader, far_writer) = far.await?;
    let there = spawn(pump(near_reader, far_writer));
    let back = pump(far_reader, near_writer).await;
    there.await??;
    back
}

async fn pump(mut from: StreamReader, to: StreamWriter) -> io::Result<()> {
    let outcome = copy(&mut from, &to).await;
    if outcome.is_err() {
        to.abort(); // what is cut short must not look complete
    }
    outcome // who drops a writer ends its direction, after what is buffered
}

async fn copy(from: &mut StreamReader, to: &StreamWriter) -> io::Result<()> {
    loop {
        let data = from.read(MOST).await?;
        if data.is_empty() {
            return Ok(());
        }
        to.write(data)?;
        to.drain().await?;
    }
}
