//! [`run`]: a loop for one program.

use std::io;

use millrun_loop::EventLoop;

/// Makes a loop, runs `main` in it to its end, closes the loop and gives what `main` gave: asyncio's
/// `run`.
///
/// What still runs when `main` returns ends there: each live connection gets `connection_lost` (bytes
/// that the kernel had not taken are dropped: `close().await` what must arrive), then each task's
/// future is dropped, unfinished, at the await where it stands, as abort would. Tasks that must
/// finish are awaited by their `JoinHandle` in `main`.
///
/// # Errors
/// When the system refuses a loop (no descriptor left), when a loop runs already in this thread, or
/// when `main` was cut short by [`LoopHandle::stop`](millrun_loop::LoopHandle::stop).
///
/// # Panics
/// A panic of `main` itself goes through, after the loop was closed; one of a task does not.
pub fn run<F: Future>(main: F) -> io::Result<F::Output> {
    EventLoop::new()?.run_until_complete(main).map_err(io::Error::other)
}
