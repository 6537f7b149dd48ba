//! What leaves in one send: what is buffered, and behind it what is being written.

use std::io::{self, IoSlice};

use bytes::Bytes;
use millrun_loop::BlockPool;
use millrun_selector::{MAX_SLICES, Socket};

use super::SocketTransport;
use super::state::{SENDING, UNSENT};
use crate::buffer::WriteBuffer;

/// So many pieces go out from an array on the stack. Gathering keeps most sends at one or two.
const FEW: usize = 8;

/// Owned bytes shorter than this are copied to their neighbours when they have to wait: as a piece of their own
/// they would cost more memory and a slice in each send.
const COPIED: usize = 1024;

/// The bytes of one write.
pub(super) enum Data<'a> {
    /// The caller's: copied if they can't leave now.
    One(&'a [u8]),
    /// The same, in pieces.
    Pieces(&'a [&'a [u8]]),
    /// Ours: kept as they are.
    Owned(Bytes),
}

impl Data<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Data::One(piece) => piece.len(),
            Data::Pieces(pieces) => pieces.iter().map(|piece| piece.len()).sum(),
            Data::Owned(bytes) => bytes.len(),
        }
    }

    /// Copies all of it to what is buffered.
    #[inline]
    pub(super) fn gather(&self, buffer: &mut WriteBuffer, pool: &BlockPool) {
        match self {
            Data::One(piece) => buffer.gather(piece, pool),
            Data::Owned(bytes) => buffer.gather(bytes, pool),
            Data::Pieces(pieces) => pieces.iter().for_each(|piece| buffer.gather(piece, pool)),
        }
    }

    /// Buffers all but the first `sent` bytes, which have to wait: owned ones as they are, others as copies.
    pub(super) fn keep(self, mut sent: usize, buffer: &mut WriteBuffer, pool: &BlockPool) {
        match self {
            Data::Owned(bytes) => {
                let left = bytes.slice(sent.min(bytes.len())..);
                if left.len() < COPIED { buffer.copy(&left, pool) } else { buffer.push(left, pool) }
            }
            Data::One(piece) => buffer.copy(&piece[sent.min(piece.len())..], pool),
            Data::Pieces(pieces) => {
                for piece in pieces {
                    let skipped = sent.min(piece.len());
                    sent -= skipped;
                    buffer.copy(&piece[skipped..], pool);
                }
            }
        }
    }

    /// Sends what is buffered and then this, in one call.
    pub(super) fn send_behind(
        &self,
        buffer: &WriteBuffer,
        socket: &dyn Socket,
    ) -> io::Result<usize> {
        match self {
            Data::One([]) => send(buffer, &[], socket),
            Data::One(piece) => send(buffer, &[piece], socket),
            Data::Pieces(pieces) => send(buffer, pieces, socket),
            Data::Owned(bytes) => send(buffer, &[bytes], socket),
        }
    }
}

fn send(buffer: &WriteBuffer, behind: &[&[u8]], socket: &dyn Socket) -> io::Result<usize> {
    match (buffer.single(), behind) {
        (Some(only), []) => return socket.try_write(only),
        (None, [only]) if buffer.is_empty() => return socket.try_write(only),
        _ => {}
    }
    let pieces = buffer.pieces() + behind.len();
    if pieces <= FEW {
        send_pieces(buffer, behind, socket, &mut [IoSlice::new(&[]); FEW])
    } else {
        send_pieces(buffer, behind, socket, &mut vec![IoSlice::new(&[]); pieces.min(MAX_SLICES)])
    }
}

fn send_pieces<'a>(
    buffer: &'a WriteBuffer,
    behind: &[&'a [u8]],
    socket: &dyn Socket,
    slices: &mut [IoSlice<'a>],
) -> io::Result<usize> {
    let mut filled = buffer.slices(slices);
    for (slice, piece) in slices[filled..].iter_mut().zip(behind) {
        *slice = IoSlice::new(piece);
        filled += 1;
    }
    socket.try_write_vectored(&slices[..filled])
}

impl SocketTransport {
    /// Changes the buffer. `f` must be leaf code: the buffer is on the stack meanwhile.
    #[inline]
    pub(super) fn with_buffer<R>(&self, f: impl FnOnce(&mut WriteBuffer, &BlockPool) -> R) -> R {
        let mut buffer = self.buffer.take();
        let value = f(&mut buffer, self.handle().blocks());
        self.put_buffer(buffer);
        value
    }

    /// Puts it back, and keeps the state true to it.
    #[inline]
    pub(super) fn put_buffer(&self, buffer: WriteBuffer) {
        self.state.put(UNSENT, !buffer.is_empty());
        self.fill_buffer(buffer);
    }

    /// Fills the buffer's place, which is empty: there is nothing to drop in it.
    #[inline]
    pub(super) fn fill_buffer(&self, buffer: WriteBuffer) {
        std::mem::forget(self.buffer.replace(buffer));
    }
}

/// The buffer, while it is out of its place to be sent. What a stranger's socket caused to be written meanwhile
/// comes behind.
pub(super) struct Outgoing<'a> {
    pub(super) buffer: WriteBuffer,
    pub(super) home: &'a SocketTransport,
}

impl<'a> Outgoing<'a> {
    #[inline]
    pub(super) fn take(home: &'a SocketTransport) -> Outgoing<'a> {
        home.state.set_for(SENDING, UNSENT);
        Outgoing { buffer: home.buffer.take(), home }
    }
}

impl Drop for Outgoing<'_> {
    #[inline]
    fn drop(&mut self) {
        // Mostly all of it has left, and what stands in its place is as good.
        if !self.buffer.is_empty() {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.append(self.home.buffer.take());
            self.home.put_buffer(buffer);
        }
    }
}
