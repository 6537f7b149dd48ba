//! Some calls of each scenario fail, in each way; `cargo xtask torture` does all of them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod certificates;
mod scenarios;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use millrun_selector::{Address, ConnectOptions, ListenOptions};
use millrun_sim::Sim;
use millrun_testbed::torture::{Call, Torture, Which};

/// Some of the calls, and some pairs: enough to see that the harness and the scenarios go together.
fn some() -> [Which; 2] {
    let (mut single, mut pairs) = (Which::default(), Which::default());
    single.stride = 5;
    pairs.pairs = 100;
    [single, pairs]
}

#[test]
fn no_call_that_fails_hurts_anything_else() {
    let mut runs = 0;
    for scenario in scenarios::ALL {
        for which in some() {
            let report = scenario.torture(&which, |_, _| ());
            report.assert_clean();
            assert!(report.unharmed > 0, "{report}");
            runs += report.runs;
            println!("{report}");
        }
    }
    assert!(runs > 500, "only {runs} runs");
}

/// A call that no scenario makes is never made to fail.
#[test]
fn the_scenarios_make_every_kind_of_call() {
    let mut which = Which::default();
    which.at = Some(usize::MAX);
    let made: BTreeSet<String> = scenarios::ALL
        .iter()
        .flat_map(|scenario| scenario.torture(&which, |_, _| ()).calls)
        .map(|call| format!("{call:?}"))
        .collect();
    let all: BTreeSet<String> = Call::ALL.iter().map(|call| format!("{call:?}")).collect();
    assert_eq!(made, all);
}

/// What is below decides what an accept tells, wrapped or not: of TCP, the simulation's leaves the peer to be asked for.
#[test]
fn a_wrapped_listener_accepts_bare_as_the_one_below() {
    let (sim, torture) = (Sim::new(1), Torture::counting());
    let (at, network) = (Address::from((Ipv4Addr::LOCALHOST, 80)), sim.network());
    let listener = network.listen(&at, &ListenOptions::default()).unwrap();
    let listener = torture.listener(listener);
    let _client = network.connect(&at, &ConnectOptions::default()).unwrap();
    let (socket, peer) = listener.try_accept_bare().unwrap();
    assert_eq!(peer, None);
    socket.peer_addr().unwrap();
    assert_eq!(torture.calls(), [Call::Accept, Call::Name]);
}
