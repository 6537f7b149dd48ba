//! The peers' readers and writers.

#[cfg(feature = "smol")]
pub(crate) use self::smol::{smol_records, smol_units};
#[cfg(feature = "tokio")]
pub(crate) use self::tokio::{tokio_records, tokio_units};

/// Bytes that come a chunk at a time, and a sink that counts: sends, bytes.
struct Source<'a> {
    input: &'a [u8],
    chunk: usize,
    left: usize,
}

impl<'a> Source<'a> {
    fn new(input: &'a [u8], chunk: usize) -> Source<'a> {
        Source { input, chunk, left: chunk }
    }

    /// Takes what one receive into so much room would give: no more than is left of the chunk.
    fn take(&mut self, room: usize) -> &'a [u8] {
        let n = room.min(self.left).min(self.input.len());
        let (taken, rest) = self.input.split_at(n);
        self.input = rest;
        self.left = if self.left == n { self.chunk } else { self.left - n };
        taken
    }
}

#[derive(Default)]
struct Counted {
    sends: usize,
    bytes: usize,
}

#[cfg(feature = "tokio")]
mod tokio {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{
        AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter, ReadBuf,
    };

    use super::{Counted, Source};
    use crate::{SMALL, UNITS};

    impl AsyncRead for Source<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            into.put_slice(self.take(into.remaining()));
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Counted {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.sends += 1;
            self.bytes += bytes.len();
            Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    pub(crate) async fn tokio_records(input: &[u8], chunk: usize, count: usize) -> usize {
        let mut reader = BufReader::with_capacity(chunk, Source::new(input, chunk));
        let (mut record, mut bytes) = (Vec::new(), 0);
        for _ in 0..count {
            record.clear();
            bytes += reader.read_until(b'\n', &mut record).await.unwrap();
        }
        bytes
    }

    pub(crate) async fn tokio_units() -> (usize, usize) {
        let mut writer = BufWriter::new(Counted::default());
        for _ in 0..UNITS {
            for _ in 0..16 {
                writer.write_all(&[b'x'; SMALL]).await.unwrap();
            }
            writer.flush().await.unwrap();
        }
        let sent = writer.into_inner();
        (sent.sends, sent.bytes)
    }
}

#[cfg(feature = "smol")]
mod smol {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use smol::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};

    use super::{Counted, Source};
    use crate::{SMALL, UNITS};

    impl AsyncRead for Source<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            into: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let taken = self.take(into.len());
            into[..taken.len()].copy_from_slice(taken);
            Poll::Ready(Ok(taken.len()))
        }
    }

    impl AsyncWrite for Counted {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.sends += 1;
            self.bytes += bytes.len();
            Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    pub(crate) async fn smol_records(input: &[u8], chunk: usize, count: usize) -> usize {
        let mut reader = BufReader::with_capacity(chunk, Source::new(input, chunk));
        let (mut record, mut bytes) = (Vec::new(), 0);
        for _ in 0..count {
            record.clear();
            bytes += reader.read_until(b'\n', &mut record).await.unwrap();
        }
        bytes
    }

    pub(crate) async fn smol_units() -> (usize, usize) {
        let mut writer = BufWriter::new(Counted::default());
        for _ in 0..UNITS {
            for _ in 0..16 {
                writer.write_all(&[b'x'; SMALL]).await.unwrap();
            }
            writer.flush().await.unwrap();
        }
        let sent = writer.into_inner();
        (sent.sends, sent.bytes)
    }
}
