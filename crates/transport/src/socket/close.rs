//! Who ends a connection, and by when?

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use millrun_loop::{ErrorContext, catch};
use millrun_selector::Time;

use super::call::{copy_of, is_of_the_system};
use super::state::{BLOCKED, SENDING, UNSENT};
use super::{Operation, SocketTransport};
use crate::CloseTimedOut;
use crate::lifecycle::{Lifecycle, Next};

impl SocketTransport {
    /// Closes in order; with `total`, in that time, progress or not.
    pub(super) fn begin_close(&self, total: Option<Duration>) {
        if let Some(total) = total {
            self.limit_close(total);
        }
        let was_flushing = self.state.life().is_flushing();
        self.send_buffered();
        let empty = !self.state.has(UNSENT | SENDING);
        let next = self.step(|life| life.handle_close(empty));
        self.follow(next, None);
        // Mostly it is over with that.
        if !self.state.life().is_ending() {
            self.begin_flush(was_flushing, total.is_some());
        }
    }

    #[inline(never)]
    fn begin_flush(&self, was_flushing: bool, is_limited: bool) {
        if !was_flushing {
            self.update_interest();
        }
        if self.state.life().is_flushing() && (!was_flushing || is_limited) {
            self.arm_deadline(!was_flushing);
        }
    }

    #[cold]
    fn limit_close(&self, total: Duration) {
        let by = self.handle().now() + total;
        if !self.state.life().is_ending() {
            self.rare(|rare| rare.close_by = Some(rare.close_by.map_or(by, |was| was.min(by))));
        }
    }

    /// Ends the connection now, for this reason. The first end wins (T-019).
    pub(super) fn end(&self, error: Option<io::Error>) {
        let next = self.step(Lifecycle::handle_end);
        self.follow(next, error);
    }

    /// Does what the lifecycle says.
    pub(super) fn follow(&self, next: Next, error: Option<io::Error>) {
        match next {
            Next::Lose if error.is_none() && !self.state.has(UNSENT) => self.lose(),
            _ => self.follow_rarely(next, error),
        }
    }

    #[inline(never)]
    fn follow_rarely(&self, next: Next, error: Option<io::Error>) {
        match next {
            Next::Wait => self.drop_error(error),
            Next::ShutDown => self.shut_down(),
            Next::Drain => self.queue_drain(),
            Next::Lose => {
                let unsent = self.drop_buffered();
                let second = self.rare(|rare| {
                    rare.unsent += unsent;
                    match rare.error {
                        Some(_) => error,
                        None => std::mem::replace(&mut rare.error, error),
                    }
                });
                self.lose();
                self.drop_error(second);
            }
        }
    }

    /// Nothing more is read or written: `connection_lost` is due.
    fn lose(&self) {
        self.state.clear(BLOCKED);
        self.cancel_timer();
        self.queue_lost();
    }

    /// Nobody gets this error: another one came first. What is inside may be a stranger's, and its drop too.
    #[inline]
    pub(super) fn drop_error(&self, error: Option<io::Error>) {
        if let Some(error) = error {
            self.drop_error_now(error);
        }
    }

    #[cold]
    fn drop_error_now(&self, error: io::Error) {
        if let Err(panic) = catch(move || drop(error)) {
            self.report(ErrorContext::new("dropping an error failed").panic(panic));
        }
    }

    fn shut_down(&self) {
        let shut = catch(|| self.socket(|socket| socket.shutdown(Shutdown::Write)));
        match shut.unwrap_or_else(|panic| Some(Err(io::Error::other(panic)))) {
            None | Some(Ok(())) => {}
            // The peer is gone already: reading tells.
            Some(Err(error)) if error.kind() == io::ErrorKind::NotConnected => {
                tracing::debug!("{self:?}: shutdown failed: {error}");
            }
            // Else the peer would wait for an end of file that never comes.
            Some(Err(error)) => self.write_failed(Operation::Shutdown, error, 0),
        }
    }

    pub(super) fn end_writing(&self) {
        if self.state.life().takes_writes() {
            self.send_buffered();
        }
        let empty = !self.state.has(UNSENT | SENDING);
        let next = self.step(|life| life.handle_write_eof(empty));
        self.follow(next, None);
    }

    /// An error of the system is logged by whoever saw it; any other is a program's.
    pub(super) fn report_write_error(&self, error: &io::Error) {
        const WHAT: &str = "fatal write error on socket transport";
        if !is_of_the_system(error) {
            self.report(ErrorContext::new(WHAT).error(copy_of(error)));
        }
    }

    pub(super) fn set_close_timeout_to(&self, timeout: Duration) {
        self.rare(|rare| rare.close_timeout = Some(timeout));
        if self.state.life().is_flushing() {
            self.arm_deadline(false);
        }
    }

    /// A flush that makes no progress must end. The timer is not moved by each progress: when it is due,
    /// it looks whether there was any.
    fn arm_deadline(&self, from_now: bool) {
        if from_now {
            let now = self.handle().now();
            self.rare(|rare| rare.progress = now);
        }
        self.cancel_timer();
        let (due, this) = (self.close_due(), self.this.clone());
        let timer = self.handle().call_at(due, move || {
            if let Some(transport) = this.upgrade() {
                transport.deadline();
            }
        });
        match timer {
            Ok(timer) => self.rare(|rare| rare.timer = Some(timer)),
            // No timer will fire any more: the loop is closing, and ends it.
            Err(closed) => tracing::debug!("{self:?}: no close deadline: {closed}"),
        }
    }

    fn close_due(&self) -> Time {
        let default = self.common.close_timeout;
        self.rare(|rare| {
            let idle = rare.progress + rare.close_timeout.unwrap_or(default);
            rare.close_by.map_or(idle, |by| by.min(idle))
        })
    }

    fn deadline(&self) {
        if !self.state.life().is_flushing() {
            return;
        }
        if self.handle().now() < self.close_due() {
            return self.arm_deadline(false);
        }
        let unsent = self.buffered();
        self.end(Some(io::Error::new(io::ErrorKind::TimedOut, CloseTimedOut { unsent })));
    }

    #[inline]
    pub(super) fn cancel_timer(&self) {
        if self.has_rare() {
            self.cancel_timer_now();
        }
    }

    #[inline(never)]
    fn cancel_timer_now(&self) {
        if let Some(timer) = self.peek(|rare| rare.timer.take()) {
            timer.cancel();
        }
    }
}
