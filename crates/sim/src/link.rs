//! What lies between two sockets: [`Rule`]s in a row, each looking at a [`Packet`].
//!
//! A rule says how much longer a packet takes; the delays of all rules add up. Packets of one
//! direction of a connection never overtake each other, as TCP has it. Unix sockets have no link.

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

impl<R: Rule> Rule for OnPort<R> {
    fn delay(&self, packet: &Packet<'_>, rng: &mut Rng) -> Duration {
        let here = [packet.from, packet.to].iter().any(|a| a.port() == Some(self.0));
        if here { self.1.delay(packet, rng) } else { Duration::ZERO }
    }
}

impl<R> fmt::Debug for OnPort<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OnPort({})", self.0)
    }
}
