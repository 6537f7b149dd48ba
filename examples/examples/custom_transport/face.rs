//! What the pipe shows to protocols and streams: all of [`Transport`] that has no default.

use std::io;

use millrun::transport::lifecycle::Lifecycle;
use millrun::transport::{CloseOutcome, Flow, InvalidLimits, Protocol, Transport, Watermarks};

use crate::pipe::Pipe;

impl Transport for Pipe {
    fn write(&self, data: &[u8]) -> Flow {
        if !self.life.get().takes_writes() {
            return Flow::Closed;
        }
        self.out.borrow_mut().extend(data);
        if self.write_buffer_size() <= self.write_buffer_limits().high {
            return Flow::Open;
        }
        if let (false, Some(this)) = (self.told_to_pause.replace(true), self.this.upgrade()) {
            // Not now: the protocol may be on the stack.
            let _ = self.event_loop.call_soon(move || drop(this.slot.call(|p| p.pause_writing())));
        }
        Flow::Paused
    }

    fn write_eof(&self) {
        let next = self.step(|life| life.handle_write_eof(self.write_buffer_size() == 0));
        self.follow(next);
    }

    fn close(&self) {
        let next = self.step(|life| life.handle_close(self.write_buffer_size() == 0));
        self.follow(next);
    }

    fn abort(&self) {
        let next = self.step(Lifecycle::handle_end);
        self.follow(next);
    }

    fn fail(&self, _: io::Error) {
        self.abort();
    }

    fn is_closing(&self) -> bool {
        self.life.get().is_closing()
    }
    fn close_outcome(&self) -> Option<CloseOutcome> {
        let flushed = (self.unsent.get() == 0).then_some(CloseOutcome::Flushed);
        let outcome = flushed.unwrap_or(CloseOutcome::Unsent(self.unsent.get()));
        self.life.get().is_ending().then_some(outcome)
    }

    fn pause_reading(&self) {
        self.step(Lifecycle::handle_pause);
    }
    fn resume_reading(&self) {
        self.step(Lifecycle::handle_resume);
    }

    fn is_reading(&self) -> bool {
        self.life.get().is_reading()
    }

    fn set_protocol(&self, protocol: Box<dyn Protocol>) {
        let _ = self.slot.set(protocol);
    }

    fn write_buffer_size(&self) -> usize {
        self.out.borrow().len()
    }

    fn write_buffer_limits(&self) -> Watermarks {
        Watermarks::default()
    }

    fn set_write_buffer_limits(&self, limits: Watermarks) -> Result<(), InvalidLimits> {
        Err(InvalidLimits(limits))
    }
}
