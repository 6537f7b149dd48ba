//! The table of peers: who is measured, and what makes each.

/// What a peer's server is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Made {
    /// A binary of this package, and the feature that it needs ("" for none).
    Rust {
        /// The binary's name.
        bin: &'static str,
        /// The feature that it needs, or nothing.
        feature: &'static str,
    },
    /// A C program in `benches/peers`, compiled with `cc`.
    C {
        /// The source below `benches/peers`.
        source: &'static str,
        /// Libraries, as pkg-config knows them.
        libraries: &'static [&'static str],
    },
    /// A Python program in `benches/peers`, run by the newest Python 3 that has the package.
    Python {
        /// The source below `benches/peers`.
        source: &'static str,
        /// The package that pip has to have installed ("" for none).
        package: &'static str,
    },
}

/// One row.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Peer {
    /// Its name on the command line and in the report.
    pub name: &'static str,
    /// What its program is.
    pub about: &'static str,
    /// What it is made from.
    pub made: Made,
    /// Arguments before the shape.
    pub before: &'static [&'static str],
    /// Arguments after the shape.
    pub after: &'static [&'static str],
    /// It speaks TLS, and nothing else.
    pub tls: bool,
}

/// The server that all others are compared with.
pub const LIMIT: &str = "epoll";

/// The same, with what `millrun-spin` has: how much looking for events before sleeping can bring on this machine.
pub const LIMIT_SPIN: &str = "epoll-spin";

/// The one that all others are compared with over TLS.
pub const TLS_LIMIT: &str = "tokio-rustls";

/// Looks for events for 50 us before it sleeps.
const SPIN: &[&str] = &["--spin", "50"];

const fn rust(
    name: &'static str,
    about: &'static str,
    bin: &'static str,
    feature: &'static str,
) -> Peer {
    Peer { name, about, made: Made::Rust { bin, feature }, before: &[], after: &[], tls: false }
}

const fn python(
    name: &'static str,
    about: &'static str,
    package: &'static str,
    before: &'static [&'static str],
) -> Peer {
    Peer {
        name,
        about,
        made: Made::Python { source: "python/server.py", package },
        before,
        after: &[],
        tls: false,
    }
}

/// All of them, in the order of the report: ours first, then the limit, then the others.
pub const ALL: &[Peer] = &[
    rust("millrun-protocol", "Millrun, callbacks", "server-millrun-protocol", ""),
    rust(
        "millrun-streams",
        "Millrun, streams with a task for each connection",
        "server-millrun-streams",
        "",
    ),
    Peer {
        after: SPIN,
        ..rust(
            "millrun-spin",
            "Millrun, callbacks, looking for 50 us before it sleeps",
            "server-millrun-protocol",
            "",
        )
    },
    rust(LIMIT, "written by hand on level-triggered epoll: the limit", "server-epoll", ""),
    Peer {
        after: SPIN,
        ..rust(
            LIMIT_SPIN,
            "the same by hand, looking for 50 us before it sleeps: what that can bring",
            "server-epoll",
            "",
        )
    },
    rust("tokio", "tokio's current_thread runtime, as its users write it", "server-tokio", "tokio"),
    Peer {
        before: &["best"],
        ..rust("tokio-best", "the same with writes gathered by hand", "server-tokio", "tokio")
    },
    rust("smol", "smol's LocalExecutor, as its users write it", "server-smol", "smol"),
    rust(
        "calloop",
        "calloop with a Generic source for each connection",
        "server-calloop",
        "calloop",
    ),
    rust("monoio", "monoio on io_uring", "server-monoio", "monoio"),
    rust("compio", "compio on io_uring", "server-compio", "compio"),
    Peer {
        name: "libuv",
        about: "libuv, in C",
        made: Made::C { source: "libuv/server.c", libraries: &["libuv"] },
        before: &[],
        after: &[],
        tls: false,
    },
    python("asyncio-protocol", "Python's asyncio, Protocol", "", &["asyncio", "protocol"]),
    python("asyncio-streams", "Python's asyncio, streams", "", &["asyncio", "streams"]),
    python("uvloop-protocol", "uvloop, Protocol", "uvloop", &["uvloop", "protocol"]),
    python("uvloop-streams", "uvloop, streams", "uvloop", &["uvloop", "streams"]),
    python("rloop-protocol", "rloop, Protocol", "rloop", &["rloop", "protocol"]),
    python("rloop-streams", "rloop, streams", "rloop", &["rloop", "streams"]),
    Peer {
        before: &["protocol"],
        tls: true,
        ..rust("millrun-tls-protocol", "Millrun over TLS, callbacks", "server-millrun-tls", "tls")
    },
    Peer {
        before: &["streams"],
        tls: true,
        ..rust(
            "millrun-tls-streams",
            "Millrun over TLS, streams with a task for each connection",
            "server-millrun-tls",
            "tls",
        )
    },
    Peer {
        tls: true,
        ..rust(
            TLS_LIMIT,
            "tokio-rustls on tokio's current_thread runtime, as its users write it",
            "server-tokio-rustls",
            "tokio-rustls",
        )
    },
    Peer {
        before: &["best"],
        tls: true,
        ..rust(
            "tokio-rustls-best",
            "the same with large buffers on both sides of TLS",
            "server-tokio-rustls",
            "tokio-rustls",
        )
    },
];

/// The row of that name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Peer> {
    ALL.iter().find(|peer| peer.name == name)
}
