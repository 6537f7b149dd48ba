//! One writer, many readers: what a publisher sends goes to each subscriber. While one of them is behind by more than its
//! transport's high mark, no publisher is read from.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use millrun_transport::{Protocol, Transport};

/// Who is here.
#[derive(Default)]
pub(crate) struct Room {
    publishers: RefCell<BTreeMap<u64, Rc<dyn Transport>>>,
    subscribers: RefCell<BTreeMap<u64, Rc<dyn Transport>>>,
    /// How many subscribers are behind.
    behind: Cell<usize>,
    last: Cell<u64>,
}

impl Room {
    fn next(&self) -> u64 {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    fn one_more_behind(&self) {
        self.behind.set(self.behind.get() + 1);
        for publisher in self.publishers.borrow().values() {
            publisher.pause_reading();
        }
    }

    fn one_less_behind(&self) {
        self.behind.set(self.behind.get() - 1);
        if self.behind.get() == 0 {
            for publisher in self.publishers.borrow().values() {
                publisher.resume_reading();
            }
        }
    }
}

/// What the first byte of a connection makes of it.
pub(crate) fn role(
    room: &Rc<Room>,
    transport: Rc<dyn Transport>,
    which: u8,
) -> Option<Box<dyn Protocol>> {
    let (room, id) = (room.clone(), room.next());
    match which {
        b'P' => {
            if room.behind.get() > 0 {
                transport.pause_reading();
            }
            room.publishers.borrow_mut().insert(id, transport);
            Some(Box::new(Publisher { room, id }))
        }
        b'S' => {
            room.subscribers.borrow_mut().insert(id, transport);
            Some(Box::new(Subscriber { room, id, behind: false }))
        }
        _ => None,
    }
}

struct Publisher {
    room: Rc<Room>,
    id: u64,
}

impl Protocol for Publisher {
    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        for subscriber in self.room.subscribers.borrow().values() {
            subscriber.write(data);
        }
        Ok(())
    }

    fn connection_lost(&mut self, _: Option<io::Error>) {
        self.room.publishers.borrow_mut().remove(&self.id);
    }
}

struct Subscriber {
    room: Rc<Room>,
    id: u64,
    behind: bool,
}

impl Protocol for Subscriber {
    fn data_received(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(()) // it has nothing to say
    }

    fn pause_writing(&mut self) {
        self.behind = true;
        self.room.one_more_behind();
    }

    fn resume_writing(&mut self) {
        self.behind = false;
        self.room.one_less_behind();
    }

    fn connection_lost(&mut self, _: Option<io::Error>) {
        self.room.subscribers.borrow_mut().remove(&self.id);
        if self.behind {
            self.room.one_less_behind();
        }
    }
}
