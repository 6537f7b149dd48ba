//! A tracing subscriber that keeps what is logged on this thread: `LEVEL message`, one string an event.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Runs `f` and gives what it logged beside its output.
pub(crate) fn record<T>(f: impl FnOnce() -> T) -> (T, Vec<String>) {
    record_broken(0, f)
}

/// As [`record`], by a subscriber that panics at the first `broken` events.
pub(crate) fn record_broken<T>(broken: u32, f: impl FnOnce() -> T) -> (T, Vec<String>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let recorder = Recorder { events: Arc::clone(&events), broken: AtomicU32::new(broken) };
    let output = tracing::subscriber::with_default(recorder, f);
    let events = events.lock().unwrap().clone();
    (output, events)
}

struct Recorder {
    events: Arc<Mutex<Vec<String>>>,
    broken: AtomicU32,
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("millrun")
    }

    fn event(&self, event: &Event<'_>) {
        let broken = self.broken.load(Relaxed);
        if broken > 0 {
            self.broken.store(broken - 1, Relaxed);
            panic!("the subscriber is broken");
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        self.events.lock().unwrap().push(format!("{} {}", event.metadata().level(), message.0));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
