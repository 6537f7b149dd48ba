//! What most connections never need: [`Rare`], allocated when the first of it is.

use std::io;
use std::time::Duration;

use millrun_loop::TimerHandle;
use millrun_selector::{Address, Time};

use super::SocketTransport;
use super::read::Failure;
use crate::Watermarks;

#[derive(Default)]
pub(super) struct Rare {
    /// What `connection_lost` will be given: the first error, whatever came after it.
    pub(super) error: Option<io::Error>,
    /// Accepted bytes that were dropped.
    pub(super) unsent: usize,
    /// Marks of its own, other than the family's.
    pub(super) marks: Option<Watermarks>,
    /// A peer address that does not fit into [`Peer`](super::Peer).
    pub(super) peer: Option<Address>,
    /// Asked for before the socket was closed, if anybody was left who could want it.
    pub(super) local: Option<Address>,
    /// A close timeout of its own.
    pub(super) close_timeout: Option<Duration>,
    /// When the close must be over, progress or not.
    pub(super) close_by: Option<Time>,
    /// When the kernel last took bytes while closing.
    pub(super) progress: Time,
    /// The close's deadline, or that of the linger.
    pub(super) timer: Option<TimerHandle>,
    /// Of a receive, until the protocol is home.
    pub(super) failure: Option<Failure>,
    /// Bytes read since a write failed, or discarded by the linger.
    pub(super) taken: usize,
}

impl SocketTransport {
    /// There is a rare part.
    #[inline]
    pub(super) fn has_rare(&self) -> bool {
        let rare = self.rare.take();
        let has = rare.is_some();
        std::mem::forget(self.rare.replace(rare)); // it was taken out: there is none
        has
    }

    /// Looks at the rare part, if there is one. `f` must be leaf code: the part is on the stack meanwhile.
    #[inline]
    pub(super) fn peek<R>(&self, f: impl FnOnce(&mut Rare) -> Option<R>) -> Option<R> {
        if self.has_rare() { self.peek_now(f) } else { None }
    }

    #[cold]
    #[inline(never)]
    fn peek_now<R>(&self, f: impl FnOnce(&mut Rare) -> Option<R>) -> Option<R> {
        let mut rare = self.rare.take()?;
        let value = f(&mut rare);
        self.rare.set(Some(rare));
        value
    }

    /// Changes the rare part, which is made if there is none. `f` must be leaf code.
    #[cold]
    #[inline(never)]
    pub(super) fn rare<R>(&self, f: impl FnOnce(&mut Rare) -> R) -> R {
        let mut rare = self.rare.take().unwrap_or_default();
        let value = f(&mut rare);
        self.rare.set(Some(rare));
        value
    }
}
