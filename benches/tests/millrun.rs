//! Our own servers keep the contract.

mod protocol {
    millrun_benches::check_server!(Program::new(env!("CARGO_BIN_EXE_server-millrun-protocol")));
}

mod streams {
    millrun_benches::check_server!(Program::new(env!("CARGO_BIN_EXE_server-millrun-streams")));
}
