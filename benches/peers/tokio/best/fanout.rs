//! One writer, many readers: the publisher writes to the subscribers itself, without a channel, a task switch or a copy. It waits for
//! each that is behind.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;

use super::BLOCK;

#[derive(Default, Clone)]
pub(crate) struct Room(Arc<Mutex<HashMap<SocketAddr, OwnedWriteHalf>>>);

impl Room {
    pub(crate) async fn join(self, mut stream: TcpStream) -> io::Result<()> {
        match stream.read_u8().await? {
            b'P' => self.publish(stream).await,
            b'S' => self.subscribe(stream).await,
            _ => Err(io::Error::other("expected P or S")),
        }
    }

    async fn publish(self, mut stream: TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; BLOCK];
        loop {
            let n = stream.read(&mut buffer).await?;
            if n == 0 {
                return Ok(());
            }
            for subscriber in self.0.lock().await.values_mut() {
                // One that is gone can't be written to, which is for its own task to find out.
                let _ = subscriber.write_all(&buffer[..n]).await;
            }
        }
    }

    async fn subscribe(self, stream: TcpStream) -> io::Result<()> {
        let address = stream.peer_addr()?;
        let (mut reader, writer) = stream.into_split();
        self.0.lock().await.insert(address, writer);
        let outcome = until_it_leaves(&mut reader).await;
        self.0.lock().await.remove(&address);
        outcome
    }
}

async fn until_it_leaves(reader: &mut OwnedReadHalf) -> io::Result<()> {
    let mut nothing = [0; 64];
    while reader.read(&mut nothing).await? > 0 {}
    Ok(())
}
