//! What it takes to start a peer's server.
//!
//! Who makes one: `build` for Rust, `native::build(source, libraries, directory)` for C, `python::prepare(packages, directory, tell)`
//! and then its `launch(source, package)` for Python; each is a `Result<Launch, String>`, and the error is the message with which the peer is skipped.

use std::ffi::OsString;
use std::path::PathBuf;

/// A server's program, and which version of the peer it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The program: a binary, or an interpreter.
    pub program: PathBuf,
    /// Arguments before those of the table of peers: an interpreter's script.
    pub arguments: Vec<OsString>,
    /// The peer's version, as the report shows it: "1.48.0", "0.21.0 on Python 3.13.5".
    pub version: String,
}
