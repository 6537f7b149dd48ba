//! Every public call of the stack that can be awaited, in a small program that goes on when it was given up.

mod connecting;
mod looping;
mod reading;
mod serving;
mod tls;
mod writing;

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use millrun_sim::{Delay, Faults, Sim};
use millrun_testbed::Scene;
use millrun_testbed::cancel::{Cut, Report, everywhere};

/// A program with one call under test.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The public functions and futures that it awaits, as `crate::name`.
    pub(crate) covers: &'static [&'static str],
    run: fn(Scene, Cut) -> Running,
}

type Running = Pin<Box<dyn Future<Output = io::Result<String>>>>;

/// `"name" (covers…) = path::to::program` for each case; a program gives anything that has a `Debug` text.
macro_rules! cases {
    ($($name:literal ($($covers:literal)*) = $program:path;)*) => {
        &[$(crate::calls::Case {
            name: $name,
            covers: &[$($covers),*],
            run: |scene, cut| Box::pin(crate::calls::in_words($program(scene, cut))),
        },)*]
    };
}
use cases;

async fn in_words<T: Debug>(program: impl Future<Output = io::Result<T>>) -> io::Result<String> {
    program.await.map(|output| format!("{output:?}"))
}

pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    let streams = [connecting::CASES, reading::CASES, serving::CASES, writing::CASES];
    streams.into_iter().chain([looping::CASES, tls::CASES]).flatten()
}

impl Case {
    /// The case given up everywhere, on a machine of this seed.
    pub(crate) fn report(&self, seed: u64) -> Report {
        everywhere(self.name, || world(seed), self.run)
    }
}

/// Small buffers, a slow link and short transfers: whatever can wait, waits, and often.
fn world(seed: u64) -> Sim {
    let sim = Sim::new(seed);
    sim.set_buffers(50, 40);
    sim.faults(Faults { short_reads: 0.3, short_writes: 0.3, would_block: 0.2 });
    sim.add_rule(Delay(Duration::from_millis(2)));
    let ip = |last| IpAddr::from([10, 0, 0, last]);
    sim.add_host("server", [ip(1)]);
    sim.add_host("here", [ip(2)]);
    sim.add_host("many", [ip(7), ip(8), ip(1)]);
    sim
}
