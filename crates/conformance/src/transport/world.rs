//! What an author of a transport gives: [`TransportWorld`], a loop and connections on it.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::EventLoop;
use millrun_transport::{Protocol, Transport};

use super::peer::Peer;

/// A fresh loop, and connections on it. Each scenario gets a new one.
pub trait TransportWorld {
    /// The loop on which all connections of this world live.
    fn event_loop(&mut self) -> &mut EventLoop;

    /// Makes a connection of which no protocol has heard. Asked up to some hundred times.
    ///
    /// # Errors
    /// Whatever keeps it from being made: the check fails with it.
    fn connect(&mut self) -> io::Result<Connection>;

    /// What these transports can do.
    fn abilities(&self) -> TransportAbilities {
        TransportAbilities::default()
    }
}

/// Gives a transport its protocol, and the connection begins. Nothing is called from inside.
pub type Attach = Box<dyn FnOnce(Box<dyn Protocol>) -> io::Result<Rc<dyn Transport>>>;

/// Both ends of a connection that has not begun.
pub struct Connection {
    /// The transport that is checked.
    pub near: Attach,
    /// Who is at the other end.
    pub far: Far,
}

impl Connection {
    /// Between two transports.
    pub fn pair(near: Attach, far: Attach) -> Connection {
        Connection { near, far: Far::Transport(far) }
    }

    /// With a peer of another kind.
    pub fn to(near: Attach, peer: impl Peer + 'static) -> Connection {
        Connection { near, far: Far::Peer(Box::new(peer)) }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("far", &self.far).finish_non_exhaustive()
    }
}

/// The other end.
#[non_exhaustive]
pub enum Far {
    /// A transport on the same loop, which is taken to be right.
    Transport(Attach),
    /// Whoever sends, receives and ends when told to.
    Peer(Box<dyn Peer>),
}

impl fmt::Debug for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Far::Transport(_) => f.write_str("Transport"),
            Far::Peer(peer) => f.debug_tuple("Peer").field(peer).finish(),
        }
    }
}

/// What transports can do; all of it unless told. What one does otherwise, and may, is said here: a scenario that can't be played
/// without an ability is told as skipped, with its name, and all others are played.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TransportAbilities {
    /// One direction can be ended and the other one used. What `can_write_eof` has to say.
    pub half_close: bool,
    /// Reading can be paused. What `can_pause_reading` has to say.
    pub pausing: bool,
    /// No more than the room is received.
    pub room: bool,
    /// The ends have addresses.
    pub addresses: bool,
    /// The time that a close may take can be set.
    pub close_timeout: bool,
    /// A loop that closes tells these connections. (One without a descriptor can't hear of it.)
    pub loop_close: bool,
    /// A close is over when all has left. Otherwise it is over when the peer has ended, too (it has to answer a farewell, say): a
    /// peer that does nothing keeps it waiting, and until then an abort or a failure is still an end of its own.
    pub lone_close: bool,
    /// `write_buffer_size` counts what the transport adds to what was written, in bytes: so many at most for each piece, and a write
    /// makes four pieces at most, and one for each 16 KiB. Nothing, unless told.
    pub framing: usize,
    /// About how much is buffered below a connection at most, in bytes: writes of twice as much are felt. A MiB; more
    /// where the kernel's buffers may grow, less where they are small and time matters.
    pub buffers: usize,
    /// How long to wait for what must come, by the loop's clock: ten seconds. Nothing that is right waits as
    /// long.
    pub patience: Duration,
}

impl Default for TransportAbilities {
    fn default() -> TransportAbilities {
        TransportAbilities {
            half_close: true,
            pausing: true,
            room: true,
            addresses: true,
            close_timeout: true,
            loop_close: true,
            lone_close: true,
            framing: 0,
            buffers: 1 << 20,
            patience: Duration::from_secs(10),
        }
    }
}

impl TransportAbilities {
    /// Both directions end together.
    #[must_use]
    pub fn without_half_close(mut self) -> TransportAbilities {
        self.half_close = false;
        self
    }

    /// A protocol takes what comes, whenever it comes.
    #[must_use]
    pub fn without_pausing(mut self) -> TransportAbilities {
        self.pausing = false;
        self
    }

    /// A protocol takes what comes, however much it is.
    #[must_use]
    pub fn without_room(mut self) -> TransportAbilities {
        self.room = false;
        self
    }

    /// The ends have no addresses.
    #[must_use]
    pub fn without_addresses(mut self) -> TransportAbilities {
        self.addresses = false;
        self
    }

    /// A close has no deadline that can be set.
    #[must_use]
    pub fn without_close_timeout(mut self) -> TransportAbilities {
        self.close_timeout = false;
        self
    }

    /// A loop that closes does not tell these connections.
    #[must_use]
    pub fn without_loop_close(mut self) -> TransportAbilities {
        self.loop_close = false;
        self
    }

    /// A close is over when the peer has ended, too.
    #[must_use]
    pub fn without_lone_close(mut self) -> TransportAbilities {
        self.lone_close = false;
        self
    }

    /// So many bytes at most are added to each piece that is sent, and counted with it.
    #[must_use]
    pub fn with_framing(mut self, bytes: usize) -> TransportAbilities {
        self.framing = bytes;
        self
    }

    /// So much is buffered below a connection at most, in bytes.
    #[must_use]
    pub fn with_buffers(mut self, bytes: usize) -> TransportAbilities {
        self.buffers = bytes;
        self
    }

    /// Waits so long for what must come.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> TransportAbilities {
        self.patience = patience;
        self
    }
}
