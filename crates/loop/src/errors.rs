//! Who hears of a failure that nobody waits for? The exception handler, always.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::io::Write as _;
use std::rc::Rc;

use tracing::Level;

use crate::{LoopHandle, Panic, catch};

/// What failed, and where: asyncio's context dictionary of `call_exception_handler`.
///
/// ```
/// use millrun_loop::ErrorContext;
/// let context = ErrorContext::new("a write failed")
///     .error(std::io::Error::other("no route"))
///     .detail("peer", "10.0.0.1:80");
/// assert_eq!(context.to_string(), "a write failed\npeer: 10.0.0.1:80\nerror: no route");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct ErrorContext {
    /// What was going on, in a few words. Empty means that nothing more is known.
    pub message: Cow<'static, str>,
    /// The failure itself.
    pub error: Option<Failure>,
    /// Further facts by name: "protocol", "transport", "task", …
    pub details: Vec<(&'static str, String)>,
}

/// A failure: an error that was returned, or a panic.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// User code panicked.
    Panic(Panic),
    /// An error that has no other way to go.
    Error(Box<dyn Error>),
}

impl ErrorContext {
    /// A context with a message alone.
    pub fn new(message: impl Into<Cow<'static, str>>) -> ErrorContext {
        ErrorContext { message: message.into(), error: None, details: Vec::new() }
    }

    /// With the error that happened.
    #[must_use]
    pub fn error(mut self, error: impl Into<Box<dyn Error>>) -> ErrorContext {
        self.error = Some(Failure::Error(error.into()));
        self
    }

    /// With the panic that happened.
    #[must_use]
    pub fn panic(mut self, panic: Panic) -> ErrorContext {
        self.error = Some(Failure::Panic(panic));
        self
    }

    /// With one more fact.
    #[must_use]
    pub fn detail(mut self, name: &'static str, value: impl fmt::Display) -> ErrorContext {
        self.details.push((name, value.to_string()));
        self
    }
}

/// What the default handler logs (L-100): the message, the details sorted by name, one on a line, and the
/// error with what caused it.
impl fmt::Display for ErrorContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            f.write_str("unhandled exception in event loop")?;
        } else {
            f.write_str(&self.message)?;
        }
        let mut details: Vec<_> = self.details.iter().collect();
        details.sort_by_key(|(name, _)| *name);
        for (name, value) in details {
            write!(f, "\n{name}: {value}")?;
        }
        match &self.error {
            None => Ok(()),
            Some(failure) => write!(f, "\n{failure}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Panic(panic) => write!(f, "panic: {panic}"),
            Failure::Error(error) => {
                write!(f, "error: {error}")?;
                let mut cause = error.source();
                while let Some(error) = cause {
                    write!(f, "\ncaused by: {error}")?;
                    cause = error.source();
                }
                Ok(())
            }
        }
    }
}

/// A handler set by the user.
pub(crate) type Custom = Rc<dyn Fn(&LoopHandle, &ErrorContext)>;

/// Holds the present handler and reports to it. Never fails, and holds no borrow while it calls: a
/// handler may set another one, or report.
pub(crate) struct ExceptionHandler {
    custom: RefCell<Option<Custom>>,
    /// A custom handler is running: what it reports itself goes to the default one, or it could
    /// call itself without end.
    calling: Cell<bool>,
}

impl ExceptionHandler {
    /// With the default handler.
    pub(crate) fn new() -> ExceptionHandler {
        ExceptionHandler { custom: RefCell::new(None), calling: Cell::new(false) }
    }

    /// Sets a handler; `None` restores the default one (L-101).
    pub(crate) fn set(&self, handler: Option<Custom>) {
        let old = self.custom.replace(handler);
        if let Err(panic) = catch(move || drop(old)) {
            report_default(&ErrorContext::new("dropping an exception handler failed").panic(panic));
        }
    }

    /// Calls the custom handler, or the default one if there is none. A custom one that panics is
    /// reported to the default one, with the original context (L-102).
    pub(crate) fn report(&self, event_loop: &LoopHandle, context: ErrorContext) {
        let custom = if self.calling.get() { None } else { self.custom.borrow().clone() };
        match custom {
            None => report_default(&context),
            Some(custom) => {
                self.calling.set(true);
                let outcome = catch(|| custom(event_loop, &context));
                self.calling.set(false);
                if let Err(panic) = outcome {
                    report_broken(panic, &context);
                }
                // The last one if it replaced itself: its drop is user code too.
                drop(catch(move || drop(custom)));
            }
        }
        drop(catch(move || drop(context)));
    }
}

impl fmt::Debug for ExceptionHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let custom = self.custom.borrow().is_some();
        f.debug_struct("ExceptionHandler").field("custom", &custom).finish_non_exhaustive()
    }
}

fn report_broken(panic: Panic, original: &ErrorContext) {
    let mut broken = ErrorContext::new("unhandled error in exception handler").panic(panic);
    match catch(|| original.to_string()) {
        Ok(text) => broken.details.push(("context", text)),
        Err(_) => broken.details.push(("context", original.message.clone().into_owned())),
    }
    report_default(&broken);
}

/// The default handler: logs. If that fails (an error's own `Display` panics, or the subscriber does), this
/// is logged instead, and swallowed (L-103).
pub(crate) fn report_default(context: &ErrorContext) {
    let Err(panic) = catch(|| log(&context.to_string())) else { return };
    let text = format!(
        "exception in default exception handler: {panic}; while handling: {}",
        context.message
    );
    if catch(|| log(&text)).is_err() {
        to_stderr(&text);
    }
}

/// A warning of debug mode, to whoever listens, else to stderr. Never fails.
pub(crate) fn warn(text: &str) {
    let warned = catch(|| {
        if tracing::enabled!(Level::WARN) {
            tracing::warn!("{text}");
        } else if nobody_listens() {
            to_stderr(text);
        }
    });
    if warned.is_err() {
        to_stderr(text);
    }
}

fn log(text: &str) {
    if tracing::enabled!(Level::ERROR) {
        tracing::error!("{text}");
    } else if nobody_listens() {
        to_stderr(text);
    }
}

/// Whether there is no subscriber on this thread. One that filters errors out listens: it was told to.
fn nobody_listens() -> bool {
    tracing::dispatcher::get_default(|dispatch| dispatch.is::<tracing::subscriber::NoSubscriber>())
}

/// In one piece, so that lines of threads don't mix. A closed stderr is no reason to fail: there is
/// nobody left to tell.
fn to_stderr(text: &str) {
    let line = format!("millrun: {text}\n");
    drop(std::io::stderr().lock().write_all(line.as_bytes()));
}
