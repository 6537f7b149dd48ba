//! Does server-compio keep the contract? Where there is no io_uring, nobody can tell.
#![cfg(feature = "compio")]

#[macro_use]
mod common;

check_or_skip!(common::willing(env!("CARGO_BIN_EXE_server-compio")));
