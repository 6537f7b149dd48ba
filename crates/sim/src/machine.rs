//! Which machine has which address? Each has its own ports, its own budget of descriptors, and its own Unix paths.
//!
//! The machine without a name has every address that no host has: it is the rest of the world.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

use millrun_selector::Address;

use crate::endpoint::{Buffers, Id};
use crate::{Failure, Faults};

/// The place of a machine in the kernel's list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct MachineId(pub(crate) u32);

impl MachineId {
    /// The one without a name.
    pub(crate) const WORLD: MachineId = MachineId(0);
}

#[derive(Debug)]
pub(crate) struct Machine {
    /// `None` for the one that has every address.
    pub(crate) host: Option<Host>,
    /// How many sockets hold each port.
    ports: BTreeMap<u16, usize>,
    next_port: u16,
    pub(crate) is_up: bool,
    /// Sockets with a lower number were lost in a crash.
    pub(crate) lost_below: Id,
    /// The numbers of its selectors.
    pub(crate) selectors: Vec<u32>,
    pub(crate) fd_limit: usize,
    /// `None`: as the whole simulation.
    pub(crate) buffers: Option<Buffers>,
    /// `None`: as the whole simulation.
    pub(crate) faults: Option<Faults>,
}

/// What makes a machine a host.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) name: Rc<str>,
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Ipv6Addr,
}

impl Machine {
    pub(crate) fn new(host: Option<Host>) -> Machine {
        Machine {
            host,
            ports: BTreeMap::new(),
            next_port: FIRST_EPHEMERAL,
            is_up: true,
            lost_below: 0,
            selectors: Vec::new(),
            fd_limit: usize::MAX,
            buffers: None,
            faults: None,
        }
    }

    /// Its name; the one without is the world.
    pub(crate) fn name(&self) -> Rc<str> {
        self.host.as_ref().map_or_else(|| "world".into(), |host| Rc::clone(&host.name))
    }

    /// Sockets here may be bound to this address: all zeros is any of its own.
    pub(crate) fn has(&self, ip: IpAddr) -> bool {
        let own = |host: &Host| ip == host.v4 || ip == host.v6;
        self.host.as_ref().is_none_or(own) || ip.is_unspecified() || ip.is_loopback()
    }

    /// A port that nobody here has.
    ///
    /// # Errors
    /// EADDRNOTAVAIL when all are taken.
    pub(crate) fn free_port(&mut self) -> io::Result<u16> {
        for _ in FIRST_EPHEMERAL..=u16::MAX {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_EPHEMERAL);
            if !self.ports.contains_key(&port) {
                return Ok(port);
            }
        }
        Err(Failure::EADDRNOTAVAIL.into())
    }

    pub(crate) fn is_held(&self, port: u16) -> bool {
        self.ports.contains_key(&port)
    }

    pub(crate) fn hold_port(&mut self, port: u16) {
        *self.ports.entry(port).or_default() += 1;
    }

    pub(crate) fn release_port(&mut self, port: u16) {
        if let Some(holders) = self.ports.get_mut(&port) {
            *holders -= 1;
            if *holders == 0 {
                self.ports.remove(&port);
            }
        }
    }

    /// Its power is gone. The next socket will have the number `next`.
    pub(crate) fn crash(&mut self, next: Id) {
        self.ports.clear();
        self.is_up = false;
        self.lost_below = next;
    }
}

/// All machines. Never empty, and none ever leaves: an id stays good.
#[derive(Debug)]
pub(crate) struct Machines(Vec<Machine>);

impl Machines {
    pub(crate) fn new() -> Machines {
        Machines(vec![Machine::new(None)])
    }

    pub(crate) fn get(&self, id: MachineId) -> &Machine {
        &self.0[id.0 as usize]
    }

    pub(crate) fn get_mut(&mut self, id: MachineId) -> &mut Machine {
        &mut self.0[id.0 as usize]
    }

    pub(crate) fn named(&self, name: &str) -> Option<MachineId> {
        self.position(|host| *host.name == *name)
    }

    /// Adds a host: the n-th has 10.0.x.y with n = 256 x + y, and fd00::n.
    pub(crate) fn add(&mut self, name: &str) -> MachineId {
        // 2^24 hosts need more memory than there is.
        let number = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let v4 = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) | number);
        let v6 = Ipv6Addr::from(u128::from(FIRST_V6) | u128::from(number));
        self.0.push(Machine::new(Some(Host { name: name.into(), v4, v6 })));
        MachineId(number)
    }

    /// Where a packet to this address goes that leaves from `here`.
    pub(crate) fn route(&self, here: MachineId, to: &Address) -> MachineId {
        let Some(inet) = to.as_inet() else { return here };
        let ip = inet.ip();
        let is_here = self.get(here).host.is_some() && self.get(here).has(ip);
        if is_here || ip.is_loopback() {
            return here;
        }
        self.position(|host| ip == host.v4 || ip == host.v6).unwrap_or(MachineId::WORLD)
    }

    /// The address of a socket on `here` that connects to `to`.
    pub(crate) fn source(&self, here: MachineId, to: SocketAddr) -> SocketAddr {
        let is_local = self.route(here, &to.into()) == here;
        let own = self.get(here).host.as_ref();
        let ip = match to.ip() {
            ip if is_local => ip,
            IpAddr::V4(_) => own.map_or(WORLD_V4, |host| host.v4).into(),
            IpAddr::V6(_) => own.map_or(WORLD_V6, |host| host.v6).into(),
        };
        SocketAddr::new(ip, 0)
    }

    pub(crate) fn all_up(&self) -> bool {
        self.0.iter().all(|machine| machine.is_up)
    }

    fn position(&self, is: impl Fn(&Host) -> bool) -> Option<MachineId> {
        let place = self.0.iter().position(|machine| machine.host.as_ref().is_some_and(&is))?;
        u32::try_from(place).ok().map(MachineId)
    }
}

/// The first port that the kernel hands out by itself: IANA's dynamic range.
const FIRST_EPHEMERAL: u16 = 49_152;

/// What the machine without a name calls itself before a host: an address for documentation, so nobody's.
const WORLD_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const WORLD_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// fd00::, private as 10.0.0.0/8 is.
const FIRST_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0);
