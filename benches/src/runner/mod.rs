//! The runner: starts servers and loads, takes turns between them, and writes what came of it.

pub mod launch;
pub mod native;
pub mod python;
