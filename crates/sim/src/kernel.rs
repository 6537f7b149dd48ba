//! The simulated kernel: all sockets, and the dice. Calls go through [`Kernel`]; the state is in [`Tables`].
//!
//! A rule of a link is foreign code, so it is never called while the tables are borrowed: what an
//! operation sends is put into `outbox`, and [`Kernel::settle`] carries it from there.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use millrun_selector::{Address, Clock, Readiness, ReadyCell, Time};

use crate::clock::SimClock;
use crate::endpoint::{Buffers, Endpoint, Id, Kind, Owner, State};
use crate::link::{Packet, Rule};
use crate::listener::Listening;
use crate::machine::{MachineId, Machines};
use crate::partition::USER_TIMEOUT;
use crate::record::Log;
use crate::registry::Registry;
use crate::resolver::SimResolver;
use crate::trace::{Trace, What};
use crate::wire::{Flight, Outgoing, Payload};
use crate::{Call, Counters, Failure, Fault, Faults, Injected, Rng};

pub(crate) struct Kernel {
    pub(crate) seed: u64,
    pub(crate) clock: Rc<SimClock>,
    pub(crate) resolver: Arc<SimResolver>,
    pub(crate) faults: Cell<Faults>,
    pub(crate) rules: RefCell<Rc<[Rc<dyn Rule>]>>,
    /// A select with nothing to do waits for other threads, in real time.
    pub(crate) external_wakes: Cell<bool>,
    /// Somebody else moves the clock.
    pub(crate) driven: Cell<bool>,
    /// How long each select takes.
    pub(crate) select_cost: Cell<Duration>,
    rng: Cell<Rng>,
    pub(crate) tables: RefCell<Tables>,
}

/// All that sockets share. Borrowed for the length of one operation, never across foreign code.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) endpoints: BTreeMap<Id, Endpoint>,
    pub(crate) listeners: BTreeMap<Id, Listening>,
    /// Whose cell is it? By address of the cell, for as long as the socket lives.
    pub(crate) by_cell: BTreeMap<usize, Id>,
    /// Registry and place of each registered socket.
    pub(crate) watches: BTreeMap<Id, (u32, u32)>,
    pub(crate) registries: Vec<Option<Registry>>,
    /// On the way, by arrival.
    pub(crate) wire: BinaryHeap<Reverse<Flight>>,
    pub(crate) launched: u64,
    pub(crate) outbox: VecDeque<Outgoing>,
    /// What can't get through, in the order in which it was sent.
    pub(crate) held: BTreeMap<u64, Outgoing>,
    /// Ways that no packet can go.
    pub(crate) barred: BTreeSet<(MachineId, MachineId)>,
    /// No host is away.
    pub(crate) all_up: bool,
    /// When connections end by themselves.
    pub(crate) alarms: BTreeSet<(Time, Id)>,
    pub(crate) user_timeout: Duration,
    pub(crate) clock: Rc<SimClock>,
    pub(crate) trace: Trace,
    pub(crate) machines: Machines,
    pub(crate) buffers: Buffers,
    /// Orders of tests: on one machine, or on any.
    pub(crate) fail_next: Vec<(Option<MachineId>, Call, Failure)>,
    pub(crate) injected: Vec<Injected>,
    pub(crate) counters: Counters,
    /// The calls of each scripted socket; kept when it is closed.
    pub(crate) logs: BTreeMap<Id, Log>,
    next_id: Id,
}

impl Kernel {
    pub(crate) fn new(seed: u64) -> Kernel {
        let clock = Rc::new(SimClock::default());
        Kernel {
            seed,
            clock: Rc::clone(&clock),
            resolver: Arc::new(SimResolver::new()),
            faults: Cell::new(Faults::NONE),
            rules: RefCell::new(Rc::new([])),
            external_wakes: Cell::new(false),
            driven: Cell::new(false),
            select_cost: Cell::new(Duration::ZERO),
            rng: Cell::new(Rng::new(seed)),
            tables: RefCell::new(Tables {
                endpoints: BTreeMap::new(),
                listeners: BTreeMap::new(),
                by_cell: BTreeMap::new(),
                watches: BTreeMap::new(),
                registries: Vec::new(),
                wire: BinaryHeap::new(),
                launched: 0,
                outbox: VecDeque::new(),
                held: BTreeMap::new(),
                barred: BTreeSet::new(),
                all_up: true,
                alarms: BTreeSet::new(),
                user_timeout: USER_TIMEOUT,
                clock: Rc::clone(&clock),
                trace: Trace::default(),
                machines: Machines::new(),
                buffers: Buffers::DEFAULT,
                fail_next: Vec::new(),
                injected: Vec::new(),
                counters: Counters::default(),
                logs: BTreeMap::new(),
                next_id: 1,
            }),
        }
    }

    /// How often it misbehaves on this machine.
    pub(crate) fn faults_on(&self, machine: MachineId) -> Faults {
        self.tables.borrow().machines.get(machine).faults.unwrap_or(self.faults.get())
    }

    /// Draws from the run's one source of chance. `draw` may be foreign: no borrow is held.
    pub(crate) fn dice<R>(&self, draw: impl FnOnce(&mut Rng) -> R) -> R {
        let mut rng = self.rng.get();
        let result = draw(&mut rng);
        self.rng.set(rng);
        result
    }

    /// Sends what waits to be sent and lets arrive what is due, until nothing is.
    pub(crate) fn settle(&self) {
        loop {
            let next = self.tables.borrow_mut().outbox.pop_front();
            let now = self.clock.now();
            if let Some(outgoing) = next {
                self.depart(outgoing, now);
                continue;
            }
            let mut tables = self.tables.borrow_mut();
            let arrived = tables.arrive(now);
            if !tables.ring(now) && !arrived {
                return;
            }
        }
    }

    /// Puts a packet on the wire, in pieces if a rule says so.
    fn depart(&self, outgoing: Outgoing, now: Time) {
        let is_held = !matches!(outgoing.payload, Payload::Connect { .. })
            && !self.tables.borrow().is_open(outgoing.route);
        if is_held {
            let mut tables = self.tables.borrow_mut();
            let number = tables.number();
            return tables.hold(now, Outgoing { number, ..outgoing });
        }
        let rules = Rc::clone(&self.rules.borrow());
        let (from, to) = outgoing.route;
        // A host's packets to itself leave no machine. (The one without a name is the whole rest of the world.)
        let is_inside = from == to && from != MachineId::WORLD;
        if rules.is_empty() || outgoing.from.is_unix() || is_inside {
            return self.tables.borrow_mut().launch(now + outgoing.wait, outgoing);
        }
        let mut rest = Some(outgoing);
        while let Some(mut piece) = rest {
            let most = self.of(&piece, now, |packet| {
                rules.iter().map(|rule| rule.most(packet)).min().unwrap_or(usize::MAX)
            });
            rest = piece.split_off(most);
            let delay = self.of(&piece, now, |packet| {
                rules.iter().fold(piece.wait, |sum, rule| {
                    sum.saturating_add(self.dice(|rng| rule.delay(packet, rng)))
                })
            });
            self.tables.borrow_mut().launch(now + delay, piece);
        }
    }

    /// Shows a packet to rules.
    fn of<R>(&self, outgoing: &Outgoing, now: Time, ask: impl FnOnce(&Packet<'_>) -> R) -> R {
        let name = |id| {
            let tables = self.tables.borrow();
            tables.machines.get(id).host.as_ref().map(|host| Rc::clone(&host.name))
        };
        let (from_host, to_host) = (name(outgoing.route.0), name(outgoing.route.1));
        ask(&Packet {
            from: &outgoing.from,
            to: &outgoing.to,
            from_host: from_host.as_deref(),
            to_host: to_host.as_deref(),
            kind: outgoing.payload.kind(),
            bytes: outgoing.payload.bytes(),
            sent: now,
        })
    }

    /// When something will next arrive.
    pub(crate) fn next_event(&self) -> Option<Time> {
        let tables = self.tables.borrow();
        let arrival = tables.wire.peek().map(|flight| flight.0.due);
        let alarm = tables.alarms.first().map(|(at, _)| *at);
        arrival.into_iter().chain(alarm).min()
    }

    /// Moves the clock to `moment`, stopping at everything that arrives until then.
    pub(crate) fn advance_to(&self, moment: Time) {
        self.settle();
        while let Some(due) = self.next_event().filter(|due| *due <= moment) {
            self.clock.advance_to(due);
            self.settle();
        }
        self.clock.advance_to(moment);
    }

    /// A fault that the test asked for, for a call that has no socket of its own yet.
    pub(crate) fn ordered_failure(
        &self,
        machine: MachineId,
        call: Call,
        socket: Option<Id>,
    ) -> Option<Failure> {
        let mut tables = self.tables.borrow_mut();
        let meant = |on: Option<MachineId>| on.is_none_or(|on| on == machine);
        let place = tables.fail_next.iter().position(|(on, c, _)| *c == call && meant(*on))?;
        let (_, _, failure) = tables.fail_next.remove(place);
        let fault = Fault::Error(failure);
        tables.injected.push(Injected { at: self.clock.now(), call, socket, fault });
        tables.tell(machine, || What::Meets { socket, fault });
        Some(failure)
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel")
            .field("seed", &self.seed)
            .field("now", &self.clock.now())
            .finish_non_exhaustive()
    }
}

impl Tables {
    pub(crate) fn new_id(&mut self) -> Id {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// The place of a packet among all that were sent.
    pub(crate) fn number(&mut self) -> u64 {
        self.launched += 1;
        self.launched
    }

    /// The number that the next socket will have.
    pub(crate) fn peek_id(&self) -> Id {
        self.next_id
    }

    /// Adds an end. One that a program holds can be found by its cell.
    pub(crate) fn insert(&mut self, endpoint: Endpoint) -> Id {
        let id = self.new_id();
        if endpoint.owner != Owner::Script {
            self.by_cell.insert(address_of(&endpoint.cell), id);
        }
        self.endpoints.insert(id, endpoint);
        id
    }

    /// Two ends that are connected.
    pub(crate) fn insert_pair(
        &mut self,
        kind: Kind,
        owners: [Owner; 2],
        addresses: [Address; 2],
    ) -> (Id, Id) {
        let [near, far] = addresses;
        let here = MachineId::WORLD;
        let mut a = Endpoint::new(here, kind, owners[0], State::Connected, self.buffers);
        (a.local, a.remote) = (near.clone(), far.clone());
        let mut b = Endpoint::new(here, kind, owners[1], State::Connected, self.buffers);
        (b.local, b.remote) = (far, near);
        for end in [&mut a, &mut b] {
            end.no_delay = kind == Kind::Tcp;
        }
        let (a, b) = (self.insert(a), self.insert(b));
        if let Some(end) = self.endpoints.get_mut(&a) {
            end.peer = Some(b);
        }
        if let Some(end) = self.endpoints.get_mut(&b) {
            end.peer = Some(a);
        }
        (a, b)
    }

    /// How many descriptors the programs hold, on one machine or on all.
    pub(crate) fn descriptors(&self, on: Option<MachineId>) -> usize {
        let counts = |machine| on.is_none_or(|on| on == machine);
        let held = |e: &&Endpoint| e.owner == Owner::Descriptor && counts(e.machine);
        self.endpoints.values().filter(held).count()
            + self.listeners.values().filter(|l| counts(l.machine)).count()
    }

    /// # Errors
    /// EMFILE when the machine's budget is used up.
    pub(crate) fn check_descriptors(&self, machine: MachineId) -> io::Result<()> {
        let limit = self.machines.get(machine).fd_limit;
        // Counting takes time: only who set a limit pays for it.
        let full = limit != usize::MAX && self.descriptors(Some(machine)) >= limit;
        if full { Err(Failure::EMFILE.into()) } else { Ok(()) }
    }

    /// How large the buffers of a new socket are.
    pub(crate) fn buffers_on(&self, machine: MachineId) -> Buffers {
        self.machines.get(machine).buffers.unwrap_or(self.buffers)
    }

    /// What epoll would report of a socket; nothing of one that is gone.
    pub(crate) fn poll(&self, id: Id) -> Readiness {
        match (self.endpoints.get(&id), self.listeners.get(&id)) {
            (Some(endpoint), _) => endpoint.poll(),
            (None, Some(listening)) => listening.poll(),
            (None, None) => Readiness::NONE,
        }
    }

    /// Something changed at a socket: its selector looks at it in the next select.
    pub(crate) fn edge(&mut self, id: Id) {
        if let Some((registry, index)) = self.watches.get(&id) {
            if let Some(Some(registry)) = self.registries.get_mut(*registry as usize) {
                registry.edge(*index);
            }
        }
    }

    /// A descriptor was closed: nobody finds it any more.
    pub(crate) fn forget(&mut self, id: Id, cell: &Rc<ReadyCell>) {
        self.by_cell.remove(&address_of(cell));
        self.watches.remove(&id);
    }
}

/// The identity of a cell.
pub(crate) fn address_of(cell: &Rc<ReadyCell>) -> usize {
    Rc::as_ptr(cell).addr()
}
