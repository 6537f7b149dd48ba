//! [`Sim`]: the handle of a simulation.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use millrun_selector::{Address, Clock, Network, Query, Resolver, Selector, Socket, Source, Time};

use crate::endpoint::{Buffers, Id, Kind, Owner, State};
use crate::host::SimHost;
use crate::kernel::{Kernel, Tables, address_of};
use crate::link::Rule;
use crate::machine::MachineId;
use crate::network::SimNetwork;
use crate::record::Log;
use crate::registry::Registry;
use crate::selector::SimSelector;
use crate::stream::SimSocket;
use crate::{Call, Counters, Failure, Faults, Happening, Injected, SimPeer};

/// A simulated operating system. Clones are the same one; it lives as long as anything that came from it.
///
/// Its `Debug` text has the seed: print it when a test fails, and run again with it.
#[derive(Clone)]
pub struct Sim {
    pub(crate) kernel: Rc<Kernel>,
}

/// The parts that an event loop is built from.
impl Sim {
    /// An empty world at time zero. Equal seeds (and equal programs) give equal runs.
    pub fn new(seed: u64) -> Sim {
        Sim { kernel: Rc::new(Kernel::new(seed)) }
    }

    /// The seed it was made with.
    pub fn seed(&self) -> u64 {
        self.kernel.seed
    }

    /// A new selector of this world. It never sleeps: with nothing to report, `select` moves the clock to
    /// the nearer of its timeout and the next network event; with neither it fails with a [`Deadlock`](crate::Deadlock).
    pub fn selector(&self) -> Box<dyn Selector> {
        Box::new(SimSelector::new(&self.kernel, MachineId::WORLD))
    }

    /// The virtual clock.
    pub fn clock(&self) -> Rc<dyn Clock> {
        Rc::clone(&self.kernel.clock) as Rc<dyn Clock>
    }

    /// The network of the machine without a name, which has every address that no [host](Sim::host) has. What nobody
    /// listens at refuses.
    ///
    /// TCP connects are answered through the wire (a refusal too: ask `take_error`), Unix ones at once. A
    /// Unix path exists for as long as its listener does. Connecting waits while the backlog is full,
    /// and tries again after 1, 2, 4, … seconds; ETIMEDOUT comes after 127.
    pub fn network(&self) -> Rc<dyn Network> {
        Rc::new(SimNetwork { kernel: Rc::clone(&self.kernel), machine: MachineId::WORLD })
    }

    /// The resolver: literal addresses, `localhost`, and what [`add_host`](Sim::add_host) said. A port may
    /// be a number, one of `ftp ssh smtp http https`, or what [`add_service`](Sim::add_service) said.
    pub fn resolver(&self) -> Arc<dyn Resolver> {
        Arc::clone(&self.kernel.resolver) as Arc<dyn Resolver>
    }
}

/// Machines.
impl Sim {
    /// The host of this name; made, with the next free addresses, when it is first named. The resolver knows it.
    ///
    /// ```
    /// use millrun_selector::{Address, ConnectOptions, ListenOptions};
    /// # fn main() -> std::io::Result<()> {
    /// let sim = millrun_sim::Sim::new(1);
    /// let (server, client) = (sim.host("server"), sim.host("client"));
    /// let at: Address = (server.ipv4(), 80).into();
    /// let _listener = server.network().listen(&at, &ListenOptions::default())?;
    /// let socket = client.network().connect(&at, &ConnectOptions::default())?;
    /// assert!(socket.local_addr()?.to_string().starts_with("10.0.0.2:"));
    /// assert_eq!((server.open_sockets(), client.open_sockets()), (1, 1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn host(&self, name: &str) -> SimHost {
        let known = self.kernel.tables.borrow().machines.named(name);
        if let Some(id) = known {
            return SimHost::new(self, id);
        }
        let id = self.kernel.tables.borrow_mut().machines.add(name);
        let host = SimHost::new(self, id);
        self.kernel.resolver.set(name, Ok(host.addresses().into()));
        host
    }
}

/// What lies between hosts.
impl Sim {
    /// Bars the way between two hosts, both ways. What is sent is held, and arrives after [`heal`](Sim::heal): a stream
    /// loses nothing. Connecting gives up with ETIMEDOUT after 127 s, and a connection with bytes on the way
    /// after the [user timeout](Sim::set_user_timeout). To what is barred already it changes nothing.
    pub fn partition(&self, a: &SimHost, b: &SimHost) {
        self.partition_one_way(a, b);
        self.partition_one_way(b, a);
    }

    /// Bars one direction. Acknowledgements go the other way, so a sender whose bytes arrive may give up too.
    pub fn partition_one_way(&self, from: &SimHost, to: &SimHost) {
        self.kernel.tables.borrow_mut().bar(from.id, to.id);
    }

    /// Opens the way between two hosts, both ways. What was held leaves at once, in its order.
    pub fn heal(&self, a: &SimHost, b: &SimHost) {
        let mut tables = self.kernel.tables.borrow_mut();
        tables.open(a.id, b.id);
        tables.open(b.id, a.id);
        tables.release();
        drop(tables);
        self.kernel.settle();
    }

    /// How long a connection may have bytes on the way that are not acknowledged before it ends with ETIMEDOUT, since
    /// the way is barred or the other host is away: 924.6 s, Linux's own, unless told. For what is sent
    /// from now on.
    pub fn set_user_timeout(&self, timeout: Duration) {
        self.kernel.tables.borrow_mut().user_timeout = timeout;
    }
}

/// Sockets without a network.
impl Sim {
    /// Two connected sockets without a name, as `socketpair` makes them: a Unix pair.
    pub fn pair(&self) -> (Box<dyn Socket>, Box<dyn Socket>) {
        self.make_pair(Kind::Unix, [Address::UnixUnnamed, Address::UnixUnnamed])
    }

    /// Two connected TCP sockets on 127.0.0.1. They differ from a Unix pair in how they end: a write after the
    /// peer's close succeeds once and is answered with a reset.
    pub fn tcp_pair(&self) -> (Box<dyn Socket>, Box<dyn Socket>) {
        self.make_pair(Kind::Tcp, self.loopback())
    }

    /// A connected TCP socket whose peer, and whose kernel, is the test.
    pub fn scripted(&self) -> (Box<dyn Socket>, SimPeer) {
        let ends = self.loopback();
        let mut tables = self.kernel.tables.borrow_mut();
        let owners = [Owner::Descriptor, Owner::Script];
        let (socket, far) = tables.insert_pair(Kind::Tcp, owners, ends);
        tables.logs.insert(socket, Log::default());
        // The peer takes whatever comes: only the window limits the socket.
        if let Some(end) = tables.endpoints.get_mut(&far) {
            end.receive_capacity = usize::MAX;
        }
        let held = self.hold(&tables, socket, Kind::Tcp);
        drop(tables);
        (held, SimPeer { kernel: Rc::clone(&self.kernel), socket, far })
    }

    /// Takes over one end of a connection: the test plays it from now on, as the [`SimPeer`] of the other
    /// end. For a client or a server that is tested through the network. Its descriptor is gone;
    /// what it had not read has been [received](SimPeer::received).
    ///
    /// # Errors
    /// Gives the socket back when it is not a connected one of this simulation.
    pub fn play(&self, socket: Box<dyn Socket>) -> Result<SimPeer, Box<dyn Socket>> {
        let Some((far, other)) = self.ends_of(&socket) else { return Err(socket) };
        let mut tables = self.kernel.tables.borrow_mut();
        tables.logs.entry(other).or_default();
        if let Some(end) = tables.endpoints.get_mut(&far) {
            end.owner = Owner::Script;
            end.receive_capacity = usize::MAX;
        }
        tables.take_in(far);
        drop(tables);
        self.kernel.settle();
        drop(socket);
        Ok(SimPeer { kernel: Rc::clone(&self.kernel), socket: other, far })
    }

    fn ends_of(&self, source: &dyn Source) -> Option<(Id, Id)> {
        let tables = self.kernel.tables.borrow();
        let id = *tables.by_cell.get(&address_of(source.readiness()?))?;
        let end = tables.endpoints.get(&id).filter(|end| end.state == State::Connected)?;
        Some((id, end.peer?))
    }

    fn make_pair(&self, kind: Kind, ends: [Address; 2]) -> (Box<dyn Socket>, Box<dyn Socket>) {
        let mut tables = self.kernel.tables.borrow_mut();
        let (a, b) = tables.insert_pair(kind, [Owner::Descriptor; 2], ends);
        (self.hold(&tables, a, kind), self.hold(&tables, b, kind))
    }

    /// Two names for the ends of a connection that nobody listened for. The ports are not held: such a
    /// connection is in nobody's way.
    fn loopback(&self) -> [Address; 2] {
        let mut tables = self.kernel.tables.borrow_mut();
        // With no port left (64 Ki connections) the names are not unique, which harms nobody.
        let machine = tables.machines.get_mut(MachineId::WORLD);
        let mut name = || SocketAddr::from((Ipv4Addr::LOCALHOST, machine.free_port().unwrap_or(1)));
        [name().into(), name().into()]
    }

    fn hold(&self, tables: &Tables, id: Id, kind: Kind) -> Box<dyn Socket> {
        let cell = tables.endpoints.get(&id).map(|end| Rc::clone(&end.cell)).unwrap_or_default();
        Box::new(SimSocket::new(&self.kernel, MachineId::WORLD, id, &cell, kind))
    }
}

/// Time.
impl Sim {
    /// The present moment.
    pub fn now(&self) -> Time {
        self.kernel.clock.now()
    }

    /// Moves the clock, letting everything arrive that is due until then. Timers of an event loop
    /// run when that loop next looks.
    pub fn advance(&self, by: Duration) {
        self.advance_to(self.now() + by);
    }

    /// As [`advance`](Sim::advance), to a moment. A moment that is over changes nothing.
    pub fn advance_to(&self, moment: Time) {
        self.kernel.advance_to(moment);
    }

    /// When something will next arrive; `None` when nothing is on its way.
    pub fn next_event(&self) -> Option<Time> {
        self.kernel.next_event()
    }

    /// Says that somebody else moves the clock: `select` then only looks, whatever its timeout, and never reports a
    /// deadlock. For a driver that steps several loops in one world. Off by default.
    pub fn set_driven(&self, on: bool) {
        self.kernel.driven.set(on);
    }

    /// Makes each `select` take this long. Zero by default, and then a program that is never idle stops the clock: no
    /// timer is due and no packet arrives while something is ready. Give it a microsecond where that matters.
    pub fn set_select_cost(&self, cost: Duration) {
        self.kernel.select_cost.set(cost);
    }

    /// Says that other threads may wake a selector: a `select` with nothing to do, and no deadline, waits for them
    /// in real time, at most 10 s, before it reports a deadlock. Off by default, since what another
    /// thread does can't be replayed.
    pub fn allow_external_wakes(&self, on: bool) {
        self.kernel.external_wakes.set(on);
    }
}

/// What goes wrong, and how much fits.
impl Sim {
    /// Sets how often the kernel misbehaves, from now on.
    pub fn faults(&self, faults: Faults) {
        self.kernel.faults.set(faults.clamped());
    }

    /// The next call of this kind fails with this: `Connect` (at once), `Accept`, `Listen`, `Register`, `SetInterest`
    /// or a `Shutdown`, of whichever socket. Several queue up. For reads and writes see [`SimPeer`].
    pub fn fail_next(&self, call: Call, failure: impl Into<Failure>) {
        self.kernel.tables.borrow_mut().fail_next.push((None, call, failure.into()));
    }

    /// How many descriptors there may be (on the machine without a name; a host has [its own
    /// limit](SimHost::set_fd_limit)); connect, accept and listen give EMFILE at this number. Sockets that wait to
    /// be accepted count when they are. `usize::MAX`, the default, is no limit.
    pub fn set_fd_limit(&self, descriptors: usize) {
        self.kernel.tables.borrow_mut().machines.get_mut(MachineId::WORLD).fd_limit = descriptors;
    }

    /// The size of the send and receive buffers, in bytes, of sockets made from now on; at least 1. 64 KiB
    /// each by default. (Of one socket: `set_option`.)
    pub fn set_buffers(&self, send: usize, receive: usize) {
        let buffers = Buffers { send: send.max(1), receive: receive.max(1) };
        self.kernel.tables.borrow_mut().buffers = buffers;
    }

    /// Adds a rule to the network: what is sent over TCP from now on passes it.
    pub fn add_rule(&self, rule: impl Rule + 'static) {
        let mut rules = self.kernel.rules.borrow_mut();
        *rules = rules.iter().cloned().chain([Rc::new(rule) as Rc<dyn Rule>]).collect();
    }

    /// Takes all rules away. What is on its way is not hurried.
    pub fn clear_rules(&self) {
        let old = std::mem::replace(&mut *self.kernel.rules.borrow_mut(), Rc::new([]));
        // Foreign code may hang on a rule's drop: no borrow is held here.
        drop(old);
    }
}

/// Names.
impl Sim {
    /// Gives a name its addresses, in this order; none at all is a legal answer too.
    pub fn add_host(&self, name: &str, addresses: impl IntoIterator<Item = IpAddr>) {
        self.kernel.resolver.set(name, Ok(addresses.into_iter().collect()));
    }

    /// Makes looking up this name fail.
    pub fn fail_host(&self, name: &str, failure: impl Into<Failure>) {
        self.kernel.resolver.set(name, Err(failure.into()));
    }

    /// Gives a service name its port.
    pub fn add_service(&self, name: &str, port: u16) {
        self.kernel.resolver.set_service(name, port);
    }

    /// Every question that the resolver was asked.
    pub fn queries(&self) -> Vec<Query> {
        self.kernel.resolver.asked()
    }
}

/// What is there and what happened.
impl Sim {
    /// How many sockets and listeners the program holds: zero when nothing leaked. (A peer of a scripted
    /// socket is none, and neither is a connection that waits to be accepted.)
    pub fn open_sockets(&self) -> usize {
        self.kernel.tables.borrow().descriptors(None)
    }

    /// How many registrations all selectors hold: zero when nothing leaked.
    pub fn registrations(&self) -> usize {
        let tables = self.kernel.tables.borrow();
        tables.registries.iter().flatten().map(Registry::len).sum()
    }

    /// All calls of all sockets and selectors there ever were.
    pub fn counters(&self) -> Counters {
        self.kernel.tables.borrow().counters
    }

    /// The calls of one socket that is open; `None` for one that this simulation does not know.
    pub fn counters_of(&self, source: &dyn Source) -> Option<Counters> {
        let tables = self.kernel.tables.borrow();
        let id = tables.by_cell.get(&address_of(source.readiness()?))?;
        tables.endpoints.get(id).map(|end| end.counters)
    }

    /// Keeps the last `lines` of what happens, for [`take_trace`](Sim::take_trace). Zero, the default, keeps nothing.
    pub fn set_trace(&self, lines: usize) {
        self.kernel.tables.borrow_mut().trace.keep(lines);
    }

    /// What happened since the last time, as far as it was kept.
    pub fn take_trace(&self) -> Vec<Happening> {
        self.kernel.take_trace()
    }

    /// Every fault that a call has met, by order or by chance.
    pub fn injected(&self) -> Vec<Injected> {
        self.kernel.tables.borrow().injected.clone()
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim")
            .field("seed", &self.kernel.seed)
            .field("now", &self.now())
            .field("open_sockets", &self.open_sockets())
            .field("registrations", &self.registrations())
            .field("faults", &self.kernel.faults.get())
            .finish_non_exhaustive()
    }
}
