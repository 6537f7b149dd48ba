//! What the runner and a load say to each other: one JSON value a line, commands on the load's standard input, answers on its output.
//!
//! `load SCENARIO --port PORT --pid PID` (and [options](crate::load)) connects, checks that each connection works, and says [`Answer::Ready`]. Then
//! it waits for commands; in between its connections stay open and silent, so that several servers can be alive while one
//! is measured. A window's figures are exact: CPU time is read when every reply has come and the server sleeps again.

use serde::{Deserialize, Serialize};

use crate::report::{Latency, Memory, Window};

/// From the runner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Command {
    /// Drive the server for so long, then wait for what is in flight.
    Measure {
        /// How long, in milliseconds.
        millis: u64,
        /// Messages a second over all connections, sent when they are due whether or not replies came; latency then counts from the
        /// time at which a message was due. Without it, each connection sends when it has a reply.
        rate: Option<u64>,
    },
    /// Move so many bytes (upload, download).
    Transfer {
        /// How many.
        bytes: u64,
    },
    /// Close and leave.
    End,
}

/// From the load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Answer {
    /// Connected and checked.
    Ready {
        /// How many connections there are: fewer than asked for when descriptors are short.
        connections: usize,
        /// The server's memory, where the scenario asks for it (idle).
        memory: Option<Memory>,
    },
    /// One window.
    Window {
        /// What was counted.
        window: Window,
        /// How long messages took.
        latency: Option<Latency>,
        /// The 99th percentile of how long they took, in nanoseconds: in the median of the window's slices, so that a hiccup of the
        /// machine does not decide it.
        tail: Option<u64>,
    },
    /// It can't go on.
    Failed {
        /// What was expected and what came.
        why: String,
    },
}
