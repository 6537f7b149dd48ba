//! The same lives on every kernel: what was heard is compared, line by line.
#![cfg(feature = "transport")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod broken;
mod worlds;

use std::io;
use std::time::Duration;

use broken::transport::BrokenTransports;
use millrun_conformance::{
    Connection, Invariant, Transcript, TransportAbilities, TransportWorld, transcribe,
};
use millrun_loop::EventLoop;
use worlds::sockets::Kind;
use worlds::transports::{Far, Sockets};

/// A life of which TCP and Unix sockets hear differently.
struct Difference {
    life: &'static str,
    tcp: &'static [&'static str],
    unix: &'static [&'static str],
    why: &'static str,
}

/// All that may differ.
const ALLOWED: &[Difference] = &[Difference {
    life: "a peer that dies",
    tcp: &["made", "data(5000)", "lost: ConnectionReset", "outcome: flushed"],
    unix: &["made", "data(5000)", "eof", "lost", "outcome: flushed"],
    why: "SO_LINGER does nothing on a Unix socket: a close is an end of file",
}];

fn real(kind: Kind) -> Vec<Transcript> {
    transcribe(|| Sockets::of_the_os(kind, Far::Socket)).unwrap()
}

fn simulated(kind: Kind) -> Vec<Transcript> {
    transcribe(|| Sockets::simulated(kind, Far::Socket)).unwrap()
}

/// They are the same, and there is something in them.
#[track_caller]
fn are_the_same(simulated: &[Transcript], real: &[Transcript]) {
    assert_eq!(simulated.len(), real.len());
    for (simulated, real) in simulated.iter().zip(real) {
        assert!(!real.lines.is_empty(), "{real}");
        assert_eq!(simulated, real, "simulated: {simulated}\nreal: {real}");
    }
}

#[test]
fn the_same_scenario_on_sim_and_on_real_sockets_gives_the_same_transcript() {
    for kind in [Kind::Tcp, Kind::Unix] {
        are_the_same(&simulated(kind), &real(kind));
    }
}

/// Who is at the other end makes no difference either, but that a transport can't die.
#[test]
fn a_transport_as_a_peer_gives_the_same_transcript() {
    let paired = transcribe(|| Sockets::simulated(Kind::Tcp, Far::Transport)).unwrap();
    for (paired, socket) in paired.iter().zip(&simulated(Kind::Tcp)) {
        if paired.scenario != "a peer that dies" {
            assert_eq!(paired, socket, "a transport: {paired}\na socket: {socket}");
        }
    }
}

/// How long bytes are on their way makes none: no life counts on what it did not wait for.
#[test]
fn a_distant_peer_gives_the_same_transcript() {
    for far in [Far::Socket, Far::Transport] {
        // Longer than a stage settles.
        let distant = transcribe(|| Sockets::distant(far, Duration::from_millis(20))).unwrap();
        let near = transcribe(|| Sockets::simulated(Kind::Tcp, far)).unwrap();
        for (distant, near) in distant.iter().zip(&near) {
            assert_eq!(distant, near, "{far:?}, distant: {distant}\nnear: {near}");
        }
    }
}

/// A world whose transports need not keep to the room.
struct Roomless(Sockets);

impl TransportWorld for Roomless {
    fn event_loop(&mut self) -> &mut EventLoop {
        self.0.event_loop()
    }

    fn connect(&mut self) -> io::Result<Connection> {
        self.0.connect()
    }

    fn abilities(&self) -> TransportAbilities {
        self.0.abilities().without_room()
    }
}

/// Nor does it whether bytes are left unread one way or the other.
#[test]
fn a_transport_without_room_gives_the_same_transcript() {
    let roomless = transcribe(|| Sockets::simulated(Kind::Tcp, Far::Socket).map(Roomless)).unwrap();
    for (roomless, other) in roomless.iter().zip(&simulated(Kind::Tcp)) {
        assert_eq!(roomless, other, "without room: {roomless}\nwith room: {other}");
    }
}

/// The comparison bites.
#[test]
fn a_transport_that_is_wrong_gives_another_transcript() {
    for (bug, life) in [
        (Invariant::LostTellsWhy, "a failure by request"),
        (Invariant::ClosedIsTold, "a close with much unsent"),
    ] {
        let wrong = transcribe(|| BrokenTransports::new(Some(bug))).unwrap();
        let differing = wrong.iter().zip(simulated(Kind::Tcp)).filter(|(a, b)| *a != b);
        let lives: Vec<_> = differing.map(|(wrong, _)| wrong.scenario).collect();
        assert!(lives.contains(&life), "{bug}: {lives:?}");
    }
}

#[test]
fn tcp_and_unix_differ_only_where_they_may() {
    let (tcp, unix) = (real(Kind::Tcp), real(Kind::Unix));
    let differing: Vec<_> = tcp.iter().zip(&unix).filter(|(tcp, unix)| tcp != unix).collect();
    let lives: Vec<_> = differing.iter().map(|(tcp, _)| tcp.scenario).collect();
    let allowed: Vec<_> = ALLOWED.iter().map(|row| row.life).collect();
    assert_eq!(lives, allowed, "{differing:#?}");
    for ((tcp, unix), row) in differing.iter().zip(ALLOWED) {
        assert_eq!(tcp.lines, row.tcp, "{}", row.why);
        assert_eq!(unix.lines, row.unix, "{}", row.why);
    }
}
