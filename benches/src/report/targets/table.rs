//! The table: what is to be reached, as data. `measure` finds each figure in a report.

/// The same in two words where they fit.
pub(super) const PROTOCOL: &str = "millrun-protocol";
pub(super) const STREAMS: &str = "millrun-streams";
const SPIN: &str = "millrun-spin";

/// One line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// What it is a case of.
    pub(super) group: &'static str,
    /// Which case.
    pub(super) case: &'static str,
    pub(super) bound: Bound,
    pub(super) measure: Measure,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// Nothing was promised: the figure is shown beside others'.
    Unset,
}

/// What is compared.
#[derive(Debug, Clone, Copy)]
pub(super) enum Measure {
    /// CPU of the server per unit, `peer` / `other`, paired by round.
    Cpu { scenario: &'static str, peer: &'static str, other: &'static str },
    /// Units a second, `peer` / `other`, paired by round.
    Rate { scenario: &'static str, peer: &'static str, other: &'static str },
    /// The same of a server with an option, `peer`, / without it, `base`. The limit is what the option brings to the hand-written server.
    Gain { scenario: &'static str, peer: &'static str, base: &'static str },
    /// A count per unit.
    Count { scenario: &'static str, peer: &'static str, what: &'static str },
    /// Resident bytes for each connection after one echo.
    Idle { peer: &'static str },
    /// The same over TLS, `peer` / `other`.
    SecureIdle { peer: &'static str, other: &'static str },
    /// CPU per unit in one scenario / in another, of the same server.
    Growth { peer: &'static str, scenario: &'static str, base: &'static str },
    /// 99th percentile of latency in one scenario / in another, of the same server.
    Tail { peer: &'static str, scenario: &'static str, base: &'static str },
    /// Nanoseconds for each element, `millrun` / `other`.
    Micro { group: &'static str, other: &'static str },
}

const fn cpu(
    group: &'static str,
    case: &'static str,
    limit: f64,
    [peer, other, scenario]: [&'static str; 3],
) -> Target {
    let measure = Measure::Cpu { scenario, peer, other };
    Target { group, case, bound: Bound::AtMost(limit), measure }
}

const fn rate(
    group: &'static str,
    case: &'static str,
    limit: f64,
    [peer, other, scenario]: [&'static str; 3],
) -> Target {
    let measure = Measure::Rate { scenario, peer, other };
    Target { group, case, bound: Bound::AtLeast(limit), measure }
}

const fn count(
    group: &'static str,
    case: &'static str,
    limit: f64,
    [peer, scenario, what]: [&'static str; 3],
) -> Target {
    let measure = Measure::Count { scenario, peer, what };
    Target { group, case, bound: Bound::AtMost(limit), measure }
}

/// One that nobody set a number for.
const fn figure(
    group: &'static str,
    case: &'static str,
    [peer, scenario, what]: [&'static str; 3],
) -> Target {
    Target { group, case, bound: Bound::Unset, measure: Measure::Count { scenario, peer, what } }
}

const fn idle(case: &'static str, limit: f64, peer: &'static str) -> Target {
    let measure = Measure::Idle { peer };
    Target { group: "idle memory per connection", case, bound: Bound::AtMost(limit), measure }
}

const fn secure_idle(case: &'static str, limit: f64, peer: &'static str) -> Target {
    let measure = Measure::SecureIdle { peer, other: crate::peer::TLS_LIMIT };
    Target { group: SECURE_IDLE, case, bound: Bound::AtMost(limit), measure }
}

const fn growth(case: &'static str, peer: &'static str) -> Target {
    Target {
        group: "8,000 connections against 64, CPU per message",
        case,
        bound: Bound::AtMost(1.25),
        measure: Measure::Growth { peer, scenario: "echo-8000", base: "echo-64" },
    }
}

const fn gain(
    group: &'static str,
    case: &'static str,
    limit: f64,
    [peer, base, scenario]: [&'static str; 3],
) -> Target {
    let measure = Measure::Gain { scenario, peer, base };
    Target { group, case, bound: Bound::AtLeast(limit), measure }
}

const fn tail(case: &'static str, peer: &'static str) -> Target {
    Target {
        group: "fast readers' p99 while 100 others stall, against without them",
        case,
        bound: Bound::AtMost(1.1),
        measure: Measure::Tail { peer, scenario: "mixed", base: "mixed-calm" },
    }
}

const fn micro(
    group: &'static str,
    case: &'static str,
    limit: f64,
    [bench, other]: [&'static str; 2],
) -> Target {
    let measure = Measure::Micro { group: bench, other };
    Target { group, case, bound: Bound::AtMost(limit), measure }
}

const ECHO_PROTOCOL: &str = "echo on Protocol, CPU per message against hand-written epoll";
const ECHO_STREAMS: &str = "echo on streams, CPU per message against hand-written epoll";
const NOT_ABOVE_TOKIO: &str = "echo on streams, CPU per message against tokio";
const INSTRUCTIONS: &str = "user-space instructions per 1 KiB echo";
const SYSCALLS: &str = "system calls per message at 64 connections";
const CONTROL: &str = "epoll_ctl per message in the steady state";
const LINES: &str = "lines: read_line, write, drain";
const COPIES: &str = "64 KiB through streams: copies of a byte in user space";
const CHURN: &str = "churn, CPU per connection against hand-written epoll";
const READY: &str = "a callback: queued and run";
const TASKS: &str = "a task: spawned and run";
const TIMERS: &str = "timers against tokio's";
const THREADS: &str = "a call from another thread";
const SPINNING: &str = "one connection, looking for 50 us before sleeping";

const SECURE: &str = "TLS, CPU against tokio-rustls";
const SECURE_IDLE: &str = "TLS, memory of an idle connection against tokio-rustls";

const LIMIT: &str = crate::peer::LIMIT;
const TLS_LIMIT: &str = crate::peer::TLS_LIMIT;
const TLS_PROTOCOL: &str = "millrun-tls-protocol";
const TLS_STREAMS: &str = "millrun-tls-streams";

pub(super) const ALL: &[Target] = &[
    cpu(ECHO_PROTOCOL, "1 KiB x 64", 1.02, [PROTOCOL, LIMIT, "echo-64"]),
    cpu(ECHO_PROTOCOL, "1 KiB x 1000", 1.02, [PROTOCOL, LIMIT, "echo-1000"]),
    cpu(ECHO_PROTOCOL, "64 B x 256, depth 16", 1.02, [PROTOCOL, LIMIT, "pipelined"]),
    cpu(ECHO_PROTOCOL, "64 KiB x 16", 1.02, [PROTOCOL, LIMIT, "blocks"]),
    cpu(ECHO_STREAMS, "1 KiB x 64", 1.05, [STREAMS, LIMIT, "echo-64"]),
    cpu(ECHO_STREAMS, "1 KiB x 1000", 1.05, [STREAMS, LIMIT, "echo-1000"]),
    cpu(ECHO_STREAMS, "64 B x 256, depth 16", 1.05, [STREAMS, LIMIT, "pipelined"]),
    cpu(ECHO_STREAMS, "64 KiB x 16", 1.05, [STREAMS, LIMIT, "blocks"]),
    cpu(NOT_ABOVE_TOKIO, "1 KiB x 64", 1.0, [STREAMS, "tokio", "echo-64"]),
    cpu(NOT_ABOVE_TOKIO, "1 KiB x 1000", 1.0, [STREAMS, "tokio", "echo-1000"]),
    cpu(NOT_ABOVE_TOKIO, "64 B x 256, depth 16", 1.0, [STREAMS, "tokio", "pipelined"]),
    cpu(NOT_ABOVE_TOKIO, "64 KiB x 16", 1.0, [STREAMS, "tokio", "blocks"]),
    count(INSTRUCTIONS, "Protocol, 64 connections", 400.0, [PROTOCOL, "echo-64", "instructions"]),
    count(INSTRUCTIONS, "streams, 64 connections", 900.0, [STREAMS, "echo-64", "instructions"]),
    // Set beside tokio's with 64 connections; with one, a message pays a whole turn of the loop, and nothing was set.
    figure(INSTRUCTIONS, "Protocol, one connection", [PROTOCOL, "echo-1", "instructions"]),
    figure(INSTRUCTIONS, "streams, one connection", [STREAMS, "echo-1", "instructions"]),
    count(SYSCALLS, "Protocol", 2.03, [PROTOCOL, "echo-64", "syscalls"]),
    count(SYSCALLS, "streams", 2.03, [STREAMS, "echo-64", "syscalls"]),
    count(CONTROL, "Protocol", 0.0, [PROTOCOL, "echo-64", "epoll_ctl"]),
    count(CONTROL, "streams", 0.0, [STREAMS, "echo-64", "epoll_ctl"]),
    cpu(LINES, "CPU against epoll's one send per batch", 1.10, [STREAMS, LIMIT, "lines"]),
    rate(LINES, "lines a second against tokio's plain idiom", 10.0, [STREAMS, "tokio", "lines"]),
    rate(
        LINES,
        "lines a second against uvloop's plain idiom",
        10.0,
        [STREAMS, "uvloop-streams", "lines"],
    ),
    count(COPIES, "in", 1.0, [STREAMS, "upload", "copies"]),
    count(COPIES, "in and out again, with write", 2.0, [STREAMS, "blocks", "copies"]),
    count(COPIES, "out, with write_bytes", 0.0, [STREAMS, "download", "copies"]),
    idle("Protocol", 320.0, PROTOCOL),
    idle("streams, with the task", 720.0, STREAMS),
    cpu(CHURN, "Protocol", 1.05, [PROTOCOL, LIMIT, "churn"]),
    cpu(CHURN, "streams", 1.05, [STREAMS, LIMIT, "churn"]),
    micro(READY, "call_soon against a VecDeque of boxes", 1.8, ["call_soon", "VecDeque"]),
    micro(READY, "yield against a VecDeque of boxes", 1.5, ["yield", "VecDeque"]),
    micro(READY, "call_soon against tokio", 1.0, ["call_soon", "tokio"]),
    micro(READY, "call_soon against smol", 1.0, ["call_soon", "smol"]),
    micro(READY, "call_soon against calloop", 1.0, ["call_soon", "calloop"]),
    micro(READY, "yield against tokio", 1.0, ["yield", "tokio"]),
    micro(READY, "yield against smol", 1.0, ["yield", "smol"]),
    micro(READY, "yield against calloop", 1.0, ["yield", "calloop"]),
    micro(TASKS, "against tokio's spawn_local", 0.6, ["spawn", "tokio"]),
    micro(TIMERS, "arm and cancel 1M", 0.25, ["timers: arm and cancel", "tokio"]),
    micro(TIMERS, "arm and disarm among 10k", 0.1, ["timers: arm and disarm", "tokio"]),
    micro(TIMERS, "arm and fire 1M", 0.5, ["timers: arm and fire", "tokio"]),
    micro(THREADS, "asleep, against a bare mio Waker", 1.05, ["cross-thread: asleep", "mio"]),
    micro(THREADS, "flood, against tokio's mpsc", 1.2, ["cross-thread: flood", "tokio"]),
    gain(SPINNING, "messages a second against without", 2.0, [SPIN, PROTOCOL, "echo-1"]),
    growth("Protocol", PROTOCOL),
    growth("streams", STREAMS),
    tail("Protocol", PROTOCOL),
    tail("streams", STREAMS),
    cpu(SECURE, "1 KiB x 64, Protocol", 0.95, [TLS_PROTOCOL, TLS_LIMIT, "tls-echo"]),
    cpu(SECURE, "1 KiB x 64, streams", 0.95, [TLS_STREAMS, TLS_LIMIT, "tls-echo"]),
    cpu(SECURE, "64 KiB x 16, Protocol", 0.95, [TLS_PROTOCOL, TLS_LIMIT, "tls-blocks"]),
    cpu(SECURE, "64 KiB x 16, streams", 0.95, [TLS_STREAMS, TLS_LIMIT, "tls-blocks"]),
    cpu(SECURE, "a full handshake, Protocol", 1.0, [TLS_PROTOCOL, TLS_LIMIT, "tls-handshakes"]),
    cpu(SECURE, "a full handshake, streams", 1.0, [TLS_STREAMS, TLS_LIMIT, "tls-handshakes"]),
    cpu(SECURE, "a resumed handshake, Protocol", 1.0, [TLS_PROTOCOL, TLS_LIMIT, "tls-resumed"]),
    cpu(SECURE, "a resumed handshake, streams", 1.0, [TLS_STREAMS, TLS_LIMIT, "tls-resumed"]),
    secure_idle("Protocol", 1.0, TLS_PROTOCOL),
    secure_idle("streams, with the task", 1.0, TLS_STREAMS),
];
