//! The reading half of a connection: [`StreamReader`].

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use millrun_protocol::inbox::{Exact, Line, Need, Peek, Separators, Until, UpTo};
use millrun_protocol::{ReadEnd, ReadError};
use millrun_transport::Transport;

/// Reads bytes, which it lends: a result is a slice of what the reader owns, good until its next call. No
/// copy, and no allocation while the consumer keeps up.
///
/// # Cancel safety
/// Every method: a future that is dropped at any await has taken nothing, and the next read works (ST-046).
/// What [`read_to_end`](StreamReader::read_to_end) has moved is in the caller's vector (D-05).
///
/// # The end
/// Bytes come first, then the end of file or the error that followed them (D-04). The error comes
/// again at each later read (ST-013).
///
/// # Memory
/// At most `max(2 * limit, what a pending read needs)` bytes, rounded up to blocks; none while all is
/// read and a read waits. See [`Intake`](millrun_protocol::inbox::Intake).
///
/// # Drop
/// What was not read and what still comes is discarded; an error still ends the connection, and the
/// writer goes on. When the writer was dropped too, the connection is closed: flushed, with the
/// deadline of any close, never aborted.
#[doc(alias = "asyncio.StreamReader")]
pub struct StreamReader(ReadEnd);

impl StreamReader {
    pub(crate) fn new(end: ReadEnd) -> StreamReader {
        StreamReader(end)
    }

    /// Up to `max` bytes, as soon as there is one; empty at the end of file, or when `max` is 0. The
    /// limit does not matter (ST-010).
    ///
    /// # Errors
    /// The connection's.
    ///
    /// # Cancel safety
    /// Nothing is taken.
    pub fn read(&mut self, max: usize) -> impl Future<Output = io::Result<&[u8]>> {
        Reading::new(&mut self.0, UpTo(max), |read| Ok(lent(read?)))
    }

    /// Exactly `n` bytes, beyond the limit too (ST-037).
    ///
    /// # Errors
    /// [`ReadError::Incomplete`] when the end of file comes first: it owns what there was. The
    /// connection's error; what came before it stays readable.
    ///
    /// # Cancel safety
    /// Nothing is taken.
    #[doc(alias = "readexactly")]
    pub fn read_exact(&mut self, n: usize) -> impl Future<Output = Result<&[u8], ReadError>> {
        Reading::new(&mut self.0, Exact(n), |read| Ok(lent(read?)))
    }

    /// A line with its `\n`; at the end of file what there is of one, and then empty (ST-019).
    ///
    /// # Errors
    /// [`ReadError::LimitOverrun`] when the line without its newline is longer than the limit; it stays
    /// in the buffer (D-06). The connection's error.
    ///
    /// # Cancel safety
    /// Nothing is taken.
    #[doc(alias = "readline")]
    pub fn read_line(&mut self) -> impl Future<Output = Result<&[u8], ReadError>> {
        Reading::new(&mut self.0, Line::default(), |read| Ok(lent(read?)))
    }

    /// The next line, or `None` at the end of file (ST-039).
    ///
    /// # Errors
    /// As [`read_line`](StreamReader::read_line).
    ///
    /// # Cancel safety
    /// Nothing is taken.
    #[doc(alias = "__anext__")]
    pub fn next_line(&mut self) -> impl Future<Output = Result<Option<&[u8]>, ReadError>> {
        Reading::new(&mut self.0, Line::default(), |read| {
            Ok(Some(lent(read?)).filter(|line| !line.is_empty()))
        })
    }

    /// Everything up to a separator and the separator itself: one (`b"\r\n"`) or any of several
    /// (`&[b"\n", b"\r\n"]` as slices), of which the match that ends first counts.
    ///
    /// # Errors
    /// [`ReadError::LimitOverrun`] when the bytes before the separator are more than the limit; they
    /// stay in the buffer. [`ReadError::Incomplete`] when the end of file comes first: it owns what
    /// there was. [`ReadError::EmptySeparator`]. The connection's error.
    ///
    /// # Cancel safety
    /// Nothing is taken.
    #[doc(alias = "readuntil")]
    pub async fn read_until<'a>(
        &'a mut self,
        separators: impl Into<Separators<'a>>,
    ) -> Result<&'a [u8], ReadError> {
        let need = Until::new(separators.into())?;
        Reading::new(&mut self.0, need, |read| Ok(lent(read?))).await
    }

    /// What has arrived, at least a byte, without taking it; empty at the end of file.
    ///
    /// # Errors
    /// The connection's.
    ///
    /// # Cancel safety
    /// Nothing is ever taken.
    pub fn peek(&mut self) -> impl Future<Output = io::Result<&[u8]>> {
        Reading::new(&mut self.0, Peek, |read| Ok(read?.0.unread()))
    }

    /// Up to `buffer.len()` bytes into the caller's memory, as soon as there is one; says how many. 0 at the
    /// end of file.
    ///
    /// # Errors
    /// The connection's.
    ///
    /// # Cancel safety
    /// Nothing is taken.
    pub fn read_into<'a>(
        &'a mut self,
        buffer: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + use<'a> {
        Reading::new(&mut self.0, UpTo(buffer.len()), |read| {
            let data = lent(read?);
            buffer[..data.len()].copy_from_slice(data);
            Ok(data.len())
        })
    }

    /// As [`read`](StreamReader::read), as owned bytes: a copy, which outlives the next read.
    ///
    /// # Errors
    /// The connection's.
    ///
    /// # Cancel safety
    /// Nothing is taken.
    pub fn read_bytes(&mut self, max: usize) -> impl Future<Output = io::Result<Bytes>> {
        Reading::new(&mut self.0, UpTo(max), |read| Ok(Bytes::copy_from_slice(lent(read?))))
    }

    /// Everything up to the end of file, appended to `out`; says how many bytes that were.
    ///
    /// # Errors
    /// The connection's. What came before it has been appended.
    ///
    /// # Cancel safety
    /// What has been appended stays in `out`, and nothing else is taken (D-05).
    #[doc(alias = "read(-1)")]
    pub async fn read_to_end(&mut self, out: &mut Vec<u8>) -> io::Result<usize> {
        let before = out.len();
        loop {
            let data = self.read(usize::MAX).await?;
            if data.is_empty() {
                return Ok(out.len() - before);
            }
            out.extend_from_slice(data);
        }
    }

    /// The end of file has come and every byte before it was read.
    pub fn at_eof(&self) -> bool {
        self.0.at_eof()
    }

    /// How many bytes have arrived and were not read.
    pub fn buffered(&self) -> usize {
        self.0.buffered()
    }

    /// The limit, in bytes.
    pub fn limit(&self) -> usize {
        self.0.limit()
    }

    /// How much memory the connection owns for receiving, in bytes.
    pub fn memory(&self) -> usize {
        self.0.memory()
    }

    /// The error behind the last byte, if the connection ended with one.
    #[doc(alias = "exception")]
    pub fn error(&self) -> Option<io::Error> {
        self.0.error()
    }

    /// The transport below.
    pub fn transport(&self) -> &Rc<dyn Transport> {
        self.0.transport()
    }
}

/// What is buffered, without the bytes (ST-048).
impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StreamReader").field(&self.0).finish()
    }
}

/// A read that is done: who lends, and how much was taken.
type Read<'a> = (&'a ReadEnd, usize);

#[inline]
fn lent((end, n): Read<'_>) -> &[u8] {
    end.lent(n)
}

/// A read under way: holds the reader until the need is met, then gives it to `finish`, which makes the
/// result from what it lends.
struct Reading<'a, N: Need, F> {
    /// `None` when it is done.
    read: Option<(&'a mut ReadEnd, F)>,
    need: N,
}

impl<'a, N, F, T> Reading<'a, N, F>
where
    N: Need,
    F: FnOnce(Result<Read<'a>, ReadError>) -> T,
{
    fn new(end: &'a mut ReadEnd, need: N, finish: F) -> Reading<'a, N, F> {
        Reading { read: Some((end, finish)), need }
    }
}

impl<'a, N, F, T> Future for Reading<'a, N, F>
where
    N: Need + Unpin,
    F: FnOnce(Result<Read<'a>, ReadError>) -> T + Unpin,
{
    type Output = T;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        // Polled after it was done: nothing to wait for, nothing to give.
        let Some((end, finish)) = this.read.take() else { return Poll::Pending };
        // Each with a call of its own: one for both would have them meet in memory.
        if let Some(n) = end.glance(&mut this.need) {
            let result = finish(Ok((&*end, n)));
            // So it is already. Told again, the drop that follows need not ask.
            this.read = None;
            return Poll::Ready(result);
        }
        let waits = end.waits(&mut this.need, cx);
        // Put back first: what follows may run a stranger's waker, and if that panics, the drop gives the read up.
        let (end, _) = this.read.insert((end, finish));
        if waits {
            return Poll::Pending;
        }
        let Poll::Ready(result) = end.poll_further(&mut this.need, cx) else {
            return Poll::Pending;
        };
        let Some((end, finish)) = this.read.take() else { return Poll::Pending };
        Poll::Ready(finish(result.map(|n| (&*end, n))))
    }
}

impl<N: Need, F> Drop for Reading<'_, N, F> {
    #[inline]
    fn drop(&mut self) {
        if let Some((end, _)) = &mut self.read {
            end.forget();
        }
    }
}
