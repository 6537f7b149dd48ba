//! What is played: each scenario adds hosts to a world, runs it, and judges.

use millrun_testbed::{World, WorldError};

use crate::{chat, idle, mixed, partition, relay, shutdown};

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) play: fn(&World) -> Result<(), WorldError>,
}

pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        name: "mixed",
        about: "clients on both layers read, write, half-close, abort, pause and replace protocols",
        play: mixed::play,
    },
    Scenario {
        name: "relay",
        about: "clients reach a backend through a relay that copies both ways",
        play: relay::play,
    },
    Scenario { name: "chat", about: "what one says all others hear, in order", play: chat::play },
    Scenario {
        name: "shutdown",
        about: "a server shuts down under load, by each of its ways",
        play: shutdown::play,
    },
    Scenario {
        name: "partition",
        about: "hosts are parted and healed, crash and come back",
        play: partition::play,
    },
    Scenario {
        name: "idle",
        about: "100 connections that say a word now and then, for an hour",
        play: idle::play,
    },
];

pub(crate) fn named(name: &str) -> Result<&'static Scenario, String> {
    ALL.iter().find(|scenario| scenario.name == name).ok_or_else(|| {
        let lines = ALL.iter().map(|s| format!("\n  {:10} {}", s.name, s.about));
        format!("there is no scenario {name}, but{}", lines.collect::<String>())
    })
}
