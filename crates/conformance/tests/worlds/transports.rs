//! Their transports.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use millrun_conformance::{
    Attach, Connection, SocketPeer, SocketWorld, TransportAbilities, TransportWorld,
};
use millrun_loop::{EventLoop, LoopHandle};
use millrun_selector::{Socket, SocketOption};
use millrun_sim::Delay;
use millrun_transport::{SocketTransport, Transport, TransportOptions};

use super::sockets::{Kind, Os, Simulated};

/// A loop, and transports over its sockets.
pub struct Sockets {
    event_loop: EventLoop,
    sockets: Box<dyn SocketWorld>,
    far: Far,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub enum Far {
    Transport,
    Socket,
}

impl Sockets {
    pub fn of_the_os(kind: Kind, far: Far) -> io::Result<Sockets> {
        Ok(Sockets { event_loop: EventLoop::new()?, sockets: Box::new(Os(kind)), far })
    }

    pub fn simulated(kind: Kind, far: Far) -> io::Result<Sockets> {
        Sockets::of(Simulated::new(kind), far)
    }

    /// TCP, where whatever is sent takes so long to arrive.
    pub fn distant(far: Far, delay: Duration) -> io::Result<Sockets> {
        let world = Simulated::new(Kind::Tcp);
        world.sim.add_rule(Delay(delay));
        Sockets::of(world, far)
    }

    fn of(world: Simulated, far: Far) -> io::Result<Sockets> {
        let sim = &world.sim;
        let event_loop = EventLoop::builder()
            .selector(sim.selector())
            .clock(sim.clock())
            .network(sim.network())
            .resolver(sim.resolver())
            .build()?;
        Ok(Sockets { event_loop, sockets: Box::new(world), far })
    }
}

/// A transport over a socket.
pub fn attach(handle: LoopHandle, socket: Box<dyn Socket>) -> Attach {
    Box::new(move |protocol| {
        let made = SocketTransport::new(&handle, socket, protocol, TransportOptions::default());
        made.map(|transport| transport as Rc<dyn Transport>)
    })
}

impl TransportWorld for Sockets {
    fn event_loop(&mut self) -> &mut EventLoop {
        &mut self.event_loop
    }

    fn connect(&mut self) -> io::Result<Connection> {
        let (near, far) = self.sockets.pair()?;
        for socket in [&near, &far].into_iter().filter(|socket| socket.fd().is_some()) {
            // The kernel's own sizes would be some MiB, which all have to be filled.
            socket.set_option(SocketOption::SendBuffer(256 * 1024))?;
            socket.set_option(SocketOption::ReceiveBuffer(256 * 1024))?;
        }
        let near = attach(self.event_loop.handle(), near);
        Ok(match self.far {
            Far::Transport => Connection::pair(near, attach(self.event_loop.handle(), far)),
            Far::Socket => Connection::to(near, SocketPeer::new(far)),
        })
    }

    fn abilities(&self) -> TransportAbilities {
        match self.sockets.abilities().real_time {
            true => TransportAbilities::default(),
            false => TransportAbilities::default().with_buffers(128 * 1024),
        }
    }
}
