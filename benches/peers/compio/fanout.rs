//! One writer, many readers.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use compio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _};
use compio::net::TcpStream;

use super::BLOCK;

/// The subscribers. While a message is on its way they are lent to the tasks that send it.
#[derive(Clone, Default)]
pub(super) struct Hub(Rc<RefCell<Vec<TcpStream>>>);

impl Hub {
    pub(super) async fn serve(self, mut stream: TcpStream) -> io::Result<()> {
        match stream.read_u8().await? {
            b'S' => self.0.borrow_mut().push(stream),
            b'P' => self.publish(stream).await?,
            _ => return Err(io::Error::other("expected P or S")),
        }
        Ok(())
    }

    async fn publish(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut block: Vec<u8> = Vec::with_capacity(BLOCK);
        loop {
            let result;
            (result, block) = stream.read(block).await.into();
            if result? == 0 {
                return Ok(());
            }
            self.deliver(&Bytes::copy_from_slice(&block)).await;
            block.clear();
        }
    }

    /// To everybody at once; waits for the slowest, which is what bounds memory. Who fails has left.
    async fn deliver(&self, message: &Bytes) {
        let subscribers = self.0.take();
        let sending: Vec<_> = subscribers
            .into_iter()
            .map(|mut stream| {
                let message = message.clone();
                compio::runtime::spawn(async move {
                    stream.write_all(message).await.0.ok()?;
                    Some(stream)
                })
            })
            .collect();
        for task in sending {
            let kept = task.await;
            self.0.borrow_mut().extend(kept.ok().flatten());
        }
    }
}
