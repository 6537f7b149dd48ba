//! Does server-smol keep the contract?
#![cfg(feature = "smol")]

millrun_benches::check_server!(Program::new(env!("CARGO_BIN_EXE_server-smol")));
