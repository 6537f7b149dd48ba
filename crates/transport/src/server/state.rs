//! What a server's parts share: [`State`].

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::{Rc, Weak};

use millrun_loop::{ErrorContext, LoopHandle, catch};
use millrun_selector::{Address, Socket};

use super::ServingError;
use super::clients::Clients;
use super::listening::Listening;
use crate::socket::{NotMade, PeerAddress, peer_to_tell};
use crate::{
    ConnectionOwner, InvalidLimits, Protocol, Transport, TransportFamily, TransportOptions,
};

/// Makes the protocol of a new connection; with a layer it is the layer's, whose upper face comes with it.
pub(super) type Factory = Box<dyn FnMut() -> (Box<dyn Protocol>, Option<Rc<dyn Transport>>)>;

/// Where a server stands; it only goes forward.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Its sockets listen, and nobody accepts yet.
    Bound,
    /// It accepts.
    Serving,
    /// Its sockets are closed. Connections may live on.
    Closed,
}

/// A server. Held by its handles, and by its listeners while they are open.
pub(super) struct State {
    pub(super) handle: LoopHandle,
    /// Most accepts per event.
    pub(super) backlog: u32,
    family: TransportFamily,
    /// Taken out while it runs; dropped when the server is closed, with whatever it holds.
    factory: Cell<Option<Factory>>,
    listeners: RefCell<Vec<Rc<Listening>>>,
    stage: Cell<Stage>,
    clients: Rc<Clients>,
    /// `serve_forever` runs.
    pub(super) forever: Cell<bool>,
}

impl State {
    pub(super) fn new(
        handle: LoopHandle,
        backlog: u32,
        options: &TransportOptions,
        factory: Factory,
    ) -> Result<Rc<State>, InvalidLimits> {
        let clients = Rc::new(Clients::default());
        let owner: Weak<Clients> = Rc::downgrade(&clients);
        Ok(Rc::new(State {
            family: TransportFamily::new(&handle, options, Some(owner))?,
            handle,
            backlog: backlog.max(1),
            factory: Cell::new(Some(factory)),
            listeners: RefCell::default(),
            stage: Cell::new(Stage::Bound),
            clients,
            forever: Cell::new(false),
        }))
    }

    pub(super) fn add(&self, listening: Rc<Listening>) {
        self.listeners.borrow_mut().push(listening);
    }

    /// Begins to accept on all listeners, or on none if one fails.
    pub(super) fn start(&self) -> Result<(), ServingError> {
        match self.stage.get() {
            Stage::Serving => return Ok(()),
            Stage::Closed => return Err(ServingError::Closed),
            Stage::Bound => {}
        }
        let listeners = self.listeners.borrow().clone();
        for listening in &listeners {
            if let Err(error) = listening.start() {
                listeners.iter().for_each(|started| started.stop());
                return Err(ServingError::Loop(error));
            }
        }
        self.stage.set(Stage::Serving);
        Ok(())
    }

    pub(super) fn close(&self) {
        if self.stage.replace(Stage::Closed) == Stage::Closed {
            return;
        }
        let listeners = self.listeners.take();
        for listening in &listeners {
            listening.close();
        }
        self.let_go(self.factory.take());
        self.clients.close();
    }

    /// A connection was accepted: gives it a protocol and a transport. Where accept did not tell the peer, the socket is asked when
    /// somebody wants to know.
    pub(super) fn admit(&self, socket: Box<dyn Socket>, peer: Option<&Address>) {
        let Some(mut factory) = self.factory.take() else { return };
        let protocol = catch(&mut factory);
        match self.stage.get() {
            Stage::Closed => self.let_go(Some(factory)),
            // It was taken out: there is none to be dropped.
            _ => std::mem::forget(self.factory.replace(Some(factory))),
        }
        match protocol {
            Ok((protocol, layer)) => self.connect(socket, peer, protocol, layer),
            Err(panic) => self.not_admitted(|failed| failed.panic(panic), &*socket, peer),
        }
    }

    fn connect(
        &self,
        socket: Box<dyn Socket>,
        peer: Option<&Address>,
        protocol: Box<dyn Protocol>,
        layer: Option<Rc<dyn Transport>>,
    ) {
        let Some(number) = self.clients.reserve() else {
            let error = io::Error::from(io::ErrorKind::OutOfMemory);
            return self.not_admitted(|failed| failed.error(error), &*socket, peer);
        };
        let told = peer.map_or(PeerAddress::AskLater, PeerAddress::Known);
        // If it can't be made, the protocol is dropped in there: a stranger's code.
        match catch(|| self.family.transport_to(socket, protocol, told, number)) {
            Ok(Ok(transport)) => {
                self.clients.seat(number, &transport);
                if let Some(layer) = layer {
                    self.cover(number, layer);
                }
            }
            Ok(Err(not_made)) => self.not_made(number, *not_made, peer),
            Err(panic) => self.not_connected(number, io::Error::other(panic), peer),
        }
    }

    #[inline(never)]
    fn cover(&self, number: u32, layer: Rc<dyn Transport>) {
        self.clients.connection_covered(number, &layer);
    }

    #[cold]
    fn not_made(&self, number: u32, not_made: NotMade, peer: Option<&Address>) {
        let NotMade { error, peer: asked } = not_made;
        self.not_connected(number, error, peer.or(asked.as_ref()));
    }

    #[cold]
    fn not_connected(&self, number: u32, error: io::Error, peer: Option<&Address>) {
        self.clients.connection_over(number);
        self.report_refusal(|failed| failed.error(error), peer);
    }

    #[cold]
    fn not_admitted(
        &self,
        how: impl FnOnce(ErrorContext) -> ErrorContext,
        socket: &dyn Socket,
        peer: Option<&Address>,
    ) {
        let asked = match peer {
            Some(_) => None,
            None => peer_to_tell(|| socket.peer_addr().ok(), |context| self.handle.report(context)),
        };
        self.report_refusal(how, peer.or(asked.as_ref()));
    }

    fn report_refusal(
        &self,
        how: impl FnOnce(ErrorContext) -> ErrorContext,
        peer: Option<&Address>,
    ) {
        let failed = ErrorContext::new("error on transport creation for incoming connection");
        let mut failed = how(failed);
        if let Some(peer) = peer {
            failed = failed.detail("peer", peer);
        }
        self.handle.report(failed);
    }

    /// Drops the factory: a stranger's code.
    fn let_go(&self, factory: Option<Factory>) {
        if let Err(panic) = catch(move || drop(factory)) {
            self.handle
                .report(ErrorContext::new("dropping a protocol factory failed").panic(panic));
        }
    }

    pub(super) fn addresses(&self) -> Vec<Address> {
        self.listeners.borrow().iter().map(|listening| listening.address().clone()).collect()
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage.get()
    }

    pub(super) fn clients(&self) -> &Rc<Clients> {
        &self.clients
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("stage", &self.stage.get())
            .field("listeners", &self.addresses())
            .field("connections", &self.clients.live())
            .finish_non_exhaustive()
    }
}
