//! What is on its way, and what it does when it arrives.

use std::cmp::Ordering;
use std::time::Duration;

use millrun_selector::{Address, Time};

use crate::Failure;
use crate::endpoint::{Endpoint, Id, Kind, Owner, Segment, State};
use crate::kernel::Tables;
use crate::link::PacketKind;
use crate::machine::MachineId;
use crate::trace::What;

/// Sent, and its delay not yet known.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// From which machine to which.
    pub(crate) route: (MachineId, MachineId),
    /// Its place among all that were sent: zero before.
    pub(crate) number: u64,
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) sender: Id,
    /// `None` for a request to connect: nobody is known at that address yet.
    pub(crate) target: Option<Id>,
    /// How long it is held back before it is sent.
    pub(crate) wait: Duration,
    pub(crate) payload: Payload,
}

#[derive(Debug)]
pub(crate) enum Payload {
    /// Asks for a connection, for the n-th time.
    Connect {
        attempt: u32,
    },
    /// Grants it.
    Accept,
    Data(Vec<u8>),
    Fin,
    Reset(Failure),
    /// A Unix socket was closed.
    Gone {
        unread: bool,
    },
}

impl Payload {
    pub(crate) fn kind(&self) -> PacketKind {
        match self {
            Payload::Connect { .. } => PacketKind::Connect,
            Payload::Accept => PacketKind::Accept,
            Payload::Data(_) => PacketKind::Data,
            Payload::Fin | Payload::Gone { .. } => PacketKind::Fin,
            Payload::Reset(_) => PacketKind::Reset,
        }
    }

    /// Keeps the first `most` bytes, and gives the others. A piece has one byte at least.
    fn split_off(&mut self, most: usize) -> Option<Payload> {
        match self {
            Payload::Data(bytes) if bytes.len() > most.max(1) => {
                Some(Payload::Data(bytes.split_off(most.max(1))))
            }
            _ => None,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        if let Payload::Data(bytes) = self { bytes.len() } else { 0 }
    }
}

impl Outgoing {
    /// Keeps the first `most` bytes, and gives a packet with the others.
    pub(crate) fn split_off(&mut self, most: usize) -> Option<Outgoing> {
        let payload = self.payload.split_off(most)?;
        Some(Outgoing { payload, from: self.from.clone(), to: self.to.clone(), ..*self })
    }
}

/// On the way. Ordered by arrival, then by departure.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) due: Time,
    outgoing: Outgoing,
}

impl Ord for Flight {
    fn cmp(&self, other: &Flight) -> Ordering {
        (self.due, self.outgoing.number).cmp(&(other.due, other.outgoing.number))
    }
}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Flight) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Flight {
    fn eq(&self, other: &Flight) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Flight {}

impl Tables {
    /// Queues a packet from one end to its peer.
    pub(crate) fn send(&mut self, sender: Id, payload: Payload) {
        if let Some(end) = self.endpoints.get(&sender) {
            let (from, to, target) = (end.local.clone(), end.remote.clone(), end.peer);
            if target.is_some() {
                let (wait, route) = (Duration::ZERO, (end.machine, end.remote_machine));
                self.outbox.push_back(Outgoing {
                    route,
                    number: 0,
                    from,
                    to,
                    sender,
                    target,
                    wait,
                    payload,
                });
            }
        }
    }

    /// Puts a packet on the wire, behind all that went before it to the same end.
    pub(crate) fn launch(&mut self, due: Time, mut outgoing: Outgoing) {
        let mut due = due;
        if let Some(end) = outgoing.target.and_then(|id| self.endpoints.get_mut(&id)) {
            due = due.max(end.latest_arrival);
            end.latest_arrival = due;
        }
        outgoing.number = self.number();
        outgoing.wait = Duration::ZERO;
        self.wire.push(std::cmp::Reverse(Flight { due, outgoing }));
    }

    /// Lets everything arrive that is due. True if something did (it may have sent an answer).
    pub(crate) fn arrive(&mut self, now: Time) -> bool {
        let mut any = false;
        while self.wire.peek().is_some_and(|flight| flight.0.due <= now) {
            if let Some(flight) = self.wire.pop() {
                any = true;
                self.land(flight.0.outgoing, now);
            }
        }
        any
    }

    /// What a machine had sent is lost with it: a new life of it must not deliver it.
    pub(crate) fn lose_flights_of(&mut self, machine: MachineId) {
        self.wire.retain(|flight| flight.0.outgoing.route.0 != machine);
    }

    fn land(&mut self, packet: Outgoing, now: Time) {
        let Some(target) = packet.target else {
            if let Payload::Connect { attempt } = packet.payload {
                self.connect_arrived(packet, attempt);
            }
            return;
        };
        if !self.is_open(packet.route) {
            return self.hold(now, packet);
        }
        if self.is_unknown(target, &packet) {
            return self.answer(&packet, target, Payload::Reset(Failure::ECONNRESET));
        }
        match packet.payload {
            Payload::Data(bytes) => self.append(target, Segment::Data(bytes)),
            Payload::Fin => self.append(target, Segment::Fin),
            Payload::Reset(failure) => self.kill(target, failure),
            Payload::Accept => self.accepted(target, packet.sender),
            Payload::Gone { unread } => self.gone(target, unread),
            Payload::Connect { .. } => {}
        }
    }

    /// Nobody is there any more who would know what to do with this packet: it is answered with a reset. What carries
    /// bytes, or waits for us; and a FIN that an orderly close would have left a socket for.
    fn is_unknown(&self, target: Id, packet: &Outgoing) -> bool {
        let wants_one = match packet.payload {
            Payload::Data(_) | Payload::Accept => true,
            Payload::Fin => target < self.machines.get(packet.route.1).lost_below,
            _ => false,
        };
        match self.endpoints.get(&target) {
            None => wants_one,
            // It gave up, and nobody heard of it.
            Some(end) => (wants_one || matches!(packet.payload, Payload::Fin)) && end.gave_up,
        }
    }

    /// Sends an answer in the name of an end that is gone (or never was).
    fn answer(&mut self, packet: &Outgoing, sender: Id, payload: Payload) {
        let (from, to) = packet.route;
        self.outbox.push_back(Outgoing {
            route: (to, from),
            number: 0,
            from: packet.to.clone(),
            to: packet.from.clone(),
            sender,
            target: Some(packet.sender),
            wait: Duration::ZERO,
            payload,
        });
    }

    /// Bytes or the FIN have come to an end.
    fn append(&mut self, id: Id, segment: Segment) {
        let Some(end) = self.endpoints.get_mut(&id).filter(|e| e.state != State::Dead) else {
            return;
        };
        end.stalled.push_back(segment);
        self.take_in(id);
    }

    /// Moves what has arrived into the receive buffer, and tells both ends.
    pub(crate) fn take_in(&mut self, id: Id) {
        let Some(end) = self.endpoints.get_mut(&id) else { return };
        let had_fin = end.fin_received;
        let moved = end.pull_stalled();
        let has_fin = end.fin_received && !had_fin;
        let sender = end.peer;
        let way = (end.machine, end.remote_machine);
        if moved > 0 || has_fin {
            self.edge(id);
        }
        if has_fin {
            self.tell_of(id, |socket| What::GetsFin { socket });
        }
        if !self.is_open(way) {
            if let Some(sender) = sender.filter(|_| moved > 0) {
                self.owe(id, sender, moved);
            }
            return;
        }
        let owed = self.endpoints.get_mut(&id).map(|end| std::mem::take(&mut end.acks_owed));
        let moved = moved + owed.unwrap_or(0);
        let Some(peer) = sender.and_then(|s| self.endpoints.get_mut(&s)) else { return };
        peer.unacked = peer.unacked.saturating_sub(moved);
        if let Some(sender) = sender {
            self.room_made(sender);
        }
    }

    /// An edge, if a writer waits for room and there is some.
    pub(crate) fn room_made(&mut self, id: Id) {
        if let Some(end) = self.endpoints.get_mut(&id) {
            if end.starved && end.room() > 0 {
                end.starved = false;
                self.edge(id);
            }
        }
    }

    /// A reset has come, or a test says so. Bytes in the receive buffer stay, others are lost.
    pub(crate) fn kill(&mut self, id: Id, failure: Failure) {
        let Some(end) = self.endpoints.get_mut(&id).filter(|e| e.state != State::Dead) else {
            return;
        };
        end.pull_stalled();
        end.was_reset = true;
        end.die(failure);
        self.edge(id);
        self.disarm(id);
        self.tell_of(id, |socket| What::Fails { socket, error: failure.kind() });
    }

    /// A Unix socket will read no more: its peer can't write.
    pub(crate) fn stop_writer(&mut self, reader: Id) {
        let peer = self.endpoints.get(&reader).and_then(|end| end.peer);
        if let Some(peer) = peer {
            if let Some(end) = self.endpoints.get_mut(&peer) {
                end.write_shut = true;
            }
            self.edge(peer);
        }
    }

    fn accepted(&mut self, client: Id, server: Id) {
        if let Some(end) = self.endpoints.get_mut(&client) {
            end.state = State::Connected;
            end.peer = Some(server);
            self.edge(client);
            self.disarm(client);
            self.tell_of(client, |socket| What::Connected { socket });
        }
    }

    fn gone(&mut self, id: Id, unread: bool) {
        if let Some(end) = self.endpoints.get_mut(&id) {
            end.peer_gone = true;
            if unread {
                end.error = Some(Failure::ECONNRESET);
                end.was_reset = true;
            }
            self.edge(id);
            self.append(id, Segment::Fin);
        }
    }

    /// A TCP request to connect has come to an address.
    fn connect_arrived(&mut self, packet: Outgoing, attempt: u32) {
        if !self.endpoints.contains_key(&packet.sender) {
            return; // given up meanwhile
        }
        if attempt > CONNECT_TRIES {
            return self.kill(packet.sender, Failure::ETIMEDOUT);
        }
        if !self.is_open(packet.route) {
            return self.try_again(packet, attempt);
        }
        let Some(listener) = self.listener_at(packet.route.1, &packet.to) else {
            let refused = Payload::Reset(Failure::ECONNREFUSED);
            return self.answer(&packet, 0, refused);
        };
        if self.listeners.get(&listener).is_some_and(|l| l.is_full()) {
            return self.try_again(packet, attempt);
        }
        let server = self.enqueue(listener, Kind::Tcp, packet.sender, packet.to, packet.from);
        self.send(server, Payload::Accept);
    }

    /// The queue was full, or the way is barred: the request is dropped, and the client repeats it after 1, 2, 4, … seconds.
    fn try_again(&mut self, packet: Outgoing, attempt: u32) {
        let wait = Duration::from_secs(1 << (attempt - 1));
        let payload = Payload::Connect { attempt: attempt + 1 };
        self.outbox.push_back(Outgoing { wait, payload, ..packet });
    }

    /// Makes the server's end of a connection and puts it into the listener's queue.
    pub(crate) fn enqueue(
        &mut self,
        listener: Id,
        kind: Kind,
        client: Id,
        local: Address,
        remote: Address,
    ) -> Id {
        let machine = self.listeners.get(&listener).map_or(MachineId::WORLD, |l| l.machine);
        let client_machine = self.endpoints.get(&client).map(|end| end.machine);
        let buffers = self.buffers_on(machine);
        let mut end = Endpoint::new(machine, kind, Owner::Queue, State::Connected, buffers);
        end.remote_machine = client_machine.unwrap_or(machine);
        (end.local, end.remote, end.peer) = (local, remote, Some(client));
        end.no_delay = kind == Kind::Tcp;
        if let Some(listening) = self.listeners.get(&listener) {
            end.keep_alive = listening.keep_alive;
        }
        let id = self.insert(end);
        if let Some(listening) = self.listeners.get_mut(&listener) {
            listening.queue.push_back(id);
        }
        self.edge(listener);
        id
    }
}

/// The first and Linux's six `tcp_syn_retries`: with the waits doubling from 1 s it gives up after 127 s.
const CONNECT_TRIES: u32 = 7;
