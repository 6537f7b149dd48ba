//! calloop's server keeps the contract.
#![cfg(feature = "calloop")]

millrun_benches::check_server!(Program::new(env!("CARGO_BIN_EXE_server-calloop")));
