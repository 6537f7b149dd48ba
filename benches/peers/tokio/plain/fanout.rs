//! One writer, many readers: a channel and a task for each subscriber, as in tokio's chat example. Its channels are unbounded; these
//! are not, so that the publisher waits for who is behind.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};

use super::BUFFER;

/// Messages that wait for one subscriber.
const WAITING: usize = 16;

#[derive(Default, Clone)]
pub(crate) struct Room(Arc<Mutex<Vec<mpsc::Sender<Bytes>>>>);

impl Room {
    pub(crate) async fn join(self, mut stream: TcpStream) -> io::Result<()> {
        match stream.read_u8().await? {
            b'P' => self.publish(stream).await,
            b'S' => self.subscribe(stream).await,
            _ => Err(io::Error::other("expected P or S")),
        }
    }

    async fn publish(self, mut stream: TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let n = stream.read(&mut buffer).await?;
            if n == 0 {
                return Ok(());
            }
            let data = Bytes::copy_from_slice(&buffer[..n]);
            let mut subscribers = self.0.lock().await;
            let mut gone = false;
            for subscriber in subscribers.iter() {
                gone |= subscriber.send(data.clone()).await.is_err();
            }
            if gone {
                subscribers.retain(|subscriber| !subscriber.is_closed());
            }
        }
    }

    async fn subscribe(self, mut stream: TcpStream) -> io::Result<()> {
        let (sender, mut messages) = mpsc::channel(WAITING);
        self.0.lock().await.push(sender);
        let mut nothing = [0; 64];
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(data) => stream.write_all(&data).await?,
                    None => return Ok(()),
                },
                n = stream.read(&mut nothing) => if n? == 0 {
                    return Ok(()); // it left
                },
            }
        }
    }
}
