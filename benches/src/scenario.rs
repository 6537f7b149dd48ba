//! The table of scenarios: what is asked of every server. The runner, the load and the report read the same rows.

use crate::contract::Shape;
use crate::peer;

/// What the load does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Each connection keeps `depth` messages of `size` bytes in flight; what comes back is compared byte by byte.
    Echo,
    /// As an echo, of lines of `size` bytes with their line feed.
    Lines,
    /// One connection sends so many bytes; the server answers with their digest.
    Upload,
    /// One connection asks for so many bytes; the load takes their digest.
    Download,
    /// Each of `connections` at a time: connect, echo one message, shut down, wait for the end of file; then again.
    Churn,
    /// One publisher, `connections` subscribers; the next message is sent when all have the last.
    Fanout,
    /// An echo through a relay to a hand-written echo server on the load's core.
    Relay,
    /// Each of `connections` at a time: connect, shake hands, say the end, wait for the server's; then again.
    Handshakes {
        /// Each takes up the session of the one before it in its place.
        resumes: bool,
    },
    /// Memory of connections that do nothing, before and after one echo on each.
    Idle,
    /// An echo on `connections`, while `stalled` others ask for a download and never read it.
    Mixed {
        /// How many never read.
        stalled: usize,
    },
}

/// One row.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Scenario {
    /// Its name on the command line and in the report.
    pub name: &'static str,
    /// What it asks, in a few words.
    pub about: &'static str,
    /// What the server does.
    pub shape: Shape,
    /// What the load does.
    pub kind: Kind,
    /// Connections of the load.
    pub connections: usize,
    /// Bytes of a message.
    pub size: usize,
    /// Messages of one connection in flight.
    pub depth: usize,
    /// What costs are given per: "message", "line", "KiB", "connection" or "delivery".
    pub unit: &'static str,
    /// Over TLS.
    pub tls: bool,
}

impl Scenario {
    /// The server that others are compared with: the hand-written one; over TLS, which nobody writes by hand, tokio's.
    #[must_use]
    pub const fn limit(&self) -> &'static str {
        if self.tls { peer::TLS_LIMIT } else { peer::LIMIT }
    }
}

const KIB: usize = 1024;

const ECHO: Scenario = Scenario {
    name: "echo-1",
    about: "1 KiB, one connection: latency",
    shape: Shape::Echo,
    kind: Kind::Echo,
    connections: 1,
    size: KIB,
    depth: 1,
    unit: "message",
    tls: false,
};

const SECURE: Scenario = Scenario {
    name: "tls-echo",
    about: "1 KiB on 64 connections, over TLS",
    connections: 64,
    tls: true,
    ..ECHO
};

/// All of them, in the order of the report.
pub const ALL: &[Scenario] = &[
    ECHO,
    Scenario { name: "echo-64", about: "1 KiB on 64 connections", connections: 64, ..ECHO },
    Scenario { name: "echo-1000", about: "1 KiB on 1000 connections", connections: 1000, ..ECHO },
    Scenario { name: "echo-8000", about: "1 KiB on 8000 connections", connections: 8000, ..ECHO },
    Scenario {
        name: "pipelined",
        about: "64 B on 256 connections, 16 in flight on each",
        connections: 256,
        size: 64,
        depth: 16,
        ..ECHO
    },
    Scenario {
        name: "blocks",
        about: "64 KiB on 16 connections",
        connections: 16,
        size: 64 * KIB,
        ..ECHO
    },
    Scenario {
        name: "lines",
        about: "lines of 100 B on 64 connections, 16 in flight on each; each is read, written, drained",
        shape: Shape::Lines,
        kind: Kind::Lines,
        connections: 64,
        size: 100,
        depth: 16,
        unit: "line",
        tls: false,
    },
    Scenario {
        name: "upload",
        about: "one connection to the server, with digest",
        shape: Shape::Sink,
        kind: Kind::Upload,
        size: 64 * KIB,
        unit: "KiB",
        ..ECHO
    },
    Scenario {
        name: "download",
        about: "one connection from the server, with digest",
        shape: Shape::Source,
        kind: Kind::Download,
        size: 64 * KIB,
        unit: "KiB",
        ..ECHO
    },
    Scenario {
        name: "churn",
        about: "connect, echo 1 KiB, close; 16 at a time",
        kind: Kind::Churn,
        connections: 16,
        unit: "connection",
        ..ECHO
    },
    Scenario {
        name: "fanout",
        about: "1 KiB from one writer to 1000 readers",
        shape: Shape::Fanout,
        kind: Kind::Fanout,
        connections: 1000,
        unit: "delivery",
        ..ECHO
    },
    Scenario {
        name: "relay",
        about: "1 KiB on 64 connections through a relay to a hand-written echo server",
        shape: Shape::Relay,
        kind: Kind::Relay,
        connections: 64,
        ..ECHO
    },
    Scenario {
        name: "idle",
        about: "memory of 10,000 connections that wait",
        kind: Kind::Idle,
        connections: 10_000,
        unit: "connection",
        ..ECHO
    },
    Scenario {
        name: "idle-1000",
        about: "memory of 1,000 connections that wait",
        kind: Kind::Idle,
        connections: 1_000,
        unit: "connection",
        ..ECHO
    },
    Scenario {
        name: "mixed",
        about: "1 KiB on 64 connections, while 100 others never read what they asked for",
        shape: Shape::Mixed,
        kind: Kind::Mixed { stalled: 100 },
        connections: 64,
        ..ECHO
    },
    Scenario {
        name: "mixed-calm",
        about: "the same without the readers that stall",
        shape: Shape::Mixed,
        kind: Kind::Mixed { stalled: 0 },
        connections: 64,
        ..ECHO
    },
    SECURE,
    Scenario {
        name: "tls-blocks",
        about: "64 KiB on 16 connections, over TLS",
        connections: 16,
        size: 64 * KIB,
        ..SECURE
    },
    Scenario {
        name: "tls-handshakes",
        about: "connect, a full handshake of TLS 1.3, close; 16 at a time",
        kind: Kind::Handshakes { resumes: false },
        connections: 16,
        unit: "handshake",
        ..SECURE
    },
    Scenario {
        name: "tls-resumed",
        about: "the same with the session of an earlier connection",
        kind: Kind::Handshakes { resumes: true },
        connections: 16,
        unit: "handshake",
        ..SECURE
    },
    Scenario {
        name: "tls-idle",
        about: "memory of 5,000 connections over TLS that wait",
        kind: Kind::Idle,
        connections: 5_000,
        unit: "connection",
        ..SECURE
    },
    Scenario {
        name: "tls-idle-1000",
        about: "memory of 1,000 connections over TLS that wait",
        kind: Kind::Idle,
        connections: 1_000,
        unit: "connection",
        ..SECURE
    },
];

/// The row of that name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}
