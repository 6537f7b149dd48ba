//! What is checked, and what it can do: [`SocketWorld`], [`SocketAbilities`].

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use millrun_selector::{Clock, Selector, Socket, Source};

/// A fresh operating system, or what stands for one: sockets, and a selector and a clock to wait for them with.
/// Each scenario gets a new one.
pub trait SocketWorld {
    /// A selector that knows the sockets of this world. Asked once or twice.
    ///
    /// # Errors
    /// Whatever keeps it from being made: the check fails with it.
    fn selector(&mut self) -> io::Result<Box<dyn Selector>>;

    /// The clock by which that selector waits.
    fn clock(&self) -> Rc<dyn Clock>;

    /// Two connected sockets, registered nowhere. Asked up to a hundred times.
    ///
    /// # Errors
    /// Whatever keeps them from being made: the check fails with it.
    fn pair(&mut self) -> io::Result<(Box<dyn Socket>, Box<dyn Socket>)>;

    /// A source that the selector has to watch without a readiness cell; `None` (the default) where there are
    /// none.
    fn foreign(&mut self) -> Option<ForeignEnd> {
        None
    }

    /// What these sockets and this selector can do.
    fn abilities(&self) -> SocketAbilities {
        SocketAbilities::default()
    }
}

/// What a world can do; all of it unless told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SocketAbilities {
    /// One direction can be shut and the other one used.
    pub half_close: bool,
    /// The ends have addresses.
    pub addresses: bool,
    /// The selector waits in real time, so that another thread can end a wait with a timeout.
    pub real_time: bool,
    /// How long to wait for what must come, by the world's clock. Ten seconds: nothing that is right waits as
    /// long, however busy the machine.
    pub patience: Duration,
}

impl Default for SocketAbilities {
    fn default() -> SocketAbilities {
        SocketAbilities {
            half_close: true,
            addresses: true,
            real_time: true,
            patience: Duration::from_secs(10),
        }
    }
}

impl SocketAbilities {
    /// Both directions end together.
    #[must_use]
    pub fn without_half_close(mut self) -> SocketAbilities {
        self.half_close = false;
        self
    }

    /// The ends have no addresses.
    #[must_use]
    pub fn without_addresses(mut self) -> SocketAbilities {
        self.addresses = false;
        self
    }

    /// The clock is virtual: a wait ends at once.
    #[must_use]
    pub fn without_real_time(mut self) -> SocketAbilities {
        self.real_time = false;
        self
    }

    /// Waits so long for what must come.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> SocketAbilities {
        self.patience = patience;
        self
    }
}

/// A foreign source, and what makes it ready.
pub struct ForeignEnd {
    /// The source: it has no readiness cell.
    pub source: Box<dyn Source>,
    /// Makes it readable.
    pub fill: Box<dyn FnMut() -> io::Result<()>>,
    /// Takes all that there is to read.
    pub empty: Box<dyn FnMut() -> io::Result<()>>,
}

impl fmt::Debug for ForeignEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignEnd").field("source", &self.source).finish_non_exhaustive()
    }
}
