//! An echo server on the loop's watches: a registry and sockets, scheduled; no transport.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::rc::Rc;

use millrun_loop::{LoopHandle, Watch};
use millrun_selector::{Interest, Key, Readiness, Socket};

use crate::accept::{self, Ended};

const BUFFER: usize = 64 * 1024;

/// Echoes until so many connections ended.
pub(crate) fn serve(ended: usize) -> crate::Outcome {
    accept::serve(ended, |handle| {
        let handle = handle.clone();
        let buffer = Rc::new(RefCell::new(vec![0; BUFFER]));
        Ok(move |socket, ended| {
            let (handle, buffer) = (handle.clone(), buffer.clone());
            let connection =
                Rc::new(Connection { handle, socket, ended, buffer, key: Cell::new(None) });
            let watcher = connection.clone();
            let key = connection.handle.watch(&*connection.socket, Interest::READ, watcher)?;
            connection.key.set(Some(key));
            Ok(())
        })
    })
}

struct Connection {
    handle: LoopHandle,
    socket: Box<dyn Socket>,
    ended: Ended,
    buffer: Rc<RefCell<Vec<u8>>>,
    key: Cell<Option<Key>>,
}

impl Watch for Connection {
    fn on_ready(self: Rc<Self>, _: Readiness) {
        match self.echo() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => accept::give_up(&error),
            _ => {}
        }
    }
}

impl Connection {
    fn echo(&self) -> io::Result<()> {
        let mut buffer = self.buffer.borrow_mut();
        let length = self.socket.try_read(&mut buffer)?;
        if length > 0 {
            // The client has one small message in flight: the kernel takes it whole.
            self.socket.try_write(&buffer[..length])?;
            return Ok(());
        }
        if let Some(key) = self.key.take() {
            self.handle.unwatch(key, &*self.socket)?;
        }
        self.ended.one();
        Ok(())
    }
}
