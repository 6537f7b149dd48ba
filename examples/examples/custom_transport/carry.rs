//! The mechanism: a tick each millisecond that brings what the other end has sent.

use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use millrun::event_loop::ErrorContext;
use millrun::transport::lifecycle::Lifecycle;
use millrun::transport::pressure::Signal;
use millrun::transport::{Protocol, Transport};

use crate::pipe::Pipe;

pub(crate) const BYTES_PER_MS: usize = 64 * 1024;

impl Pipe {
    /// Brings what a millisecond brings, and comes again.
    pub(crate) fn tick(self: &Rc<Self>) {
        let Some(other) = self.other.borrow().upgrade() else { return self.abort() };
        self.receive(&other);
        let life = self.life.get();
        let heard_all = life.saw_eof() || life.is_closing();
        if heard_all && other.life.get().is_ending() && !self.out.borrow().is_empty() {
            self.end(Some(ErrorKind::BrokenPipe.into())); // nobody will take it
        }
        self.settle();
        if self.out.borrow().is_empty() {
            self.follow(self.step(Lifecycle::handle_flushed), None);
        }
        if !self.life.get().is_ending() {
            let this = self.clone();
            let _ = self.event_loop.call_later(Duration::from_millis(1), move || this.tick());
        }
    }

    /// Bytes, if the protocol reads; behind the last one the end of file.
    fn receive(&self, other: &Pipe) {
        if !self.life.get().delivers() {
            return;
        }
        let n = other.out.borrow().len().min(BYTES_PER_MS);
        if n > 0 {
            let bytes: Vec<u8> = other.out.borrow_mut().drain(..n).collect();
            other.update_pressure();
            if let Some(Err(error)) = self.call(|p| p.data_received(&bytes)) {
                self.end(Some(error));
            }
        } else if other.shut.get()
            && self.step(Lifecycle::handle_eof)
            && self.call(|p| p.eof_received()) == Some(false)
        {
            self.close();
        }
    }

    /// Tells the protocol what is true of the buffer, if it was told otherwise.
    fn settle(&self) {
        let mut pressure = self.pressure.get();
        let signal = if self.life.get().tells_pressure() { pressure.settle() } else { None };
        self.pressure.set(pressure);
        match signal {
            Some(Signal::Pause) => drop(self.call(|p| p.pause_writing())),
            Some(Signal::Resume) => drop(self.call(|p| p.resume_writing())),
            None => {}
        }
    }

    /// Calls the protocol. If it panics, that is reported, and the end.
    pub(crate) fn call<R>(&self, f: impl FnOnce(&mut dyn Protocol) -> R) -> Option<R> {
        self.slot
            .call(f)?
            .map_err(|panic| {
                let error = io::Error::other(panic.to_string());
                self.event_loop.report(ErrorContext::new("a callback failed").panic(panic));
                self.end(Some(error));
            })
            .ok()
    }
}
