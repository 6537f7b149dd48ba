//! What comes goes back, through one block that all connections share: what a connection reads is written before another one is
//! polled. Only what the kernel does not take is kept with the connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use super::BLOCK;

thread_local! {
    static SHARED: RefCell<Box<[u8]>> = RefCell::new(vec![0; BLOCK].into());
}

pub(crate) async fn echo(mut stream: TcpStream) -> io::Result<()> {
    loop {
        match poll_fn(|cx| poll_echo(&mut stream, cx)).await? {
            Echoed::All => {}
            Echoed::Rest(rest) => stream.write_all(&rest).await?,
            Echoed::End => return Ok(()),
        }
    }
}

enum Echoed {
    All,
    Rest(Vec<u8>),
    End,
}

fn poll_echo(stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<Echoed>> {
    SHARED.with_borrow_mut(|shared| {
        let mut buffer = ReadBuf::new(shared);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
        let data = buffer.filled();
        if data.is_empty() {
            return Poll::Ready(Ok(Echoed::End));
        }
        let written = match Pin::new(stream).poll_write(cx, data) {
            Poll::Ready(written) => written?,
            Poll::Pending => 0,
        };
        Poll::Ready(Ok(match &data[written..] {
            [] => Echoed::All,
            rest => Echoed::Rest(rest.to_vec()),
        }))
    })
}
