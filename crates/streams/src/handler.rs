//! What a server's handler may give, and the task that runs it.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use millrun_loop::{ErrorContext, LoopHandle, catch};
use millrun_protocol::Link;
use pin_project_lite::pin_project;

/// What a handler gives: nothing, or a result whose error is reported (SV-026).
pub trait HandlerOutput: 'static {
    /// The failure, if it is one.
    fn failure(self) -> Option<Box<dyn Error>>;
}

impl HandlerOutput for () {
    fn failure(self) -> Option<Box<dyn Error>> {
        None
    }
}

impl<E: Into<Box<dyn Error>> + 'static> HandlerOutput for Result<(), E> {
    fn failure(self) -> Option<Box<dyn Error>> {
        self.err().map(Into::into)
    }
}

pin_project! {
    /// A handler at work. Its future is stored once, here.
    pub(crate) struct Serving<F> {
        link: Link,
        #[pin]
        future: F,
    }
}

impl<F> Serving<F> {
    pub(crate) fn new(link: Link, future: F) -> Serving<F> {
        Serving { link, future }
    }
}

impl<F: Future<Output: HandlerOutput>> Future for Serving<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let context = || ErrorContext::new("unhandled exception in client_connected_cb");
        let context = match catch(|| this.future.poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => match output.failure() {
                None => return Poll::Ready(()),
                Some(error) => context().error(error),
            },
            Err(panic) => context().panic(panic),
        };
        let transport = this.link.transport();
        if let Ok(event_loop) = LoopHandle::current() {
            event_loop.report(context.detail("transport", format_args!("{transport:?}")));
        }
        transport.close();
        Poll::Ready(())
    }
}
