//! What the whole stack is used for, as small programs: each ends by itself, gives what must come out the same, and
//! lets no error go unheard.
#![allow(dead_code, unreachable_pub, reason = "shared by a test and a program, each uses its part")]

mod protocols;
mod streams;
mod tls;

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use millrun_sim::{Delay, Sim};
use millrun_testbed::Scene;
use millrun_testbed::torture::{Report, Which, some};

/// A program on one machine.
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(Scene) -> Running,
}

pub type Running = Pin<Box<dyn Future<Output = io::Result<Vec<u8>>>>>;

macro_rules! scenarios {
    ($($name:literal: $module:ident::$function:ident,)*) => {
        &[$(Scenario { name: $name, run: |scene| Box::pin($module::$function(scene)) },)*]
    };
}

pub const ALL: &[Scenario] = scenarios![
    "echo-streams": streams::echo,
    "echo-protocol": protocols::echo,
    "lines": streams::lines,
    "clients": streams::clients,
    "addresses": streams::addresses,
    "transfer": streams::transfer,
    "upgrade": protocols::upgrade,
    "unix": streams::unix,
    "tls": tls::echo,
    "start-tls": tls::upgrade,
];

impl Scenario {
    /// The runs of this scenario in which a call fails.
    pub fn torture(&self, which: &Which, progress: impl FnMut(usize, usize)) -> Report {
        some(self.name, which, world, self.run, progress)
    }
}

/// The machine: names, a slow link and small buffers, so that everything has to wait.
pub fn world() -> Sim {
    let sim = Sim::new(1);
    sim.set_buffers(4096, 4096);
    sim.add_rule(Delay(Duration::from_millis(1)));
    let ip = |last| IpAddr::from([10, 0, 0, last]);
    sim.add_host("server", [ip(1)]);
    sim.add_host("many", [ip(7), ip(8), ip(1)]);
    sim
}

/// Bytes that are nowhere alike.
pub fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 31 % 251) as u8).collect()
}

/// That something came short is an error too.
pub fn short(what: &str, got: usize, expected: usize) -> io::Error {
    let text = format!("{what} ended early: {got} of {expected} bytes");
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}
