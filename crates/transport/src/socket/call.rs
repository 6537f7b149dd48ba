//! How is user code called, and what if it fails?

use std::io;

use millrun_loop::{ErrorContext, Panic, catch};

use super::{Operation, SocketError, SocketTransport};
use crate::Protocol;

impl SocketTransport {
    /// Calls the protocol; a panic ends the connection. `None` when it panicked, or is not home.
    pub(super) fn call<R>(
        &self,
        callback: &'static str,
        f: impl FnOnce(&mut dyn Protocol) -> R,
    ) -> Option<R> {
        match self.slot.call(f)? {
            Ok(value) => Some(value),
            Err(panic) => {
                self.panicked(callback, panic);
                None
            }
        }
    }

    /// A callback panicked: the handler is told, and the connection ends with it.
    pub(super) fn panicked(&self, callback: &'static str, panic: Panic) {
        let error = io::Error::other(format!("{callback}() panicked: {panic}"));
        self.report(ErrorContext::new(format!("{callback}() failed")).panic(panic));
        self.end(Some(error));
    }

    /// The connection can't go on. An operating system's error is the network's ordinary life and only
    /// logged (T-006); any other is a program's, and the handler is told (T-007).
    pub(super) fn fatal(&self, what: &'static str, operation: Option<Operation>, error: io::Error) {
        if is_of_the_system(&error) {
            tracing::debug!("{self:?}: {what}: {error}");
        } else {
            self.report(ErrorContext::new(what).error(copy_of(&error)));
        }
        self.end(Some(match operation {
            Some(operation) => self.named(operation, error),
            None => error,
        }));
    }

    pub(super) fn report(&self, context: ErrorContext) {
        let context = context.detail("transport", format_args!("{self:?}"));
        let protocol = self.slot.call(|p| p.name()).and_then(Result::ok);
        self.handle().report(match protocol {
            Some(name) => context.detail("protocol", name),
            None => context,
        });
    }
}

/// The error itself is for `connection_lost`, and can't be cloned. Its text is a stranger's code.
pub(super) fn copy_of(error: &io::Error) -> io::Error {
    if let Some(number) = error.raw_os_error() {
        return io::Error::from_raw_os_error(number);
    }
    if let Some(ours) = error.get_ref().and_then(|inner| inner.downcast_ref::<SocketError>()) {
        return io::Error::new(error.kind(), ours.copy());
    }
    let text = catch(|| error.to_string())
        .unwrap_or_else(|panic| format!("an error whose text can't be had: {panic}"));
    io::Error::new(error.kind(), text)
}

/// What Python would raise as an `OSError`: it has a number, or is one of the kinds that have one.
pub(super) fn is_of_the_system(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    error.raw_os_error().is_some()
        || matches!(
            error.kind(),
            Kind::ConnectionRefused
                | Kind::ConnectionReset
                | Kind::ConnectionAborted
                | Kind::NotConnected
                | Kind::BrokenPipe
                | Kind::TimedOut
                | Kind::HostUnreachable
                | Kind::NetworkUnreachable
                | Kind::NetworkDown
                | Kind::AddrNotAvailable
        )
}
