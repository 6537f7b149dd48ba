//! Small errors of handles: [`LoopClosed`] and [`NoRunningLoop`].

use std::fmt;
use std::io;

/// The loop is closed, or closing: it takes nothing more (L-012).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoopClosed;

/// No loop runs on this thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRunningLoop;

impl fmt::Display for LoopClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the loop is closed")
    }
}

impl fmt::Display for NoRunningLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no loop is running on this thread")
    }
}

impl std::error::Error for LoopClosed {}
impl std::error::Error for NoRunningLoop {}

impl From<LoopClosed> for io::Error {
    #[cold]
    #[inline(never)]
    fn from(error: LoopClosed) -> io::Error {
        io::Error::other(error)
    }
}

impl From<NoRunningLoop> for io::Error {
    fn from(error: NoRunningLoop) -> io::Error {
        io::Error::other(error)
    }
}
