//! The mechanism: a tick each millisecond that carries bytes from one end to the other.

use std::rc::Rc;
use std::time::Duration;

use millrun::transport::Transport;
use millrun::transport::lifecycle::{Lifecycle, Next};

use crate::pipe::Pipe;

pub(crate) const BYTES_PER_MS: usize = 64 * 1024;

impl Pipe {
    /// Carries what a millisecond carries, if the other end reads, and comes again.
    pub(crate) fn tick(self: &Rc<Self>) {
        let Some(other) = self.other.borrow().upgrade() else { return self.abort() };
        if other.life.get().delivers() && !self.out.borrow().is_empty() {
            let n = self.out.borrow().len().min(BYTES_PER_MS);
            let bytes: Vec<u8> = self.out.borrow_mut().drain(..n).collect();
            if let Some(Ok(Err(error))) = other.slot.call(|p| p.data_received(&bytes)) {
                other.fail(error);
            }
        }
        let low = self.write_buffer_limits().low;
        if self.write_buffer_size() <= low && self.told_to_pause.replace(false) {
            self.slot.call(|p| p.resume_writing());
        }
        if self.write_buffer_size() == 0 {
            let next = self.step(Lifecycle::handle_flushed);
            self.follow(next);
        }
        if !self.life.get().is_ending() {
            let this = self.clone();
            let _ = self.event_loop.call_later(Duration::from_millis(1), move || this.tick());
        }
    }

    /// Does what the lifecycle says.
    pub(crate) fn follow(&self, next: Next) {
        match next {
            Next::Wait | Next::Drain => {}
            Next::ShutDown => self.end_the_other(),
            Next::Lose => {
                self.unsent.set(self.out.take().len());
                let Some(this) = self.this.upgrade() else { return };
                let _ = self.event_loop.call_soon(move || {
                    if this.step(Lifecycle::handle_lost) {
                        this.slot.call(|p| p.connection_lost(None));
                    }
                    this.end_the_other();
                });
            }
        }
    }

    fn end_the_other(&self) {
        let Some(other) = self.other.borrow().upgrade() else { return };
        if other.step(Lifecycle::handle_eof)
            && !matches!(other.slot.call(|p| p.eof_received()), Some(Ok(true)))
        {
            other.close();
        }
    }
}
