//! Where received bytes land: who is asked, how often, and what it may do meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use common::{Log, World};
use millrun_sim::Syscall;
use millrun_transport::{Landing, Protocol, SocketTransport, Transport, TransportOptions};

/// Has so much room, and takes what comes.
struct Bounded {
    room: Rc<Cell<usize>>,
    asked: Rc<Cell<usize>>,
    log: Log,
}

impl Protocol for Bounded {
    fn landing(&mut self) -> Landing<'_> {
        self.asked.set(self.asked.get() + 1);
        Landing::Shared(self.room.get())
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.room.set(self.room.get() - data.len());
        self.log.push(data.escape_ascii().to_string());
        Ok(())
    }
}

#[test]
fn d_01_a_receive_never_asks_for_more_than_the_room() {
    let mut world = World::new();
    let (socket, peer) = world.sim.scripted();
    let (room, asked, log) = (Rc::new(Cell::new(3)), Rc::new(Cell::new(0)), Log::default());
    let protocol = Bounded { room: room.clone(), asked: asked.clone(), log: log.clone() };
    let options = TransportOptions::default();
    let transport =
        SocketTransport::new(&world.handle(), socket, Box::new(protocol), options).unwrap();
    peer.send("abcdefgh");
    world.settle();
    // No room: no receive is done, and nobody asks again.
    assert_eq!((log.take(), asked.get()), (vec!["abc".to_owned()], 2));
    assert_eq!(peer.reads(), [Syscall::read(3, Ok(3))]);
    assert!(!transport.is_reading());
    room.set(4);
    world.settle();
    assert!(log.is_empty());
    transport.resume_reading();
    world.settle();
    assert_eq!(log.take(), ["defg"]);
    room.set(100);
    transport.resume_reading();
    world.settle();
    assert_eq!(log.take(), ["h"]);
    assert!(transport.is_reading());
}

/// Its bytes may land anywhere. At the byte `!` another protocol takes its place: from inside `data_received`, or from inside the
/// next `landing`, if it is asked again.
struct Careless {
    asked: Rc<Cell<usize>>,
    transport: Option<Rc<dyn Transport>>,
    next: Option<Bounded>,
    in_landing: bool,
    log: Log,
}

impl Careless {
    fn make_way(&mut self) {
        if let (Some(transport), Some(next)) = (&self.transport, self.next.take()) {
            transport.set_protocol(Box::new(next));
        }
    }
}

impl Protocol for Careless {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.transport = Some(transport);
    }

    fn landing(&mut self) -> Landing<'_> {
        self.asked.set(self.asked.get() + 1);
        if self.in_landing {
            self.make_way();
        }
        Landing::Anywhere
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.log.push(format!("anywhere {}", data.escape_ascii()));
        if data.ends_with(b"!") {
            self.make_way();
        }
        Ok(())
    }
}

#[test]
fn who_takes_bytes_anywhere_is_asked_once_and_the_next_one_anew() {
    for in_landing in [false, true] {
        let mut world = World::new();
        let (socket, peer) = world.sim.scripted();
        let (asked, next_asked) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let log = Log::default();
        let room = Rc::new(Cell::new(2));
        let next =
            Some(Bounded { room: room.clone(), asked: next_asked.clone(), log: log.clone() });
        let careless =
            Careless { asked: asked.clone(), transport: None, next, in_landing, log: log.clone() };
        let options = TransportOptions::default();
        let transport =
            SocketTransport::new(&world.handle(), socket, Box::new(careless), options).unwrap();
        if !in_landing {
            for text in ["a", "b", "c!"] {
                peer.send(text);
                world.settle();
            }
            assert_eq!(log.take(), ["anywhere a", "anywhere b", "anywhere c!"]);
        }
        peer.send("def");
        world.settle();
        assert_eq!((log.take(), asked.get()), (vec!["de".to_owned()], 1));
        // It has no room any more, and said so.
        assert_eq!(next_asked.get(), 2);
        assert!(!transport.is_reading());
    }
}

/// Calls the transport from inside `landing`.
struct Meddler {
    transport: Option<Rc<dyn Transport>>,
    meddle: fn(&dyn Transport, &Log),
    memory: Vec<u8>,
    log: Log,
}

impl Protocol for Meddler {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.transport = Some(transport);
    }

    fn landing(&mut self) -> Landing<'_> {
        if let Some(transport) = &self.transport {
            (self.meddle)(&**transport, &self.log);
        }
        Landing::Own(&mut self.memory)
    }

    fn landed(&mut self, n: usize) -> io::Result<()> {
        self.log.push(format!("landed {n}"));
        Ok(())
    }

    fn data_received(&mut self, _: &[u8]) -> io::Result<()> {
        unreachable!("it lands in memory of its own")
    }

    fn connection_lost(&mut self, _: Option<io::Error>) {
        self.log.push("lost");
    }
}

#[test]
fn what_landing_does_to_the_transport_counts_at_once() {
    for (meddle, expected) in [
        ((|t, _| t.pause_reading()) as fn(&dyn Transport, &Log), vec!["landed 0"]),
        (|t, _| t.abort(), vec!["landed 0", "lost"]),
        (
            |t, log| {
                log.push("replaced");
                t.set_protocol(Box::new(common::Probe::new(log, |_: &dyn Transport, _: &str| {
                    Ok(true)
                })));
            },
            vec!["replaced", "landed 0", "data x"],
        ),
        (|_, _| {}, vec!["landed 1"]),
    ] {
        let mut world = World::new();
        let (socket, peer) = world.sim.scripted();
        let log = Log::default();
        let meddler =
            Box::new(Meddler { transport: None, meddle, memory: vec![0; 9], log: log.clone() });
        SocketTransport::new(&world.handle(), socket, meddler, TransportOptions::default())
            .unwrap();
        peer.send("x");
        world.settle();
        assert_eq!(log.take(), expected);
    }
}

/// No room in memory of its own is no room: it is not asked again, and told nothing.
#[test]
fn d_01_own_memory_that_is_full_pauses() {
    let mut world = World::new();
    let (socket, peer) = world.sim.scripted();
    let log = Log::default();
    let full = Meddler {
        transport: None,
        meddle: |_, log| log.push("asked"),
        memory: Vec::new(),
        log: log.clone(),
    };
    let options = TransportOptions::default();
    let t = SocketTransport::new(&world.handle(), socket, Box::new(full), options).unwrap();
    peer.send("x");
    world.settle();
    assert_eq!((log.take(), t.is_reading()), (vec!["asked".to_owned()], false));
    assert!(peer.reads().is_empty());
}
