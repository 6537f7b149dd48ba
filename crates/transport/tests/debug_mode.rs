//! What debug mode says of a transport (L-104).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::World;
use millrun_transport::{Transport, Watermarks};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Keeps the warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Visit for Warnings {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Both that an event and that the end of a unit took long.
#[test]
fn l_104_slow_callbacks_of_a_protocol_are_those_of_its_transport() {
    let warnings = Warnings::default();
    let mut world = World::new();
    world.handle().set_debug(true);
    let sim = world.sim.clone();
    let c = world.connect_with(move |_, event| {
        match event {
            "data x" => sim.advance(Duration::from_secs(1)),
            "pause" => sim.advance(Duration::from_secs(2)),
            _ => {}
        }
        Ok(true)
    });
    c.transport.set_write_buffer_limits(Watermarks::from_high(0)).unwrap();
    c.peer.set_send_window(0);
    tracing::subscriber::with_default(warnings.clone(), || {
        c.peer.send("x");
        world.settle();
        // Outside of any unit: what it leaves is queued.
        c.transport.write(b"y");
        world.settle();
    });
    assert_eq!(c.log.take(), ["data x", "pause"]);
    let warnings = warnings.0.lock().unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].starts_with("Executing SocketTransport took 1.0"), "{warnings:?}");
    assert!(warnings[1].starts_with("Executing SocketTransport took 2.0"), "{warnings:?}");
}
