//! The runner: starts servers and loads, takes turns between them, and writes what came of it.

pub mod arguments;
pub mod cores;
pub mod launch;
pub mod plan;
pub mod process;
pub mod quiet;
