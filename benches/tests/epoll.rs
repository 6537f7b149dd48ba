//! Does server-epoll keep the contract?

mod sleeps {
    millrun_benches::check_server!(Program::new(env!("CARGO_BIN_EXE_server-epoll")));
}

mod spins {
    millrun_benches::check_server!(
        Program::new(env!("CARGO_BIN_EXE_server-epoll")).after(&["--spin", "50"])
    );
}
