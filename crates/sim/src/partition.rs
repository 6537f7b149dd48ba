//! Who can't reach whom, and what becomes of the packets between them.
//!
//! - A packet that can't get through is held, as a sender would repeat it: when the way is free again all of them leave in
//!   their order, so a stream loses nothing. Requests to connect are not held; their sender repeats them after 1, 2, 4, …
//!   seconds, and gives up with ETIMEDOUT after 127.
//! - Who has bytes (or a FIN) on a way that stays barred gives up after the user timeout, with ETIMEDOUT. The other
//!   side hears nothing of it, and is reset when it next sends.
//! - Acknowledgements are held, too: what has arrived frees no room at a sender that can't hear it.
//! - A host that crashes loses its sockets without a word. While it is away it is as if all ways to it were barred; what then
//!   comes for a socket that was lost is answered with a reset.

use std::time::Duration;

use millrun_selector::Time;

use crate::Failure;
use crate::endpoint::{Id, State};
use crate::kernel::Tables;
use crate::machine::MachineId;
use crate::trace::What;
use crate::wire::{Outgoing, Payload};

impl Tables {
    /// A packet can go this way.
    pub(crate) fn is_open(&self, (from, to): (MachineId, MachineId)) -> bool {
        if from == to || (self.barred.is_empty() && self.all_up) {
            return true;
        }
        let is_up = |id| self.machines.get(id).is_up;
        is_up(from) && is_up(to) && !self.barred.contains(&(from, to))
    }

    pub(crate) fn bar(&mut self, from: MachineId, to: MachineId) {
        if from != to && self.barred.insert((from, to)) {
            let other = self.machines.get(to).name();
            self.tell(from, || What::Parted { from: other });
        }
    }

    pub(crate) fn open(&mut self, from: MachineId, to: MachineId) {
        if self.barred.remove(&(from, to)) {
            let other = self.machines.get(to).name();
            self.tell(from, || What::Healed { with: other });
        }
    }

    /// Keeps a packet until its way is open.
    pub(crate) fn hold(&mut self, now: Time, packet: Outgoing) {
        match packet.payload {
            Payload::Data(_) | Payload::Fin => self.arm(packet.sender, now + self.user_timeout),
            // Who asked repeats its request, and hears none of the answers.
            Payload::Accept | Payload::Reset(_) => {
                let client = packet.target.and_then(|id| Some((id, self.endpoints.get(&id)?)));
                let asking = client.filter(|(_, end)| end.state == State::Connecting);
                if let Some((client, began)) = asking.map(|(id, end)| (id, end.began)) {
                    self.arm(client, began + CONNECT_TIMEOUT);
                }
            }
            _ => {}
        }
        self.held.insert(packet.number, packet);
    }

    /// Sends again what is held and whose way is open now, and lets senders hear what has arrived.
    pub(crate) fn release(&mut self) {
        let held = std::mem::take(&mut self.held);
        for (number, packet) in held {
            if self.is_open(packet.route) {
                self.outbox.push_back(packet);
            } else {
                self.held.insert(number, packet);
            }
        }
        let is_waiting = |id: &Id, tables: &Tables| {
            let end = tables.endpoints.get(id)?;
            let ways = [(end.machine, end.remote_machine), (end.remote_machine, end.machine)];
            let is_open = ways.into_iter().all(|way| tables.is_open(way));
            (is_open && end.state == State::Connected).then_some(*id)
        };
        let late: Vec<Id> = self.endpoints.keys().filter_map(|id| is_waiting(id, self)).collect();
        for id in late {
            self.disarm(id);
            self.take_in(id);
        }
    }

    /// The connection ends with ETIMEDOUT at this moment, unless something happens before.
    fn arm(&mut self, id: Id, at: Time) {
        let Some(end) = self.endpoints.get_mut(&id) else { return };
        if end.state != State::Dead && end.alarm.is_none() {
            end.alarm = Some(at);
            self.alarms.insert((at, id));
        }
    }

    pub(crate) fn disarm(&mut self, id: Id) {
        if let Some(at) = self.endpoints.get_mut(&id).and_then(|end| end.alarm.take()) {
            self.alarms.remove(&(at, id));
        }
    }

    /// Ends the connections whose time is over. True if there was one.
    pub(crate) fn ring(&mut self, now: Time) -> bool {
        let mut any = false;
        while let Some((at, id)) = self.alarms.first().copied().filter(|(at, _)| *at <= now) {
            self.alarms.remove(&(at, id));
            self.held.retain(|_, packet| packet.sender != id);
            if let Some(end) = self.endpoints.get_mut(&id) {
                (end.alarm, end.gave_up) = (None, true);
            }
            self.kill(id, Failure::ETIMEDOUT);
            any = true;
        }
        any
    }

    /// What has arrived can't be acknowledged now.
    pub(crate) fn owe(&mut self, receiver: Id, sender: Id, bytes: usize) {
        if let Some(end) = self.endpoints.get_mut(&receiver) {
            end.acks_owed += bytes;
        }
        self.arm(sender, self.clock.now_here() + self.user_timeout);
    }

    /// A machine loses its power: all its sockets are gone, and nobody is told.
    pub(crate) fn crash(&mut self, machine: MachineId) {
        let here = |end: &MachineId| *end == machine;
        let lost = self.endpoints.iter().filter(|(_, end)| here(&end.machine)).map(|(id, _)| *id);
        for id in lost.collect::<Vec<_>>() {
            self.disarm(id);
            if let Some(end) = self.endpoints.remove(&id) {
                self.forget(id, &end.cell);
            }
        }
        self.listeners.retain(|_, listening| !here(&listening.machine));
        self.held.retain(|_, packet| !here(&packet.route.0));
        self.lose_flights_of(machine);
        let next = self.peek_id();
        self.machines.get_mut(machine).crash(next);
        self.all_up = false;
        self.tell(machine, || What::Crashed);
    }

    /// It is there again, with nothing.
    pub(crate) fn restart(&mut self, machine: MachineId) {
        if !std::mem::replace(&mut self.machines.get_mut(machine).is_up, true) {
            self.all_up = self.machines.all_up();
            self.tell(machine, || What::Restarted);
        }
    }
}

/// Linux's: `tcp_syn_retries` is 6, and the waits double from 1 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(127);

/// Linux's: what its documentation gives for `tcp_retries2` of 15.
pub(crate) const USER_TIMEOUT: Duration = Duration::from_millis(924_600);
