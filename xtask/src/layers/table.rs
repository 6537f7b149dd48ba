//! The table: every crate of the workspace, from the bottom up, with what it may name.

/// One workspace crate. The table is ordered from the bottom up: `below` may name earlier rows only.
pub(super) struct Crate {
    pub(super) name: &'static str,
    /// Members that it may depend on.
    pub(super) below: &'static [&'static str],
    /// Members that its tests may depend on besides.
    pub(super) in_tests: &'static [&'static str],
    /// Packages from outside, each with what it is for.
    pub(super) outside: &'static [(&'static str, &'static str)],
}

const SELECTOR: &str = "millrun-selector";
const SIM: &str = "millrun-sim";
const LOOP: &str = "millrun-loop";
const TRANSPORT: &str = "millrun-transport";
const PROTOCOL: &str = "millrun-protocol";
const STREAMS: &str = "millrun-streams";
const TLS: &str = "millrun-tls";
const TESTBED: &str = "millrun-testbed";
const CONFORMANCE: &str = "millrun-conformance";
pub(super) const FACADE: &str = "millrun";

pub(super) const CRATES: &[Crate] = &[
    Crate {
        name: SELECTOR,
        below: &[],
        in_tests: &[],
        outside: &[
            ("mio", "epoll and kqueue behind one API"),
            ("rustix", "recv, send and sendmsg without unsafe code of ours"),
            ("socket2", "making sockets, socket options"),
            ("libc", "SO_PEERNAME, in the one unsafe module"),
            ("dns-lookup", "getaddrinfo with service names"),
        ],
    },
    Crate { name: SIM, below: &[SELECTOR], in_tests: &[], outside: &[] },
    Crate {
        name: LOOP,
        below: &[SELECTOR],
        in_tests: &[SIM],
        outside: &[
            ("futures-core", "the Stream trait, for intervals"),
            ("pin-project-lite", "projections of pinned futures without unsafe code of ours"),
            ("tracing", "reports and debug logs"),
            ("libc", "sigaction, in the one unsafe module"),
            ("rustix", "the pipe that signals write to"),
            ("loom", "its locks and atomics, under cfg(loom) alone"),
        ],
    },
    Crate {
        name: TRANSPORT,
        below: &[SELECTOR, LOOP],
        in_tests: &[SIM],
        outside: &[("bytes", "owned chunks without a copy"), ("tracing", "debug logs")],
    },
    Crate {
        name: PROTOCOL,
        below: &[SELECTOR, LOOP, TRANSPORT],
        in_tests: &[SIM],
        outside: &[("bytes", "owned reads"), ("memchr", "finding separators")],
    },
    Crate {
        name: STREAMS,
        below: &[SELECTOR, LOOP, TRANSPORT, PROTOCOL],
        in_tests: &[SIM],
        outside: &[
            ("bytes", "owned reads and writes"),
            ("pin-project-lite", "projections of pinned futures without unsafe code of ours"),
        ],
    },
    Crate {
        name: CONFORMANCE,
        below: &[SELECTOR, LOOP, TRANSPORT, PROTOCOL, STREAMS],
        in_tests: &[SIM],
        outside: &[("bytes", "owned writes")],
    },
    Crate {
        name: TLS,
        below: &[SELECTOR, LOOP, TRANSPORT],
        in_tests: &[SIM, PROTOCOL, STREAMS, CONFORMANCE],
        outside: &[
            ("rustls", "TLS itself"),
            ("rustls-platform-verifier", "whom the operating system trusts"),
            ("bytes", "owned writes"),
            ("tracing", "debug logs"),
        ],
    },
    Crate {
        name: TESTBED,
        below: &[SELECTOR, SIM, LOOP],
        in_tests: &[TRANSPORT, PROTOCOL, STREAMS, TLS],
        outside: &[],
    },
    Crate {
        name: FACADE,
        below: &[SELECTOR, LOOP, TRANSPORT, PROTOCOL, STREAMS, TLS],
        in_tests: &[SIM],
        outside: &[],
    },
    Crate {
        name: "millrun-examples",
        below: &[
            SELECTOR,
            SIM,
            LOOP,
            TRANSPORT,
            PROTOCOL,
            STREAMS,
            TLS,
            TESTBED,
            CONFORMANCE,
            FACADE,
        ],
        in_tests: &[],
        outside: &[
            ("bytes", "owned reads and writes"),
            ("indicatif", "the tour's progress bar"),
            ("sha2", "the tour's digest"),
            ("tracing-subscriber", "showing the logs"),
        ],
    },
    Crate {
        name: "millrun-gate",
        below: &[SELECTOR, LOOP, TRANSPORT, PROTOCOL, STREAMS],
        in_tests: &[],
        outside: &[
            ("rustix", "the hand-written server to compare with, and the limit of descriptors"),
            ("stats_alloc", "counting allocations"),
            ("bytes", "blocks that are written without a copy"),
        ],
    },
    Crate {
        name: "millrun-sweep",
        below: &[SELECTOR, SIM, LOOP, TRANSPORT, PROTOCOL, STREAMS, TESTBED],
        in_tests: &[],
        outside: &[("indicatif", "progress")],
    },
    Crate {
        name: "millrun-stress",
        below: &[SELECTOR, LOOP, TRANSPORT, STREAMS],
        in_tests: &[],
        outside: &[
            ("rustix", "limits of descriptors"),
            ("stats_alloc", "what the server has allocated and not given back"),
        ],
    },
    Crate {
        name: "millrun-fuzz-drivers",
        below: &[SELECTOR, SIM, LOOP, TRANSPORT, PROTOCOL, TLS],
        in_tests: &[],
        outside: &[
            ("rcgen", "a certificate, made when TLS is fuzzed"),
            ("arbitrary", "steps out of bytes"),
            ("bytes", "what is written without a copy"),
        ],
    },
    Crate {
        name: "millrun-benches",
        below: &[SELECTOR, LOOP, TRANSPORT, PROTOCOL, STREAMS, TLS],
        in_tests: &[],
        outside: &[
            ("bytes", "owned chunks, for the servers"),
            ("rustls", "the load's TLS, and one configuration for all servers"),
            ("rcgen", "a certificate for each run"),
            ("rustix", "the hand-written server, pinning to a core, limits"),
            ("mio", "the load generator's own loop"),
            ("crc32fast", "the digest of a transfer"),
            ("hdrhistogram", "latencies"),
            ("indicatif", "progress"),
            ("plotters", "the report's plots"),
            ("serde", "the report's file"),
            ("serde_json", "the report's file, and what runner and load say to each other"),
            ("criterion", "the micro benches"),
            ("memchr", "lines, as the hand-written server looks for them"),
            ("tokio", "a peer"),
            ("tokio-rustls", "a peer"),
            ("smol", "a peer"),
            ("calloop", "a peer"),
            ("monoio", "a peer"),
            ("compio", "a peer"),
        ],
    },
    Crate {
        name: "xtask",
        below: &[],
        in_tests: &[],
        outside: &[("serde_json", "reading cargo's metadata")],
    },
];
