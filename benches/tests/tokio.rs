//! tokio's servers keep the contract.
#![cfg(feature = "tokio")]

mod plain {
    millrun_benches::check_server!(Program::new(env!("CARGO_BIN_EXE_server-tokio")));
}

mod best {
    millrun_benches::check_server!(
        Program::new(env!("CARGO_BIN_EXE_server-tokio")).before(&["best"])
    );
}
