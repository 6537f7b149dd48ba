//! One socket on its way to being connected: [`Connecting`].

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use millrun_loop::LoopHandle;
use millrun_selector::{ConnectOptions, Interest, Key, Socket};

use super::flag::Flag;
use super::plan::Try;

/// A connect that was issued; resolves to the connected socket.
///
/// Cancel-safe: dropping it at any time deregisters the socket and then closes it (C-014).
#[doc(alias = "sock_connect")]
pub(crate) struct Connecting {
    handle: LoopHandle,
    /// `None` once it was handed out.
    socket: Option<Box<dyn Socket>>,
    /// `None` while the socket needs no waiting for.
    key: Option<Key>,
    ready: Rc<Flag>,
}

impl Connecting {
    /// Makes the socket and issues the connect.
    ///
    /// # Errors
    /// What is known at once: no descriptor left, a bind that failed, a refusal.
    pub(crate) fn start(handle: &LoopHandle, attempt: &Try) -> io::Result<Connecting> {
        let mut options = ConnectOptions::default();
        options.local = attempt.local.clone();
        let socket = handle.network().connect(&attempt.remote, &options)?;
        let ready = Rc::new(Flag::default());
        // Many connects (Unix sockets, loopback) are through at once: then nothing is registered.
        let key = match socket.peer_addr() {
            Ok(_) => None,
            Err(_) => Some(handle.watch(&socket, Interest::WRITE, ready.clone())?),
        };
        Ok(Connecting { handle: handle.clone(), socket: Some(socket), key, ready })
    }

    /// The registration must be gone before the descriptor is closed or registered anew.
    fn deregister(&mut self) {
        if let (Some(key), Some(socket)) = (self.key.take(), &self.socket) {
            // Fails only on a closed loop, which has forgotten the registration already.
            let _ = self.handle.unwatch(key, socket);
        }
    }
}

impl Future for Connecting {
    type Output = io::Result<Box<dyn Socket>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.key.is_some() {
            ready!(self.ready.poll_raised(cx));
            self.deregister();
        }
        let Some(socket) = self.socket.take() else {
            return Poll::Ready(Err(io::Error::other("a finished connect was polled again")));
        };
        // The kernel's verdict; an error closes the socket here.
        Poll::Ready(match socket.take_error() {
            Ok(None) => Ok(socket),
            Ok(Some(error)) | Err(error) => Err(error),
        })
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        self.deregister();
    }
}

impl fmt::Debug for Connecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connecting").field("socket", &self.socket).finish_non_exhaustive()
    }
}
