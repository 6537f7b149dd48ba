//! One end of the pipe: what it is, and how it gets its protocol.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::{Rc, Weak};

use millrun::LoopHandle;
use millrun::transport::lifecycle::Lifecycle;
use millrun::transport::pressure::{Pressure, Watermarks};
use millrun::transport::slot::ProtocolSlot;
use millrun::transport::{Protocol, Transport};

/// One end. What order things come in is [`Lifecycle`]'s to say, whether the protocol can be called
/// the [`ProtocolSlot`]'s, and when it has to pause [`Pressure`]'s.
pub(crate) struct Pipe {
    pub(crate) this: Weak<Pipe>,
    pub(crate) other: RefCell<Weak<Pipe>>,
    pub(crate) event_loop: LoopHandle,
    pub(crate) slot: ProtocolSlot,
    pub(crate) life: Cell<Lifecycle>,
    pub(crate) out: RefCell<VecDeque<u8>>,
    pub(crate) marks: Cell<Watermarks>,
    pub(crate) pressure: Cell<Pressure>,
    /// Nothing comes behind what is in `out`.
    pub(crate) shut: Cell<bool>,
    pub(crate) unsent: Cell<usize>,
}

impl Pipe {
    pub(crate) fn pair(event_loop: &LoopHandle) -> (Rc<Pipe>, Rc<Pipe>) {
        let end = || {
            Rc::new_cyclic(|this| Pipe {
                this: this.clone(),
                other: RefCell::default(),
                event_loop: event_loop.clone(),
                slot: ProtocolSlot::default(),
                life: Cell::default(),
                out: RefCell::default(),
                marks: Cell::default(),
                pressure: Cell::default(),
                shut: Cell::default(),
                unsent: Cell::default(),
            })
        };
        let (a, b): (Rc<Pipe>, Rc<Pipe>) = (end(), end());
        (*a.other.borrow_mut(), *b.other.borrow_mut()) = (Rc::downgrade(&b), Rc::downgrade(&a));
        (a, b)
    }

    /// Gives this end its protocol and begins. Nothing is called from inside this call.
    pub(crate) fn attach(self: Rc<Self>, protocol: Box<dyn Protocol>) -> io::Result<Rc<Pipe>> {
        self.set_protocol(protocol);
        let this = self.clone();
        self.event_loop.call_soon(move || {
            this.step(Lifecycle::handle_made);
            this.call(|p| p.connection_made(this.clone()));
            this.step(Lifecycle::handle_start);
            this.tick();
        })?;
        Ok(self)
    }

    pub(crate) fn step<R>(&self, f: impl FnOnce(&mut Lifecycle) -> R) -> R {
        let mut life = self.life.get();
        let answer = f(&mut life);
        self.life.set(life);
        answer
    }
}

impl std::fmt::Debug for Pipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pipe({} bytes on their way, {:?})", self.write_buffer_size(), self.life.get())
    }
}
