//! The one place where a panic of user code is caught.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};

/// Calls `f` and gives its panic back as a value.
///
/// No `UnwindSafe` bound: what the loop calls is ended by its panic (a connection, a task) or has its
/// state read again, so nobody sees what it left half done. With `panic = "abort"` the
/// process aborts and nothing is caught.
///
/// # Errors
/// The panic of `f`.
///
/// ```
/// let panic = millrun_loop::catch(|| -> u8 { panic!("no {}", "luck") }).unwrap_err();
/// assert_eq!(panic.to_string(), "no luck");
/// assert_eq!(std::io::Error::other(panic).to_string(), "no luck");
/// ```
#[inline(always)]
pub fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(f)).map_err(Panic::new)
}

/// A panic that was caught: an error whose text is the panic's message. One pointer wide: what may be one is returned
/// by every callback, and hardly ever is.
pub struct Panic(Box<Caught>);

struct Caught {
    text: Cow<'static, str>,
    /// In a mutex only to be `Sync`, which a payload need not be; empty once it was taken.
    payload: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Panic {
    /// Wraps what `catch_unwind` or `JoinHandle::join` gave.
    #[cold]
    pub fn new(payload: Box<dyn Any + Send>) -> Panic {
        let text = if let Some(text) = payload.downcast_ref::<&'static str>() {
            Cow::Borrowed(*text)
        } else if let Some(text) = payload.downcast_ref::<String>() {
            Cow::Owned(text.clone())
        } else {
            Cow::Borrowed("a panic whose payload is not text")
        };
        Panic(Box::new(Caught { text, payload: Mutex::new(Some(payload)) }))
    }

    /// Goes on panicking as if it had not been caught. The panic hook does not run again.
    pub fn resume(self) -> ! {
        let text = self.0.text.clone();
        resume_unwind(self.into_payload().unwrap_or_else(|| Box::new(text.into_owned())))
    }

    /// The panic's message.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// What was panicked with; there is always one.
    fn into_payload(self) -> Option<Box<dyn Any + Send>> {
        self.0.payload.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A payload may panic when it is dropped, and this may happen anywhere: it ends here.
impl Drop for Panic {
    fn drop(&mut self) {
        let payload = self.0.payload.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(second);
        }
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.0.text).finish()
    }
}

impl std::error::Error for Panic {}
