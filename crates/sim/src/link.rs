//! What lies between two sockets: [`Rule`]s in a row, each looking at a [`Packet`].
//!
//! A rule says how much longer a packet takes; the delays of all rules add up. Packets of one
//! direction of a connection never overtake each other, as TCP has it. Unix sockets have no link.

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use millrun_selector::{Address, Time};

use crate::Rng;

/// Something on its way from one TCP socket to another.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Packet<'a> {
    /// Where it comes from.
    pub from: &'a Address,
    /// Where it goes.
    pub to: &'a Address,
    /// The host that it comes from; `None` is the machine without a name.
    pub from_host: Option<&'a str>,
    /// The host that it goes to.
    pub to_host: Option<&'a str>,
    /// What it is.
    pub kind: PacketKind,
    /// How many bytes of the stream it carries.
    pub bytes: usize,
    /// When it was sent.
    pub sent: Time,
}

/// What a [`Packet`] is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PacketKind {
    /// Asks for a connection.
    Connect,
    /// Grants it.
    Accept,
    /// Bytes.
    Data,
    /// The sender will send no more.
    Fin,
    /// The connection is over, or was refused.
    Reset,
}

/// One property of the network.
///
/// Any `Fn(&Packet<'_>, &mut Rng) -> Duration` is one. A rule may look at the simulation but must not
/// send through it.
pub trait Rule {
    /// How much longer this packet takes. All chance comes from `rng`, so that the run can be replayed.
    fn delay(&self, packet: &Packet<'_>, rng: &mut Rng) -> Duration;

    /// How many bytes of the stream pass in one piece: a packet with more is cut. All of it, unless told.
    fn most(&self, packet: &Packet<'_>) -> usize {
        let _ = packet;
        usize::MAX
    }
}

impl<F: Fn(&Packet<'_>, &mut Rng) -> Duration> Rule for F {
    fn delay(&self, packet: &Packet<'_>, rng: &mut Rng) -> Duration {
        self(packet, rng)
    }
}

/// Every packet takes this long.
#[derive(Clone, Copy, Debug)]
pub struct Delay(pub Duration);

impl Rule for Delay {
    fn delay(&self, _: &Packet<'_>, _: &mut Rng) -> Duration {
        self.0
    }
}

/// Every packet takes a random time below this.
#[derive(Clone, Copy, Debug)]
pub struct Jitter(pub Duration);

impl Rule for Jitter {
    fn delay(&self, _: &Packet<'_>, rng: &mut Rng) -> Duration {
        let most = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(rng.within(0..most))
    }
}

/// A rule for the packets to or from one port.
pub struct OnPort<R>(pub u16, pub R);

impl<R> OnPort<R> {
    fn applies(&self, packet: &Packet<'_>) -> bool {
        [packet.from, packet.to].iter().any(|a| a.port() == Some(self.0))
    }
}

impl<R: Rule> Rule for OnPort<R> {
    fn delay(&self, packet: &Packet<'_>, rng: &mut Rng) -> Duration {
        if self.applies(packet) { self.1.delay(packet, rng) } else { Duration::ZERO }
    }

    fn most(&self, packet: &Packet<'_>) -> usize {
        if self.applies(packet) { self.1.most(packet) } else { usize::MAX }
    }
}

impl<R> fmt::Debug for OnPort<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OnPort({})", self.0)
    }
}

/// So many bytes a second, in each direction between two hosts; one packet waits for those before it. Where no hosts are, in
/// each direction of a connection.
///
/// A slow peer is `Toward::new("peer", Bandwidth::new(1000))`: the sender's buffer empties no faster than that.
pub struct Bandwidth {
    bytes_per_second: u64,
    /// Until when each direction is busy.
    busy: RefCell<Vec<(Direction, Time)>>,
}

#[derive(PartialEq)]
enum Direction {
    Hosts(Box<str>, Box<str>),
    Sockets(Address, Address),
}

impl Bandwidth {
    /// At least one byte a second.
    pub fn new(bytes_per_second: u64) -> Bandwidth {
        Bandwidth { bytes_per_second: bytes_per_second.max(1), busy: RefCell::default() }
    }
}

impl Rule for Bandwidth {
    fn delay(&self, packet: &Packet<'_>, _: &mut Rng) -> Duration {
        let direction = match (packet.from_host, packet.to_host) {
            (Some(from), Some(to)) => Direction::Hosts(from.into(), to.into()),
            _ => Direction::Sockets(packet.from.clone(), packet.to.clone()),
        };
        let nanos = packet.bytes as u128 * 1_000_000_000 / u128::from(self.bytes_per_second);
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut busy = self.busy.borrow_mut();
        // What is idle is as if it had never been: the list is as long as there are busy directions.
        busy.retain(|(_, until)| *until > packet.sent);
        let place = busy.iter().position(|(d, _)| *d == direction).unwrap_or_else(|| {
            busy.push((direction, packet.sent));
            busy.len() - 1
        });
        busy[place].1 += takes;
        busy[place].1.since(packet.sent)
    }

    /// What it carries in 10 ms, but not less than a segment of Ethernet.
    fn most(&self, _: &Packet<'_>) -> usize {
        usize::try_from(self.bytes_per_second / 100).unwrap_or(usize::MAX).max(1460)
    }
}

impl fmt::Debug for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bandwidth({} B/s)", self.bytes_per_second)
    }
}

/// A rule for the packets between two hosts, both ways.
pub struct Between<R> {
    hosts: [Box<str>; 2],
    rule: R,
}

/// A rule for the packets to one host.
pub struct Toward<R> {
    host: Box<str>,
    rule: R,
}

/// A rule for the packets from one host.
pub struct Leaving<R> {
    host: Box<str>,
    rule: R,
}

impl<R> Between<R> {
    /// Between the hosts of these names.
    pub fn new(one: &str, other: &str, rule: R) -> Between<R> {
        Between { hosts: [one.into(), other.into()], rule }
    }

    fn applies(&self, packet: &Packet<'_>) -> bool {
        let [one, other] = [&*self.hosts[0], &*self.hosts[1]].map(Some);
        let ends = (packet.from_host, packet.to_host);
        ends == (one, other) || ends == (other, one)
    }
}

impl<R> Toward<R> {
    /// To the host of this name.
    pub fn new(host: &str, rule: R) -> Toward<R> {
        Toward { host: host.into(), rule }
    }

    fn applies(&self, packet: &Packet<'_>) -> bool {
        packet.to_host == Some(&*self.host)
    }
}

impl<R> Leaving<R> {
    /// From the host of this name.
    pub fn new(host: &str, rule: R) -> Leaving<R> {
        Leaving { host: host.into(), rule }
    }

    fn applies(&self, packet: &Packet<'_>) -> bool {
        packet.from_host == Some(&*self.host)
    }
}

/// Rules that ask another one if they apply.
macro_rules! conditional {
    ($($name:ident),+) => {$(
        impl<R: Rule> Rule for $name<R> {
            fn delay(&self, packet: &Packet<'_>, rng: &mut Rng) -> Duration {
                if self.applies(packet) { self.rule.delay(packet, rng) } else { Duration::ZERO }
            }

            fn most(&self, packet: &Packet<'_>) -> usize {
                if self.applies(packet) { self.rule.most(packet) } else { usize::MAX }
            }
        }
    )+};
}

conditional!(Between, Toward, Leaving);

impl<R> fmt::Debug for Between<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Between({}, {})", self.hosts[0], self.hosts[1])
    }
}

impl<R> fmt::Debug for Toward<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Toward({})", self.host)
    }
}

impl<R> fmt::Debug for Leaving<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leaving({})", self.host)
    }
}
