//! [`Network`] over the simulated kernel: one machine that has every address.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use millrun_selector::{
    Address, BindError, ConnectOptions, ListenOptions, Listener, Network, ReadyCell, Socket,
};

use crate::endpoint::{Endpoint, Id, Kind, Owner, State};
use crate::kernel::{Kernel, Tables, address_of};
use crate::listener::{Listening, SimListener};
use crate::machine::MachineId;
use crate::stream::SimSocket;
use crate::trace::What;
use crate::wire::{Outgoing, Payload};
use crate::{Call, Failure};

/// The network of a simulation.
#[derive(Debug)]
pub(crate) struct SimNetwork {
    pub(crate) kernel: Rc<Kernel>,
    pub(crate) machine: MachineId,
}

impl Network for SimNetwork {
    fn connect(&self, to: &Address, options: &ConnectOptions) -> io::Result<Box<dyn Socket>> {
        let ordered = self.kernel.ordered_failure(self.machine, Call::Connect, None);
        let made = match ordered {
            Some(failure) => Err(failure.into()),
            None => self.kernel.tables.borrow_mut().connect(self.machine, to, options),
        };
        self.count(Call::Connect, made.is_ok());
        let (id, cell, kind) = made?;
        let socket = SimSocket::new(&self.kernel, self.machine, id, &cell, kind);
        self.kernel.settle();
        Ok(Box::new(socket))
    }

    fn listen(&self, at: &Address, options: &ListenOptions) -> io::Result<Box<dyn Listener>> {
        let ordered = self.kernel.ordered_failure(self.machine, Call::Listen, None);
        let made = match ordered {
            Some(failure) => Err(failure.into()),
            None => self.kernel.tables.borrow_mut().listen(self.machine, at, options),
        };
        self.count(Call::Listen, made.is_ok());
        let (id, cell) = made?;
        Ok(Box::new(SimListener::new(&self.kernel, self.machine, id, &cell)))
    }
}

impl SimNetwork {
    fn count(&self, call: Call, succeeded: bool) {
        // Only `WouldBlock` is counted apart, and these calls don't tell it from other errors.
        let outcome = if succeeded { Ok(0) } else { Err(io::ErrorKind::Other.into()) };
        self.kernel.tables.borrow_mut().counters.count(call, &outcome);
    }
}

impl Tables {
    fn listen(
        &mut self,
        machine: MachineId,
        at: &Address,
        options: &ListenOptions,
    ) -> io::Result<(Id, Rc<ReadyCell>)> {
        self.check_descriptors(machine)?;
        let here = self.machines.get_mut(machine);
        let mut address = at.clone();
        match &mut address {
            Address::Inet(inet) if !here.has(inet.ip()) => {
                return Err(Failure::EADDRNOTAVAIL.into());
            }
            Address::Inet(inet) if inet.port() == 0 => inet.set_port(here.free_port()?),
            Address::UnixUnnamed => return Err(Failure::EINVAL.into()),
            _ => {}
        }
        if self.is_taken(machine, &address, options.reuse_port) || self.is_bound(machine, &address)
        {
            return Err(Failure::EADDRINUSE.into());
        }
        if let Some(port) = address.port() {
            self.machines.get_mut(machine).hold_port(port);
        }
        let cell = Rc::new(ReadyCell::new());
        let id = self.new_id();
        self.by_cell.insert(address_of(&cell), id);
        let listening = Listening {
            machine,
            address,
            // A queue without a place would accept nobody.
            backlog: options.backlog.max(1) as usize,
            queue: std::collections::VecDeque::new(),
            reuse_port: options.reuse_port,
            keep_alive: options.keep_alive,
        };
        self.tell(machine, || What::Listens { at: listening.address.clone() });
        self.listeners.insert(id, listening);
        Ok((id, cell))
    }

    fn connect(
        &mut self,
        machine: MachineId,
        to: &Address,
        options: &ConnectOptions,
    ) -> io::Result<(Id, Rc<ReadyCell>, Kind)> {
        self.check_descriptors(machine)?;
        let to = &reachable(to);
        let kind = if to.is_unix() { Kind::Unix } else { Kind::Tcp };
        let (local, owns_port) = self.bind(machine, to, options.local.as_ref())?;
        let made = match kind {
            Kind::Tcp => Ok(self.connect_tcp(machine, to, local.clone(), owns_port)),
            Kind::Unix => self.connect_unix(machine, to, local.clone()),
        };
        match made {
            Ok(id) => {
                let cell = self.endpoints.get(&id).map(|end| Rc::clone(&end.cell));
                Ok((id, cell.ok_or(Failure::EINVAL)?, kind))
            }
            Err(e) => {
                if let Some(port) = local.port().filter(|_| owns_port) {
                    self.machines.get_mut(machine).release_port(port);
                }
                Err(e)
            }
        }
    }

    /// TCP: the answer comes later, a refusal too.
    fn connect_tcp(
        &mut self,
        machine: MachineId,
        to: &Address,
        local: Address,
        owns_port: bool,
    ) -> Id {
        let buffers = self.buffers_on(machine);
        let (kind, owner) = (Kind::Tcp, Owner::Descriptor);
        let mut end = Endpoint::new(machine, kind, owner, State::Connecting, buffers);
        (end.local, end.remote) = (local.clone(), to.clone());
        (end.no_delay, end.owns_port) = (true, owns_port);
        let there = self.machines.route(machine, to);
        (end.remote_machine, end.began) = (there, self.clock.now_here());
        let sender = self.insert(end);
        self.tell_of(sender, |socket| What::Connects {
            socket,
            from: local.clone(),
            to: to.clone(),
        });
        self.outbox.push_back(Outgoing {
            route: (machine, there),
            number: 0,
            from: local,
            to: to.clone(),
            sender,
            target: None,
            wait: Duration::ZERO,
            payload: Payload::Connect { attempt: 1 },
        });
        sender
    }

    /// Unix: connected or refused at once; a full queue is `WouldBlock`.
    fn connect_unix(&mut self, machine: MachineId, to: &Address, local: Address) -> io::Result<Id> {
        let Some(listener) = self.listener_at(machine, to) else {
            // There is no file but what a listener is bound to.
            let file = matches!(to, Address::Unix(_));
            return Err(if file { Failure::ENOENT } else { Failure::ECONNREFUSED }.into());
        };
        if self.listeners.get(&listener).is_some_and(Listening::is_full) {
            return Err(Failure::EAGAIN.into());
        }
        let buffers = self.buffers_on(machine);
        let (kind, owner) = (Kind::Unix, Owner::Descriptor);
        let mut end = Endpoint::new(machine, kind, owner, State::Connected, buffers);
        (end.local, end.remote) = (local.clone(), to.clone());
        let client = self.insert(end);
        let server = self.enqueue(listener, Kind::Unix, client, to.clone(), local.clone());
        if let Some(end) = self.endpoints.get_mut(&client) {
            end.peer = Some(server);
        }
        self.tell_of(client, |socket| What::Connects { socket, from: local, to: to.clone() });
        self.tell_of(client, |socket| What::Connected { socket });
        Ok(client)
    }

    /// The local address of a connection to `to`, and whether its port is taken for it.
    fn bind(
        &mut self,
        machine: MachineId,
        to: &Address,
        wanted: Option<&Address>,
    ) -> io::Result<(Address, bool)> {
        let Some(inet) = to.as_inet() else {
            return Ok((wanted.cloned().unwrap_or(Address::UnixUnnamed), false));
        };
        let mut local = self.machines.source(machine, inet);
        let is_local = self.machines.route(machine, to) == machine;
        let here = self.machines.get_mut(machine);
        if let Some(wanted) = wanted {
            let same = wanted.as_inet().filter(|w| w.is_ipv4() == inet.is_ipv4());
            let Some(same) = same else { return Err(bind_error(wanted, Failure::EINVAL)) };
            if same.port() != 0 && here.is_held(same.port()) {
                return Err(bind_error(wanted, Failure::EADDRINUSE));
            }
            if !here.has(same.ip()) {
                return Err(bind_error(wanted, Failure::EADDRNOTAVAIL));
            }
            if same.ip().is_loopback() && !is_local {
                // Linux binds it, and then does not connect.
                return Err(Failure::EINVAL.into());
            }
            if !same.ip().is_unspecified() {
                local.set_ip(same.ip());
            }
            local.set_port(same.port());
        }
        if local.port() == 0 {
            local.set_port(here.free_port()?);
        }
        here.hold_port(local.port());
        Ok((local.into(), true))
    }

    /// A connection was bound to this very port.
    fn is_bound(&self, machine: MachineId, address: &Address) -> bool {
        let Some(port) = address.port() else { return false };
        let mut here = self.endpoints.values().filter(|end| end.machine == machine);
        here.any(|end| end.owns_port && end.local.port() == Some(port))
    }
}

/// Connecting to the wildcard address means this machine.
fn reachable(to: &Address) -> Address {
    match to {
        Address::Inet(inet) if inet.ip().is_unspecified() => {
            let mut inet = *inet;
            inet.set_ip(match inet {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
            inet.into()
        }
        other => other.clone(),
    }
}

fn bind_error(address: &Address, failure: Failure) -> io::Error {
    let source = failure.to_error();
    io::Error::new(source.kind(), BindError { address: address.clone(), source })
}
