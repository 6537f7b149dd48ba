//! Loops, and TLS transports on them: over simulated sockets, the kernel's, and over TLS.

use std::io;
use std::rc::Rc;

use millrun_conformance::{
    Attach, Connection, Peer, SocketPeer, TransportAbilities, TransportWorld,
};
use millrun_loop::{EventLoop, LoopHandle};
use millrun_selector::Socket;
use millrun_sim::Sim;
use millrun_transport::{
    ClientTls, Layer, Protocol, SocketTransport, Transport, TransportOptions, Wrapped, Wrapping,
};

use super::broken::Bug;
use super::identity::{Identity, Version};
use super::peer::RustlsPeer;

/// What is checked.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub kernel: Kernel,
    pub side: Side,
    pub version: Version,
    /// How often TLS is put over what is below.
    pub layers: usize,
    pub far: Far,
    pub bug: Option<Bug>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kernel {
    Simulated,
    /// mio's, TCP.
    #[cfg(feature = "os")]
    Os,
}

/// Which side is checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Client,
    Server,
}

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Far {
    /// rustls's own connections.
    Rustls,
    /// A transport like the one that is checked.
    Transport,
}

impl Row {
    /// TLS 1.3 on the simulation, with rustls at the other end.
    pub fn new(side: Side) -> Row {
        let (kernel, far) = (Kernel::Simulated, Far::Rustls);
        Row { kernel, side, version: Version::Tls13, layers: 1, far, bug: None }
    }
}

/// A loop with connections of this kind.
pub struct Tls {
    row: Row,
    event_loop: EventLoop,
    sim: Option<Sim>,
}

impl Tls {
    pub fn new(row: Row) -> io::Result<Tls> {
        let sim = (row.kernel == Kernel::Simulated).then(|| Sim::new(1));
        let event_loop = match &sim {
            Some(sim) => EventLoop::builder()
                .selector(sim.selector())
                .clock(sim.clock())
                .network(sim.network())
                .resolver(sim.resolver())
                .build()?,
            #[cfg(feature = "os")]
            None => EventLoop::new()?,
            #[cfg(not(feature = "os"))]
            None => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Tls { row, event_loop, sim })
    }

    fn sockets(&self) -> io::Result<(Box<dyn Socket>, Box<dyn Socket>)> {
        match &self.sim {
            Some(sim) => Ok(sim.tcp_pair()),
            #[cfg(feature = "os")]
            None => tcp_pair(),
            #[cfg(not(feature = "os"))]
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// TLS transports over a socket, one over the other.
    fn attach(&self, socket: Box<dyn Socket>, side: Side, bug: Option<Bug>) -> Attach {
        let (row, handle) = (self.row, self.event_loop.handle());
        Box::new(move |protocol| {
            let mut lower = protocol;
            let mut upper: Option<Rc<dyn Transport>> = None;
            for _ in 0..row.layers {
                let wrapped = wrap(&handle, layer(row.version, side)?, lower)?;
                lower = wrapped.protocol;
                // The one that was put on first is what the application sees.
                if upper.is_none() {
                    upper = Some(match bug {
                        Some(bug) => bug.above(wrapped.transport),
                        None => wrapped.transport,
                    });
                    lower = match bug {
                        Some(bug) => bug.below(lower),
                        None => lower,
                    };
                }
            }
            SocketTransport::new(&handle, socket, lower, TransportOptions::default())?;
            upper.ok_or_else(|| io::Error::other("no layer"))
        })
    }

    fn peer(&self, socket: Box<dyn Socket>) -> Box<dyn Peer> {
        let identity = Identity::of(self.row.version);
        let below: Box<dyn Peer> = Box::new(SocketPeer::new(socket));
        (0..self.row.layers).fold(below, |below, _| {
            let tls = match self.row.side {
                Side::Client => identity.peers_server(),
                Side::Server => identity.peers_client(),
            };
            Box::new(RustlsPeer::new(tls, below))
        })
    }
}

fn layer(version: Version, side: Side) -> io::Result<Rc<dyn Layer>> {
    let identity = Identity::of(version);
    match side {
        Side::Client => identity.client.layer(Identity::name()),
        Side::Server => Ok(Rc::new(identity.server.clone())),
    }
}

/// Nobody waits for the handshake: the protocol hears of it.
fn wrap(
    handle: &LoopHandle,
    layer: Rc<dyn Layer>,
    upper: Box<dyn Protocol>,
) -> io::Result<Wrapped> {
    let (wrapping, _nobody) = Wrapping::new(handle, upper);
    layer.wrap(wrapping)
}

impl TransportWorld for Tls {
    fn event_loop(&mut self) -> &mut EventLoop {
        &mut self.event_loop
    }

    fn connect(&mut self) -> io::Result<Connection> {
        let (near, far) = self.sockets()?;
        let attach = self.attach(near, self.row.side, self.row.bug);
        Ok(match self.row.far {
            Far::Rustls => {
                Connection { near: attach, far: millrun_conformance::Far::Peer(self.peer(far)) }
            }
            Far::Transport => {
                let side = match self.row.side {
                    Side::Client => Side::Server,
                    Side::Server => Side::Client,
                };
                Connection::pair(attach, self.attach(far, side, None))
            }
        })
    }

    /// What TLS does otherwise, and why:
    /// - a close says `close_notify` and waits for the peer's: it needs the peer (TLS-010);
    /// - what it holds is counted as it is sent, in records;
    /// - TLS 1.2 has no half-close.
    fn abilities(&self) -> TransportAbilities {
        let able = TransportAbilities::default().without_lone_close();
        let able = able.with_framing(self.row.layers * FRAMING);
        let able = match self.row.kernel {
            Kernel::Simulated => able.with_buffers(128 * 1024),
            #[cfg(feature = "os")]
            Kernel::Os => able,
        };
        let able =
            if self.row.version == Version::Tls12 { able.without_half_close() } else { able };
        // What is broken need not be waited for.
        let patience = std::time::Duration::from_millis(300);
        if self.row.bug.is_some() { able.with_patience(patience) } else { able }
    }
}

/// What a record adds at most, rounded up.
const FRAMING: usize = 64;

/// Two ends of a connection over loopback, with buffers that can be filled.
#[cfg(feature = "os")]
fn tcp_pair() -> io::Result<(Box<dyn Socket>, Box<dyn Socket>)> {
    use millrun_selector::{OsNetwork, SocketOption};
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let near = std::net::TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    let adopt = |stream: std::net::TcpStream| {
        let socket = OsNetwork::adopt(stream.into())?;
        // The kernel's own sizes would be some MiB, which all have to be filled.
        socket.set_option(SocketOption::SendBuffer(256 * 1024))?;
        socket.set_option(SocketOption::ReceiveBuffer(256 * 1024))?;
        io::Result::Ok(socket)
    };
    Ok((adopt(near)?, adopt(far)?))
}
