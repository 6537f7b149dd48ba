//! Does server-epoll keep the contract?

millrun_benches::check_server!(Program::new(env!("CARGO_BIN_EXE_server-epoll")));
