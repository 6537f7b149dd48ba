//! An echo server on the loop's watches: a registry and sockets, scheduled; no transport.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::rc::Rc;

use millrun_loop::{EventLoop, LoopHandle, Watch};
use millrun_selector::{
    Address, Interest, Key, ListenOptions, Listener, Network as _, OsNetwork, Readiness, Socket,
};

const BUFFER: usize = 64 * 1024;

/// Echoes until so many connections ended.
pub(crate) fn serve(ended: usize) -> crate::Outcome {
    let mut event_loop = EventLoop::new()?;
    let at = Address::Inet((Ipv4Addr::LOCALHOST, 0).into());
    let listener = OsNetwork.listen(&at, &ListenOptions::default())?;
    crate::announce(listener.local_addr()?.as_inet().ok_or("not an internet address")?)?;
    let server = Rc::new(Server {
        handle: event_loop.handle(),
        listener,
        left: Cell::new(ended),
        buffer: RefCell::new(vec![0; BUFFER]),
    });
    event_loop.handle().watch(&*server.listener, Interest::READ, server.clone())?;
    Ok(event_loop.run_forever()?)
}

struct Server {
    handle: LoopHandle,
    listener: Box<dyn Listener>,
    left: Cell<usize>,
    buffer: RefCell<Vec<u8>>,
}

impl Watch for Server {
    fn on_ready(self: Rc<Self>, _: Readiness) {
        match self.accept() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => give_up(&error),
            _ => {}
        }
    }
}

impl Server {
    fn accept(self: &Rc<Self>) -> io::Result<()> {
        let (socket, _) = self.listener.try_accept()?;
        let connection = Rc::new(Connection { server: self.clone(), socket, key: Cell::new(None) });
        let key = self.handle.watch(&*connection.socket, Interest::READ, connection.clone())?;
        connection.key.set(Some(key));
        Ok(())
    }
}

struct Connection {
    server: Rc<Server>,
    socket: Box<dyn Socket>,
    key: Cell<Option<Key>>,
}

impl Watch for Connection {
    fn on_ready(self: Rc<Self>, _: Readiness) {
        match self.echo() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => give_up(&error),
            _ => {}
        }
    }
}

impl Connection {
    fn echo(&self) -> io::Result<()> {
        let mut buffer = self.server.buffer.borrow_mut();
        let length = self.socket.try_read(&mut buffer)?;
        if length > 0 {
            // The client has one small message in flight: the kernel takes it whole.
            self.socket.try_write(&buffer[..length])?;
            return Ok(());
        }
        if let Some(key) = self.key.take() {
            self.server.handle.unwatch(key, &*self.socket)?;
        }
        self.server.left.set(self.server.left.get() - 1);
        if self.server.left.get() == 0 {
            self.server.handle.stop();
        }
        Ok(())
    }
}

/// A server that is measured and fails has nothing to go on for.
fn give_up(error: &io::Error) -> ! {
    eprintln!("gate: {error}");
    std::process::exit(1)
}
